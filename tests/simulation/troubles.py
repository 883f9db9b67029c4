"""Troubles: what the weather has done to whom, and who therefore has no excuse.

A process is *calm* since a moment if nothing has touched it since: it was neither stopped nor cut off nor slow,
the store answered, nobody held its lock. What goes wrong for a process in trouble may be excused; what goes
wrong for one that was calm is always a finding. An isolated attempt is only as calm as the worker that started it.
A trouble that lasts is written down when it begins, with its end; `healed` cuts short what the end of the
storm has cut short.
"""

from __future__ import annotations

from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.seen import SLACK, Attempt


class Troubles:
    """Who was touched by the weather, when, and until when."""

    def __init__(self, loop: SimulatedLoop):
        self._loop = loop
        self._trouble: dict[Process, float] = {}
        self._leaving: dict[Process, float] = {}
        self._locks: list[tuple[float, float]] = []
        self.stalls: list[tuple[float, float]] = []
        self.steps: list[float] = []

    # What the weather does

    def asked_to_leave(self, process: Process) -> None:
        """The process is asked to stop."""
        self._leaving.setdefault(process, self._loop.now)

    def touched(self, process: Process, seconds: float = 0.0) -> None:
        """The weather touches this process now and for so many seconds."""
        until = self._loop.now + seconds
        self._trouble[process] = max(until, self._trouble.get(process, 0.0))

    def eased(self, process: Process) -> None:
        """The weather has let go of this process, earlier than was said."""
        if process in self._trouble:
            self._trouble[process] = min(self._trouble[process], self._loop.now)

    def stalled(self, seconds: float) -> None:
        """The store answers nobody for so long."""
        now = self._loop.now
        self.stalls.append((now, now + seconds))

    def locked(self, seconds: float) -> None:
        """Somebody may hold the lock of the store for so long: nobody is calm meanwhile."""
        now = self._loop.now
        self._locks.append((now, now + seconds))

    def clock_stepped(self) -> None:
        """The store's clock has jumped, for everybody."""
        self.stalled(0.0)
        self.steps.append(self._loop.now)

    def healed(self) -> None:
        """The weather has let go of everybody."""
        now = self._loop.now
        self.stalls = [(start, min(end, now)) for start, end in self.stalls]
        self._locks = [(start, min(end, now)) for start, end in self._locks]
        self._trouble = {process: min(until, now) for process, until in self._trouble.items()}

    # Who has no excuse

    def is_leaving(self, process: Process, slack: float = 0.0) -> bool:
        """Whether it was asked to stop before this moment, by more than so many seconds."""
        return self._leaving.get(process, self._loop.now) < self._loop.now - slack

    def calm_since(self, process: Process, moment: float) -> bool:
        """Whether it runs, and nothing has touched it since."""
        worker = process.worker
        if process.is_dead or process.is_held or worker.is_dead or worker.is_held:
            return False
        now = self._loop.now
        if any(end > moment and start <= now for start, end in (*self.stalls, *self._locks)):
            return False
        return max(self._trouble.get(process, -1.0), self._trouble.get(worker, -1.0)) < moment

    def runs_on(self, attempt: Attempt) -> bool:
        """Whether a handler runs on, untold to stop, in a process without trouble since its start."""
        return (
            attempt.ended_at is None
            and attempt.stopped_at is None
            and self.calm_since(attempt.process, attempt.started_at - SLACK)
        )
