"""A run of the tests leaves nothing behind, and fails if it does.

Each run draws a mark. Every temporary folder of ours has it in its name, and every process started below
the tests inherits it in its environment, however far it has daemonised since. When the run is over,
whatever still carries the mark was forgotten by a test: it is named, removed, and the run fails. Runs
beside each other on one machine have different marks and do not disturb one another.
"""

from __future__ import annotations

import glob
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import watching

VARIABLE = "UNSTUCK_TEST_RUN"
PREFIX = "unstuck-test-"
PATIENCE_SECONDS = 10.0
"""Processes that were told to end may take this long; parallel test workers are among them."""

_findings: list[str] = []


def mark() -> dict[str, str]:
    """What to add to the environment of a process that gets one made for it."""
    return {VARIABLE: os.environ.setdefault(VARIABLE, secrets.token_hex(4))}


def folder(kind: str, place: Path | None = None) -> Path:
    """A new temporary folder with the mark of this run."""
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{mark()[VARIABLE]}-{kind}-", dir=place))


def processes_left(run: str) -> list[int]:
    """Living processes that carry the mark, this one excepted."""
    needle, found = f"{VARIABLE}={run}".encode(), []
    for entry in glob.glob("/proc/[0-9]*/environ"):
        try:
            carries = needle in Path(entry).read_bytes().split(b"\0")
        except OSError:
            continue
        if carries and int(entry.split("/")[2]) != os.getpid():
            found.append(int(entry.split("/")[2]))
    return found


def folders_left(run: str) -> list[Path]:
    places = {tempfile.gettempdir(), "/tmp", "/var/tmp"}
    return [Path(found) for place in places for found in glob.glob(f"{place}/{PREFIX}{run}-*")]


def _describe(run: str) -> Iterator[str]:
    for pid in processes_left(run):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        yield f"process {pid}: {command.strip()[:200]}"
    yield from (f"folder {found}" for found in folders_left(run))


def _remove(run: str) -> None:
    for found in folders_left(run):
        watching.clear(found)
    for pid in processes_left(run):
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[VARIABLE] = secrets.token_hex(4)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return
    run = os.environ[VARIABLE]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (processes_left(run) or folders_left(run)) and time.monotonic() < deadline:
        time.sleep(0.05)
    _findings.extend(_describe(run))
    if _findings:
        _remove(run)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _findings:
        terminalreporter.section("left behind by the tests", red=True)
        for line in _findings:
            terminalreporter.line(line)
