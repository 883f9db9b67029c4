"""Seeds of a simulated world, one after the other, until one of them breaks a promise.

`python -m tests.mutants.seeds WORLD COUNT` exits with 1 and names the seed and the promise as soon as
there is one; a failing world is not made smaller, for here it only has to fail.
"""

from __future__ import annotations

import sys

from tests.simulation.story import lived
from tests.simulation.world import Scenario


def main(world: str, count: int) -> int:
    """0 where every seed keeps its promises."""
    for seed in range(count):
        print(f"seed {seed}", flush=True)
        findings = lived(Scenario(seed, world)).findings
        if findings:
            print(f"CAUGHT seed {seed} on {world}: {findings[0].check}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
