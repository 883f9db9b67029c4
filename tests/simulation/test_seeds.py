"""Every seed is a world in which something goes wrong and nothing may get stuck.

`UNSTUCK_SEEDS` says how many seeds, `UNSTUCK_SEED` where they begin (alone it names a single one),
`UNSTUCK_WORLD` one ground; empty means what `make test` runs. Seeds of `regressions.txt` always run. A
failing seed tells its story and is made smaller by itself. Seeds run in small portions, so that a thousand
worlds are not a thousand tests; the speed of each world is printed at the end of the run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.story import lived, smallest, told
from tests.simulation.world import Scenario

SEEDS = {"memory": 1000, "sqlite": 300, "postgres": 200}
"""How many worlds of each kind every run lives through; the one place that says it. What they cost is printed at the
end of each run: six minutes of one processor, about, where little else runs."""
TWICE = 50
"""Every so many seeds one is run twice, and both event logs must be the same, byte for byte."""
PORTION = 10

REGRESSIONS = Path(__file__).with_name("regressions.txt")


def remembered() -> list[tuple[str, int]]:
    """The seeds that once found a bug."""
    lines = (line.split() for line in REGRESSIONS.read_text().splitlines() if not line.startswith("#"))
    return [(words[0], int(words[1])) for words in lines if words]


def asked() -> list[tuple[str, int, int]]:
    """World, first seed and number of seeds of each portion to run."""
    only, seed, seeds = (os.environ.get(f"UNSTUCK_{name}", "") for name in ("WORLD", "SEED", "SEEDS"))
    worlds = [only] if only else ["memory"] if seed else list(SEEDS)
    worlds = [world for world in worlds if world in SEEDS]
    first = int(seed or 0)
    old = [] if seed else [(world, number, 1) for world, number in remembered() if world in worlds]
    new = []
    for world in worlds:
        end = first + int(seeds or (1 if seed else SEEDS[world]))
        new += [(world, start, min(PORTION, end - start)) for start in range(first, end, PORTION)]
    return [*old, *new]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("world", "first", "count"), asked())
def test_a_world_keeps_its_promises(
    world: str,
    first: int,
    count: int,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    if world == "postgres":
        request.getfixturevalue("postgres_stand")
    begin = time.process_time()
    virtual = 0.0
    for seed in range(first, first + count):
        outcome = lived(Scenario(seed, world))
        virtual += outcome.ended_at
        if outcome.findings:
            pytest.fail(told(smallest(outcome)), pytrace=False)
        if seed % TWICE == 0:
            assert lived(Scenario(seed, world)).log() == outcome.log(), "the same seed made another world"
    record_property("simulated", [world, count, time.process_time() - begin, virtual])
