"""A bound on how long each round of a loop may take: the words of `asyncio.timeout`, one timer for all rounds.

A loop goes round several times a second for months, and next to none of its rounds is late. A timer set and
taken back at each round costs more than most rounds do, and an event loop keeps what was taken back until
its time has come. So one timer stands for many rounds: when it fires, it looks whether the round that is
under way has had its time, and if not, it is set anew for when that will be so; while nothing is under
way, there is none. A round that has had its time is cancelled, and what comes out is a `TimeoutError`, unless somebody
else wanted the task to end as well. The rests between two rounds (`Bell`) are as cheap: one timer, no task.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

SHORTEST_REST = 0.01
"""Seconds, for whoever waits for a moment: clocks that differ, or round, must not make it ask without end."""


class Patience:
    """`with patience:` around each round, always in the same task; `close` when there will be no more."""

    __slots__ = ("_alarm", "_cancels", "_has_ended", "_loop", "_seconds", "_task", "_until")

    def __init__(self, seconds: float):
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._seconds = seconds
        self._until: float | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._has_ended = False
        self._cancels = 0

    def __enter__(self) -> Self:
        self._until = self._loop.time() + self._seconds
        self._has_ended = False
        self._cancels = self._task.cancelling()
        if self._alarm is None:
            self._alarm = self._loop.call_at(self._until, self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._until = None
        if self._has_ended and self._task.uncancel() <= self._cancels and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def close(self) -> None:
        """No more rounds."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look(self) -> None:
        self._alarm = None
        if self._until is None:
            return
        if self._until - self._loop.time() > SHORTEST_REST:
            self._alarm = self._loop.call_at(self._until, self._look)
        else:
            self._has_ended = True
            self._task.cancel()


class Bell:
    """What a loop rests by: `rest` ends at its time, or when somebody rings, were it before the rest began."""

    __slots__ = ("_is_rung", "_waiter")

    def __init__(self) -> None:
        self._is_rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self, because: object = None) -> None:
        """End the rest that is under way, or the next one."""
        self._is_rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def hush(self) -> None:
        """Forget that somebody rang."""
        self._is_rung = False

    async def rest(self, seconds: float) -> None:
        """Wait until somebody rings or so many seconds have passed; only one task may rest by a bell."""
        if not self._is_rung:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            alarm = loop.call_later(seconds, self.ring)
            try:
                await self._waiter
            finally:
                self._waiter = None
                alarm.cancel()
        self._is_rung = False
