"""The deadlines of one lane: the words of `asyncio.timeout`, one timer for as many as follow each other.

Nearly every request is answered long before its deadline. A timer for each would be the most frequent event of
a world, set only to be taken back. So one timer stands for all that are under way on a lane; when it fires it
cancels the tasks whose time is up, and is set anew for the first of the others, if there are any.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulation.loop import SimulatedLoop

EARLY = 1e-6
"""Seconds that a timer may fire too soon by, because moments are rounded."""


class Deadline:
    """One request of one task that is under way."""

    __slots__ = ("cancels", "has_fired", "task", "until")

    def __init__(self, task: asyncio.Task[Any], until: float):
        self.task = task
        self.until = until
        self.has_fired = False
        self.cancels = task.cancelling()


class Deadlines:
    """`begin` and `end` around each request; `has_passed` says who cancelled it."""

    def __init__(self, loop: SimulatedLoop):
        self._loop = loop
        self._open: list[Deadline] = []
        self._alarm: Any = None
        self._alarm_at = 0.0

    def begin(self, seconds: float) -> Deadline:
        """The running task has so long."""
        task = asyncio.current_task(self._loop)
        assert task is not None
        until = self._loop.time() + seconds
        deadline = Deadline(task, until)
        self._open.append(deadline)
        if self._alarm is None:
            self._set(until)
        elif until < self._alarm_at:
            self.close()
            self._set(until)
        return deadline

    def has_passed(self, deadline: Deadline) -> bool:
        """Asked where the task was cancelled: whether by this deadline, and by nobody else beside it."""
        if not deadline.has_fired:
            return False
        deadline.has_fired = False
        return deadline.task.uncancel() <= deadline.cancels

    def end(self, deadline: Deadline) -> None:
        """The request is over."""
        self._open.remove(deadline)
        if deadline.has_fired:
            deadline.task.uncancel()

    def close(self) -> None:
        """Nobody waits any more, or not for so long."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _set(self, at: float) -> None:
        self._alarm_at = at
        self._alarm = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._alarm = None
        now = self._loop.time() + EARLY
        waiting = [deadline for deadline in self._open if not deadline.has_fired]
        for deadline in waiting:
            if deadline.until <= now:
                deadline.has_fired = True
                deadline.task.cancel()
        later = [deadline.until for deadline in waiting if not deadline.has_fired]
        if later:
            self._set(min(later))
