"""A lane: one connection on which the engine runs plans one at a time, and which heals itself.

A plan has a deadline. When it passes, the connection is broken at the socket, so that whoever reads from
it returns at once, and nothing waits for a server that may be gone or stopped: no cancel is sent, no
goodbye is said. The driver's own answer then tells whether the outcome is in doubt. The next plan opens
a new connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from unstuck.model.errors import OutcomeUnknown, StoreUnavailable
from unstuck.storage.plan import Plan, run_async
from unstuck.storage.postgres.connection import AsyncPostgresConnection

R = TypeVar("R")

LIFE_SECONDS = 600.0
BREAK_SECONDS = 1.0
"""How long a task may take to see that its connection was broken."""


class PostgresLane:
    """See the essay above. `name` is for people."""

    def __init__(self, name: str, open: Callable[[], Awaitable[AsyncPostgresConnection]]):
        self.name = name
        self._open = open
        self._turn = asyncio.Lock()
        self._connection: AsyncPostgresConnection | None = None

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        """Run the plan; `deadline` in seconds from now, the wait for one's turn included."""
        loop = asyncio.get_running_loop()
        until = None if deadline is None else loop.time() + deadline
        try:
            async with asyncio.timeout_at(until):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailable(f"{plan.name} did not get its turn within {deadline:.1f} s") from None
        try:
            task = loop.create_task(self._run(plan))
            return await self._watched(task, plan, None if until is None else until - loop.time())
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
                await self._drop()

    async def _watched(self, task: asyncio.Task[R], plan: Plan[R], seconds: float | None) -> R:
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if done:
                return task.result()
            await self._break(task)
        except asyncio.CancelledError:
            await self._break(task)
            raise
        if task.done() and not task.cancelled():
            return task.result()
        if plan.mode.is_reading:
            raise StoreUnavailable(f"{plan.name} did not answer within its deadline")
        raise OutcomeUnknown(f"{plan.name} did not answer within its deadline")

    async def _break(self, task: asyncio.Task[Any]) -> None:
        """Break the connection under the task, and see it end."""
        if self._connection is None:
            # Still connecting: there is nothing in flight, and nothing to break but the attempt.
            task.cancel()
        else:
            self._connection.cut()
        done, _ = await asyncio.wait({task}, timeout=BREAK_SECONDS)
        if not done:
            task.cancel()
            self._connection = None
        task.add_done_callback(_seen)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()


def _seen(task: asyncio.Task[Any]) -> None:
    """Take the error of a task that nobody waits for."""
    if not task.cancelled():
        task.exception()
