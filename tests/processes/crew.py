"""Workers as users start them, by the command line, each in a session of its own, and what befalls them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import UUID

from tests.processes.pace import holds
from tests.processes.stores import Shelf
from tests.processes.waiting import until
from tests.processes.witness import VARIABLE, Witness, doubled_fences
from tests.servers import leaks
from unstuck.engine.env import boottime
from unstuck.engine.framing import die_with_parent
from unstuck.model.job import Job

ROOT = Path(__file__).parents[2]
APP = "tests.processes.tasks:app"

PATIENCE = 60.0
"""Seconds for what has no bound of its own, such as starting an interpreter."""


class Boss:
    """One running supervisor with its children; `pid` is its process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    def children(self) -> list[int]:
        """The pids of its living children."""
        return [pid for pid in children_of(self.pid) if "unstuck.engine.child" in command_of(pid)]

    def kill(self) -> float:
        """SIGKILL the supervisor alone; answers the moment."""
        self.process.kill()
        self.process.wait()
        return boottime()

    def kill_child(self, pid: int) -> float:
        """SIGKILL one child; answers the moment."""
        os.kill(pid, signal.SIGKILL)
        return boottime()

    def thaw(self, pids: Sequence[int]) -> float:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        return boottime()

    def terminate(self) -> float:
        self.process.terminate()
        return boottime()

    def wait(self, within: float) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(within)


class Crew:
    """Every worker of one test."""

    def __init__(
        self,
        url: str,
        witness: Witness,
        folder: Path,
        *,
        app: str = APP,
        program: str = "unstuck",
        times: Sequence[str] = (),
    ) -> None:
        self.url = url
        self.witness = witness
        self.folder = folder
        self.bosses: list[Boss] = []
        self._start = [sys.executable, "-m", program, "--app", app, "worker", *times]

    def environment(self) -> dict[str, str]:
        more = {"UNSTUCK_URL": self.url, VARIABLE: str(self.witness.file)}
        return {**os.environ, **leaks.mark(), **more}

    def start(self, *options: str, prefix: Sequence[str] = ()) -> Boss:
        """Start a supervisor; it is not waited for."""
        with (self.folder / f"worker-{len(self.bosses)}.log").open("wb") as log:
            process = subprocess.Popen(
                [*prefix, *self._start, *options],
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Workers that outlive a test run that was killed would spoil whatever runs next.
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        boss = Boss(process)
        self.bosses.append(boss)
        return boss

    def started(self, shelf: Shelf, *options: str, processes: int = 1, prefix: Sequence[str] = ()) -> Boss:
        """Start a supervisor and wait until all its children are registered."""
        known = {child.id for child in shelf.children()}
        boss = self.start("--processes", str(processes), *options, prefix=prefix)
        until(
            lambda: len({child.id for child in shelf.children()} - known) == processes,
            PATIENCE,
            "the children of a new supervisor are registered",
        )
        return boss

    def freeze(self, shelf: Shelf, pids: Sequence[int]) -> float:
        """SIGSTOP these processes, none of them in the middle of a transaction; answers when they stand."""
        while True:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            until(lambda: all(state_of(pid) == "T" for pid in pids), PATIENCE, "processes are stopped")
            if shelf.is_free():
                return boottime()
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def logs(self) -> Iterator[str]:
        for file in sorted(self.folder.glob("worker-*.log")):
            yield f"--- {file.name}\n{file.read_text(errors='replace')}"

    def end(self) -> None:
        """Kill whatever still lives, stopped or not; children die with their supervisor."""
        for boss in self.bosses:
            family = [boss.pid, *_descendants_of(boss.pid)]
            if boss.process.poll() is None:
                boss.process.kill()
                boss.process.wait()
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            until(
                lambda family=family: not any(map(is_alive, family)),
                PATIENCE,
                "the family of a worker is gone",
            )

    def account(self, shelf: Shelf, expected: Sequence[UUID]) -> dict[UUID, Job]:
        """What must be true at the end of every test; answers the jobs."""
        jobs = shelf.jobs()
        holds(set(jobs) == set(expected), "jobs are lost, or appeared from nowhere")
        holds(not shelf.offenders(), "an invariant of the store is broken")
        holds(not doubled_fences(self.witness.starts()), "an attempt started twice")
        started = {job_id: len(stays) for job_id, stays in self.witness.stays().items()}
        for job in jobs.values():
            holds(job.is_final, f"job {job.id} is still {job.state}")
            holds(job.verdict_id is not None, f"job {job.id} has ended without a verdict")
            # Every start but the one that ended the job left a row of its own: no ending is unaccounted for.
            rows = shelf.run(shelf.store.attempts(job.id)) if started.get(job.id, 0) > 1 else []
            holds(
                started.get(job.id, 0) <= len(rows) + 1, f"job {job.id} started oftener than it was recorded"
            )
        return jobs


def signalled(pid: int, number: int) -> float:
    """Send a signal to any process; answers the moment."""
    os.kill(pid, number)
    return boottime()


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    return state_of(pid) not in "ZX"


def state_of(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "X"
    return text.rpartition(")")[2].split()[0]


def command_of(pid: int) -> str:
    """The words that the process was started with; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, file.read_text().split())
    return found


def _descendants_of(pid: int) -> list[int]:
    below = children_of(pid)
    return below + [each for child in below for each in _descendants_of(child)]
