"""A lane: one connection on which the engine runs plans one at a time, and which heals itself.

A plan has a deadline. When it passes, the connection is broken at the socket, so that whoever reads from
it returns at once, and nothing waits for a server that may be gone or stopped: no cancel is sent, no
goodbye is said. The driver's own answer then tells whether the outcome is in doubt. The next plan opens
a new connection.

A plan runs in the task of whoever asked for it, which is woken once, with the answer (`waiting`): each further turn
of the loop is one in which threads have the interpreter first.
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
"""How long a plan may take to see that its connection was broken."""


class PostgresLane:
    """See the essay above. `name` is for people."""

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
            connection = self._connection
            is_old = connection is not None and time.monotonic() - connection.opened > LIFE_SECONDS
            if connection is None or is_old or connection.is_dead:
                connection = await self._connected(plan, until)
            return await self._run(connection, plan, until)
        finally:
            self._turn.release()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._drop()

    async def _connected(self, plan: Plan[R], until: float | None) -> AsyncPostgresConnection:
        """A new connection. Where there is none in time, nothing has happened."""
        await self._drop()
        try:
            async with asyncio.timeout_at(until):
                self._connection = connection = await self._open()
        except TimeoutError:
            raise StoreUnavailable(f"{plan.name} did not get a connection within its deadline") from None
        return connection

    async def _run(self, connection: AsyncPostgresConnection, plan: Plan[R], until: float | None) -> R:
        watch = _Watch(connection, until)
        try:
            return await run_async(connection, plan)
        except asyncio.CancelledError:
            connection.cut()
            if not watch.has_given_up():
                raise
            if plan.mode.is_reading:
                raise StoreUnavailable(f"{plan.name} did not answer within its deadline") from None
            raise OutcomeUnknown(f"{plan.name} did not answer within its deadline") from None
        finally:
            watch.close()
            if connection.is_spent or not connection.is_idle:
                await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()


class _Watch:
    """Over one plan: breaks its connection at the deadline, and its task where that does not see it."""

    def __init__(self, connection: AsyncPostgresConnection, until: float | None):
        self._connection = connection
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancels = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._has_given_up = False
        self._alarm = None if until is None else self._loop.call_at(until, self._break)

    def close(self) -> None:
        """The plan is over."""
        if self._alarm is not None:
            self._alarm.cancel()

    def has_given_up(self) -> bool:
        """Whether it was the watch that cancelled the task, and nobody else."""
        return self._has_given_up and self._task.uncancel() <= self._cancels

    def _break(self) -> None:
        self._connection.cut()
        self._alarm = self._loop.call_later(BREAK_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._has_given_up = True
        self._task.cancel()
