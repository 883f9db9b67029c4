"""`make mutants`: plant each bug, run the tests, tell who caught it; a bug that nobody catches is a failure.

`ONLY` names some (any part of a name will do), `WORKERS` says how many are hunted at once. First everything
that is expected to catch a bug runs against a copy without one: a test that fails there catches nothing.
Exit code 1 also where a test that was written for the bank catches a single mutant: then it knows that one
bug and no promise.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from resource import RUSAGE_CHILDREN, getrusage

from tests.mutants.bank import BANK, WRITTEN_FOR_THE_BANK
from tests.mutants.hunting import Caught, WrongMutant, call_off, hunted, noticed
from tests.mutants.mutant import SEEDS, Mutant
from tests.mutants.planting import copied

Fate = Caught | WrongMutant | None


def main() -> int:
    """Hunt; answers the exit code."""
    only = os.environ.get("ONLY", "").replace(",", " ").split()
    chosen = [mutant for mutant in BANK if not only or any(part in mutant.name for part in only)]
    if not chosen:
        print(f"no mutant is called {' or '.join(only)}")
        return 2
    # Whoever ends the hunt from outside ends what it runs, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    began = time.monotonic()
    pool = ThreadPoolExecutor(int(os.environ.get("WORKERS") or 2))
    fates: list[Fate] = []
    try:
        sick = [found for found in pool.map(_sound, _groups(chosen)) if found]
        if sick:
            print("fails without any bug:", *sick, sep="\n  ")
            return 1
        for mutant, fate in zip(chosen, pool.map(_hunt, chosen), strict=True):
            fates.append(fate)
            _tell(mutant, fate)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        call_off()
        pool.shutdown()
    caught = [fate for fate in fates if isinstance(fate, Caught)]
    minutes = (time.monotonic() - began) / 60
    used = getrusage(RUSAGE_CHILDREN)
    worked = (used.ru_utime + used.ru_stime) / 60
    print(
        f"{len(chosen)} planted, {len(caught)} caught, {minutes:.1f} minutes, {worked:.1f} of processor time"
    )
    lonely = _lonely(caught) if len(chosen) == len(BANK) else []
    if lonely:
        print("written for the bank, and catches one mutant only:", *lonely, sep="\n  ")
    return 0 if len(caught) == len(chosen) and not lonely else 1


def _hunt(mutant: Mutant) -> Fate:
    with copied(mutant) as root:
        try:
            return hunted(mutant, root)
        except WrongMutant as wrong:
            return wrong


def _tell(mutant: Mutant, fate: Fate) -> None:
    if isinstance(fate, Caught):
        note = "" if fate.was_expected else "  (not where it was expected)"
        print(f"{mutant.name:<46} {fate.seconds:6.1f} s  {fate.by}{note}", flush=True)
    elif fate is None:
        print(f"{mutant.name:<46} SURVIVES: {mutant.what} It breaks: {mutant.breaks}", flush=True)
    else:
        print(f"{mutant.name:<46} IS NO MUTANT: {fate}", flush=True)


def _groups(chosen: Sequence[Mutant]) -> list[str]:
    """All that is expected to catch something, in as few runs as its selections allow."""
    groups: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for killer in dict.fromkeys(killer for mutant in chosen for killer in mutant.killers):
        paths, _, selection = killer.partition(" -k ")
        if not killer.startswith(SEEDS):
            groups[selection] |= dict.fromkeys(paths.split())
    return [
        " ".join([*paths, *(["-k", selection] if selection else [])]) for selection, paths in groups.items()
    ]


def _sound(killer: str) -> str | None:
    with copied(None) as root:
        return noticed(killer, root)


def _lonely(caught: Sequence[Caught]) -> list[str]:
    times = defaultdict(int)
    for fate in caught:
        times[fate.test] += 1
    return [test for test in WRITTEN_FOR_THE_BANK if times[test] == 1]


if __name__ == "__main__":
    sys.exit(main())
