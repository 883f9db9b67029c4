"""A lane: one connection on which the engine runs plans one at a time, and which heals itself.

A plan has a deadline. When it passes, the connection is broken at the socket, so that whoever reads from
it returns at once, and nothing waits for a server that may be gone or stopped: no cancel is sent, no
goodbye is said. The driver's own answer then tells whether the outcome is in doubt. The next plan opens
a new connection.

A plan runs in the task that asks for it, beside one timer: a task of its own would be one more turn of the loop before
the statement is sent and one more behind its answer, and for the claim of a single job that is what somebody waits for.
So a task that is cancelled in the middle leaves at once, and breaks the connection as it goes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from unstuck.model.errors import OutcomeUnknown, StoreUnavailable
from unstuck.storage.plan import Plan, run_async
from unstuck.storage.postgres.connection import AsyncPostgresConnection

R = TypeVar("R")

LIFE_SECONDS = 600.0
BREAK_SECONDS = 1.0
"""How long a task may take to see that its connection was broken."""


class PostgresLane:
    """See the essay above. `name` is for people. `open` gives connections that ask no server to
    cancel what their task no longer waits for."""

    def __init__(self, name: str, open: Callable[[], Awaitable[AsyncPostgresConnection]]):
        self.name = name
        self._open = open
        self._turn = asyncio.Lock()
        self._queued = 0
        self._connection: AsyncPostgresConnection | None = None

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        """Run the plan; `deadline` in seconds from now, the wait for one's turn included."""
        until = None if deadline is None else asyncio.get_running_loop().time() + deadline
        if self._queued or self._turn.locked():
            self._queued += 1
            try:
                async with asyncio.timeout_at(until):
                    await self._turn.acquire()
            except TimeoutError:
                raise StoreUnavailable(f"{plan.name} did not get its turn within {deadline:.1f} s") from None
            finally:
                self._queued -= 1
        else:
            await self._turn.acquire()  # at once: nobody is before us
        try:
            return await (self._run(plan) if until is None else self._watched(plan, until))
        finally:
            self._turn.release()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._drop()

    async def _run(self, plan: Plan[R]) -> R:
        connection = self._connection
        is_old = connection is not None and time.monotonic() - connection.opened > LIFE_SECONDS
        if connection is None or is_old or connection.is_dead:
            await self._drop()
            connection = self._connection = await self._open()
        try:
            return await run_async(connection, plan)
        finally:
            if connection.is_spent or not connection.is_idle:
                connection.cut()
                await self._drop()

    async def _watched(self, plan: Plan[R], until: float) -> R:
        watch = _Watch(self, until)
        try:
            return await self._run(plan)
        except asyncio.CancelledError:
            if not watch.has_cancelled():
                raise
        finally:
            watch.close()
        if plan.mode.is_reading:
            raise StoreUnavailable(f"{plan.name} did not answer within its deadline")
        raise OutcomeUnknown(f"{plan.name} did not answer within its deadline")

    def cut(self) -> bool:
        """Break the connection under whoever waits for it; False where there is none yet."""
        if self._connection is not None:
            self._connection.cut()
        return self._connection is not None

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()


class _Watch:
    """Ends the current task's plan at its deadline: by breaking the connection, and if the task does not see that within
    a second, or is still connecting, by cancelling it."""

    __slots__ = ("_alarm", "_cancels", "_has_cancelled", "_lane", "_loop", "_task")

    def __init__(self, lane: PostgresLane, until: float):
        self._lane = lane
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancels = task.cancelling()
        self._has_cancelled = False
        self._alarm = self._loop.call_at(until, self._pass)

    def _pass(self) -> None:
        if self._lane.cut():
            self._alarm = self._loop.call_later(BREAK_SECONDS, self._cancel)
        else:
            self._cancel()

    def _cancel(self) -> None:
        self._has_cancelled = True
        self._task.cancel()

    def has_cancelled(self) -> bool:
        """Whether that the task was cancelled was our doing, and nobody else's; takes it back then."""
        return self._has_cancelled and self._task.uncancel() <= self._cancels

    def close(self) -> None:
        """The plan is over."""
        self._alarm.cancel()
