"""Run seeds from the command line: `python -m tests.simulation --seed 17 [--world sqlite] [--log]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.simulation.story import lived, smallest, told
from tests.simulation.weather import KINDS
from tests.simulation.world import Scenario


def main(words: Sequence[str] | None = None) -> int:
    """Run what the words ask for; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds from there")
    parser.add_argument("--world", default="memory", choices=["memory", "sqlite", "postgres"])
    parser.add_argument(
        "--without", action="append", default=[], help=f"a kind of fault: {', '.join(KINDS)} …"
    )
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=30)
    parser.add_argument("--log", action="store_true", help="print the whole event log")
    parser.add_argument("--skip", default="", help="numbers of jobs to leave out, with commas")
    parser.add_argument("--raw", action="store_true", help="do not look for a smaller world that fails")
    asked = parser.parse_args(words)
    skipped = frozenset(int(number) for number in asked.skip.split(",") if number)
    failed, begin = 0, time.process_time()
    for seed in range(asked.seed, asked.seed + asked.seeds):
        scenario = Scenario(seed, asked.world, asked.jobs, asked.workers, frozenset(asked.without), skipped)
        outcome = lived(scenario)
        if asked.log:
            print(outcome.log())
        if outcome.findings:
            failed += 1
            print(told(outcome if asked.raw else smallest(outcome)), end="\n\n")
        elif asked.seeds == 1:
            print(
                f"seed {seed} on {asked.world} keeps its promises: {outcome.counts},"
                f" weather {', '.join(outcome.kinds) or 'fair'}, {outcome.ended_at:.0f} virtual seconds"
            )
    seconds = time.process_time() - begin
    print(f"{asked.seeds} seeds, {failed} failed, {asked.seeds / seconds:.1f} seeds/s of processor time")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        if stands := sys.modules.get("tests.simulation.postgres_ground"):
            stands.leave_stand()
