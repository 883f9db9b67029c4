"""As process 1 of a container: SIGTERM is heeded, and what is left behind by others is reaped."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.processes import tasks
from tests.processes.crew import PATIENCE, Crew, children_of, signalled, state_of
from tests.processes.stores import Shelf
from tests.processes.waiting import until
from tests.processes.witness import Witness

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.fixture
def unshare() -> tuple[str, ...]:
    """The command that gives a process a world of its own, where the machine allows it."""
    try:
        tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, timeout=10)
    except OSError as error:
        pytest.skip(f"not run here: {error}")
    if tried.returncode:
        pytest.skip(f"not run here: unshare is not allowed ({tried.stderr.strip()})")
    return UNSHARE


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_as_process_one(crew: Crew, shelf: Shelf, witness: Witness, unshare: tuple[str, ...]) -> None:
    boss = crew.started(shelf, "--grace", "2s", prefix=unshare)
    (init,) = children_of(boss.pid)
    jobs = [tasks.orphan_maker.enqueue() for _ in range(5)]
    for job in jobs:
        job.result(timeout=PATIENCE)
    until(lambda: len(children_of(init)) == 1, PATIENCE, "every orphan was reaped, the child is left")
    (child,) = children_of(init)
    assert state_of(child) != "Z"
    signalled(child, signal.SIGKILL)
    until(lambda: children_of(init) not in ([], [child]), PATIENCE, "a killed child is reaped and replaced")

    long = tasks.nap.enqueue(60.0)
    until(lambda: witness.starts(long.id), PATIENCE, "a job runs")
    signalled(init, signal.SIGTERM)
    assert boss.process.wait(2 + 5 + PATIENCE) == 0
    assert not Path(f"/proc/{init}").exists()
    assert (shelf.job(long.id).state, shelf.job(long.id).handbacks) == ("ready", 1)
