"""`python -m tests.chaos --engine postgres --minutes 1 --seed 7`: what `make chaos` runs.

Exit code 0 where every promise held or this machine cannot run it at all (it is said which), 1 where a promise
was broken; the run's folder is then kept, and named.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from tests.chaos.running import run
from tests.chaos.table import show
from tests.processes.waiting import until
from tests.servers import leaks
from tests.servers.serving import NotAvailable

SPARE_BYTES = 4 << 30
KEPT = Path(os.environ.get("UNSTUCK_CHAOS_KEPT") or "/tmp")


def main() -> int:
    said = argparse.ArgumentParser(prog="make chaos")
    said.add_argument("--engine", choices=("sqlite", "postgres"), default="postgres")
    said.add_argument("--minutes", type=float, default=1.0, help="how long the storm lasts")
    said.add_argument(
        "--seed", type=int, default=None, help="draws faults and jobs; drawn itself where not given"
    )
    said.add_argument("--rate", type=float, default=30.0, help="jobs per second of each of the two clients")
    said.add_argument("--keep", type=Path, default=None, help="keep the run's folder there, however it ends")
    asked = said.parse_args()
    seed = random.SystemRandom().randrange(1, 1_000_000) if asked.seed is None else asked.seed
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(f"chaos: {asked.engine}, seed {seed}, {asked.minutes:g} min", highlight=False)
    # A run that is told to stop ends what it started, like one that has come to its end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _in_memory()
    folder = leaks.folder("chaos")
    keep: Path | None = asked.keep
    try:
        try:
            report = run(asked.engine, asked.minutes, seed, asked.rate, folder)
        except NotAvailable as missing:
            console.print(f"not run here: {missing}")
            return 0
        except Exception:
            keep = keep or _place(asked.engine, seed)
            raise
        show(report, console)
        (folder / "report.json").write_text(json.dumps(asdict(report)))
        if report.broken:
            keep = keep or _place(asked.engine, seed)
        return 1 if report.broken else 0
    finally:
        if keep is not None:
            shutil.copytree(folder, keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("disk"))
            console.print(f"the logs of this run are in {keep}", soft_wrap=True)
        shutil.rmtree(folder, ignore_errors=True)


def left_behind() -> list[str]:
    """What the run forgot, once what was told to end has had the time."""
    mark = leaks.mark()[leaks.VARIABLE]
    with suppress(AssertionError):
        until(lambda: not (leaks.processes_left(mark) or leaks.folders_left(mark)), 10.0, "all is gone")
    folders = [str(folder) for folder in leaks.folders_left(mark)]
    return [*(f"process {pid}" for pid in leaks.processes_left(mark)), *folders]


def _in_memory() -> None:
    """Have all files of the run in memory, where there is some to spare: processes end here, the machine does
    not, and a disk that strangers share would only stretch every outage."""
    place = "/dev/shm"
    with suppress(OSError):
        facts = os.statvfs(place)
        if os.access(place, os.W_OK) and facts.f_bavail * facts.f_frsize > SPARE_BYTES:
            os.environ["TMPDIR"] = tempfile.tempdir = place


def _place(engine: str, seed: int) -> Path:
    return KEPT / f"unstuck-chaos-{engine}-{seed}-{time.strftime('%H%M%S')}"


if __name__ == "__main__":
    code = main()
    if forgotten := left_behind():
        print("left behind:", *forgotten, file=sys.stderr)
        code = 1
    sys.exit(code)
