"""Running tests against a copy until one of them notices the bug in it.

The mutant's own list of likely killers comes first, one by one; then what every mutant has to face: the
unit tests, the conformance of memory and SQLite, seeds of the simulated world, and the crash points of
both engines. Each run stops at its first failure. A test that cannot even be collected has noticed nothing: then
the mutant or its list is wrong, and that is said instead.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import SEEDS, Mutant

SEED_COUNT = 300
WITHIN = 420.0
"""Seconds for one run; what has not ended by then hangs, and that is a failure too."""
ONE_TEST = 45
"""Seconds for one test."""

EVERYTHING = (
    "unit",
    "conformance -k memory",
    "conformance -k 'sqlite and blocking'",
    f"{SEEDS} memory",
    "app storage/test_sqlite.py",
    "crashpoints/test_every_point.py -k 'sqlite and blocking'",
    "crashpoints/test_every_point.py -k 'postgres and blocking'",
)
"""What every mutant has to face that its own list has not caught."""

FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


_running: set[subprocess.Popen[str]] = set()


def call_off() -> None:
    """Kill whatever is being run: each run is a session of its own, which no Ctrl-C reaches."""
    for process in list(_running):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class WrongMutant(Exception):
    """Nothing was tested: the mutant cannot be imported, or its killers name no test."""


@dataclass(frozen=True)
class Caught:
    """The test that noticed, without the values it ran with, and after how long."""

    by: str
    seconds: float
    was_expected: bool

    @property
    def test(self) -> str:
        """The test without its parameters."""
        return self.by.partition("[")[0]


def hunted(mutant: Mutant, root: Path) -> Caught | None:
    """Who catches the bug in this copy, or None."""
    began = time.monotonic()
    for killer, is_expected in _killers(mutant):
        found = noticed(killer, root)
        if found is not None:
            return Caught(found, time.monotonic() - began, is_expected)
    return None


def noticed(killer: str, root: Path, *more: str) -> str | None:
    """The first failure of one run against a copy, or None. Raises WrongMutant."""
    words = shlex.split(killer)
    if words[0] == SEEDS:
        command = [sys.executable, "-m", "tests.mutants.seeds", words[1], str(SEED_COUNT)]
    else:
        command = [*_pytest(words), *more]
    code, said = _run(command, root)
    if code == 0:
        return None
    if code is None:
        return f"{killer} does not end"
    if words[0] == SEEDS:
        caught = re.search(r"^CAUGHT (.*)$", said, re.MULTILINE)
        if caught:
            return caught[1]
    elif code == 1:
        failed = FAILED.search(said)
        if failed:
            return failed[1]
    raise WrongMutant(f"{killer}: exit code {code}\n{said[-1500:]}")


def _killers(mutant: Mutant) -> Iterator[tuple[str, bool]]:
    yield from ((killer, True) for killer in mutant.killers)
    yield from (
        (killer, False) for killer in EVERYTHING if killer not in mutant.killers and _is_there(killer)
    )


def _is_there(killer: str) -> bool:
    first = killer.split()[0]
    return first == SEEDS or (Path(__file__).parents[1] / first).exists()


def _pytest(words: Sequence[str]) -> list[str]:
    count = words.index("-k") if "-k" in words else len(words)
    paths = [f"tests/{word}" for word in words[:count]]
    options = [
        "-x",
        "-q",
        "-rfE",
        "--tb=no",
        "--no-header",
        "-p",
        "no:cacheprovider",
        f"--timeout={ONE_TEST}",
    ]
    return [sys.executable, "-m", "pytest", *options, *paths, *words[count:]]


def _run(command: Sequence[str], root: Path) -> tuple[int | None, str]:
    """Exit code, None where it did not end, and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "HYPOTHESIS_STORAGE_DIRECTORY": str(root)}
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _running.add(process)
    try:
        said, _ = process.communicate(timeout=WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        return None, said
    finally:
        _running.discard(process)
    return process.returncode, said
