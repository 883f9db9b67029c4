"""The crew: real supervisors with real children, started, watched, killed and stopped by the demo.

A supervisor is `python -m unstuck worker …`, exactly what a user starts, at the head of a session and a
process group of its own: a Ctrl-C meant for the demo does not reach it, and the whole group can be ended
by the number that we were given when we started it. What it says goes to a log in the demo's folder, and
to the user only when it leaves by itself. Whatever happens, `close` ends every group and waits until
nobody is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unstuck.model.errors import UnstuckError

APPLICATION = "unstuck.demo.tasks:app"
STOP_SECONDS = 30.0
GONE_SECONDS = 10.0


class DemoFailed(UnstuckError):
    """The demo could not be shown to its end."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the supervisors are started; seconds."""

    lease: float = 5.0
    sweep: float = 2.0
    poll: float = 1.0
    processes: int = 2

    @property
    def bound(self) -> float:
        """R, the published bound of recovery."""
        return self.lease + 2 * self.sweep + self.poll

    def options(self) -> list[str]:
        """The same, as options of `unstuck worker`."""
        return [
            *("--processes", str(self.processes)),
            *("--lease", f"{self.lease:g}s"),
            *("--sweep", f"{self.sweep:g}s"),
            *("--poll", f"{self.poll:g}s"),
        ]


@dataclass(eq=False)
class Supervisor:
    """One supervisor that we started."""

    number: int
    process: subprocess.Popen[bytes]
    log: Path
    was_killed: bool = False

    @property
    def pid(self) -> int:
        """The process id, which is also its group's."""
        return self.process.pid

    def last_word(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "not a word"

    def end_group(self) -> None:
        """SIGKILL for it and its children."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class Crew:
    """All supervisors of one demo."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        pace: Pace,
        application: str = APPLICATION,
        options: Sequence[str] = (),
    ):
        self._folder = folder
        self._words = ["--app", application, "worker", *pace.options(), *options]
        self._environment = dict(environment)
        self.supervisors: list[Supervisor] = []

    def start(self) -> Supervisor:
        """Start one more; call it on the main thread, whose death the kernel reports."""
        number = len(self.supervisors) + 1
        log = self._folder / f"supervisor-{number}.log"
        command = [sys.executable, "-m", "unstuck", *self._words]
        with open(log, "wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "unstuck.demo.leashed", str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
        supervisor = Supervisor(number, process, log)
        self.supervisors.append(supervisor)
        return supervisor

    @property
    def living(self) -> list[Supervisor]:
        """Those that have not been killed."""
        return [one for one in self.supervisors if not one.was_killed]

    def check(self) -> None:
        """Raise DemoFailed, with its last words, where a supervisor has left by itself."""
        for one in self.living:
            code = one.process.poll()
            if code is not None:
                raise DemoFailed(f"supervisor {one.number} ended by itself with {code}: {one.last_word()}")

    def stop(self) -> list[str]:
        """Ask all to leave and wait for it; answers what did not go as it should."""
        wrong: list[str] = []
        for one in self.living:
            with suppress(ProcessLookupError):
                one.process.send_signal(signal.SIGTERM)
        for one in self.living:
            try:
                code = one.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                wrong.append(f"supervisor {one.number} did not leave within {STOP_SECONDS:g} s")
            else:
                if code:
                    wrong.append(f"supervisor {one.number} left with {code}")
        return wrong

    def close(self) -> None:
        """End whoever is left, at once, and wait until every group is empty."""
        for one in self.supervisors:
            one.end_group()
        for one in self.supervisors:
            one.process.wait()
        end = time.monotonic() + GONE_SECONDS
        while any(map(_has_members, self.supervisors)) and time.monotonic() < end:
            time.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Glance:
    """A process as the system shows it."""

    parent: int
    is_running: bool


def glance(pid: int) -> Glance | None:
    """Who started this process, and whether it is more than a zombie; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        state, parent = text.rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        if os.path.isdir("/proc/self"):
            return None
        listing = subprocess.run(
            ["ps", "-o", "state=,ppid=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        if not listing.stdout.strip():
            return None
        state, parent = listing.stdout.split()[:2]
    return Glance(int(parent), state[0] not in "ZX")


def _has_members(supervisor: Supervisor) -> bool:
    """Whether somebody of this group still runs. Zombies that nobody reaps are not waited for."""
    try:
        os.killpg(supervisor.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if not os.path.isdir("/proc/self"):
        return True
    return any(_is_running_in(entry, supervisor.pid) for entry in os.listdir("/proc") if entry.isdigit())


def _is_running_in(entry: str, group: int) -> bool:
    try:
        text = Path(f"/proc/{entry}/stat").read_text(errors="replace")
    except OSError:
        return False
    state, _, found = text.rpartition(")")[2].split()[:3]
    return int(found) == group and state not in "ZX"
