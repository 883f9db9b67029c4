"""One alarm for all timeouts: set for the earliest deadline, and set anew from what still runs.

A timer per job costs more than a job that does nothing, and nearly all of them would be cancelled. Here a
start only moves the alarm where its deadline comes before all others. When the alarm rings, whoever is
past his deadline is reported, and of the rest, never more than there are places, the earliest decides when
it rings again; whose end nobody waits for any more is simply not among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context

from unstuck.engine.run import Run

Strike = Callable[[Run], None]


class Deadlines:
    """The alarm of one worker; `running` answers its runs, `strike` is called with each that is late."""

    def __init__(
        self, now: Callable[[], float], running: Callable[[], Iterable[Run]], strike: Strike, context: Context
    ):
        self._now = now
        self._running = running
        self._strike = strike
        self._context = context
        self._alarm: asyncio.TimerHandle | None = None
        self._rings_at = 0.0

    def is_first(self, deadline: float) -> bool:
        """Whether the alarm must be set for it. Asked in any thread, of a run that is among those that run: an
        alarm that rings in between sees it there."""
        return self._alarm is None or deadline < self._rings_at

    def expect(self, deadline: float) -> None:
        """Somebody has begun who must be done by then."""
        if self.is_first(deadline):
            self._set(deadline)

    def _set(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings_at = at
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(max(0.0, at - self._now()), self._ring, context=self._context)

    def _ring(self) -> None:
        self._alarm = None
        now = self._now()
        ahead: list[float] = []
        for run in list(self._running()):
            if run.deadline is None:
                continue
            if run.deadline > now:
                ahead.append(run.deadline)
            else:
                run.deadline = None
                self._strike(run)
        if ahead:
            self.expect(min(ahead))
