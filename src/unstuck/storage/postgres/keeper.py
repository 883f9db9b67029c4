"""The keeper on PostgreSQL: pools for those who call, lanes for the engine, an ear and a voice for hints.

Before the first plan of a process the schema is asked for once, so that a store that is not migrated, or
is of another version, is said in one sentence and not by the first statement that fails. Connections
name themselves by `application`, and ask nothing else of the session.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

import psycopg

from unstuck.model.errors import SchemaMismatch
from unstuck.storage.migrating import Ladder, Status, current
from unstuck.storage.opening import Ear, Keeper
from unstuck.storage.plan import Lane, Plan, run, run_async
from unstuck.storage.postgres.address import Address
from unstuck.storage.postgres.connection import AsyncPostgresConnection, PostgresConnection
from unstuck.storage.postgres.dialect import NOW, PostgresDialect
from unstuck.storage.postgres.ear import PostgresEar
from unstuck.storage.postgres.hinting import QUEUE, Hinter
from unstuck.storage.postgres.lane import PostgresLane
from unstuck.storage.postgres.pools import AsyncPool, Pool
from unstuck.storage.postgres.routing import route_of
from unstuck.storage.postgres.shortcuts import Hint
from unstuck.storage.postgres.store import PostgresStore
from unstuck.storage.postgres.waiting import AsyncKind, PromptConnection

R = TypeVar("R")


class PostgresKeeper(Keeper):
    """A database of a PostgreSQL server. `now` is the SQL of its clock, for the simulator."""

    engine = "postgres"

    def __init__(
        self,
        url: str,
        prefix: str = "unstuck_",
        application: str = "unstuck",
        now: str = NOW,
        event_log: bool = False,
    ):
        self.address = Address.of(url, application)
        self.url_shown = self.address.shown
        self.dialect = self._dialect = PostgresDialect(prefix, now)
        self.store = PostgresStore(prefix)
        self.migrator = Ladder(self._dialect, self._connected, event_log)
        self._event_log = event_log
        self._channel = f"{prefix}hints"
        self._pool = Pool(self.open)
        self._async_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncPool] = WeakKeyDictionary()
        self._hinter = Hinter(self.address, self._channel)
        self._checked_by = 0

    def open(self) -> PostgresConnection:
        """A blocking connection of one's own. Raises StoreErrors."""
        connection = PostgresConnection(self.address, self._dialect)
        try:
            if self._checked_by != os.getpid():
                self._check(run(connection, current(self._dialect, self._event_log)))
            return connection
        except BaseException:
            connection.close()
            raise

    async def aopen(self, kind: AsyncKind = psycopg.AsyncConnection) -> AsyncPostgresConnection:
        """An async connection of one's own. Raises StoreErrors."""
        connection = await AsyncPostgresConnection.open(self.address, self._dialect, kind)
        try:
            if self._checked_by != os.getpid():
                self._check(await run_async(connection, current(self._dialect, self._event_log)))
            return connection
        except BaseException:
            await connection.aclose()
            raise

    def run(self, plan: Plan[R]) -> R:
        return self._run(plan, None)[0]

    def run_telling(self, plan: Plan[R], queues: Collection[str]) -> R:
        hint = self._leading(queues)
        answer, has_told = self._run(plan, hint)
        self._tell(queues, has_told=has_told)
        return answer

    def _run(self, plan: Plan[R], hint: Hint | None) -> tuple[R, bool]:
        """The answer, and whether the hint went out with it."""
        pool = self._pool
        connection = pool.take()
        connection.hint = hint
        try:
            return run(connection, plan), hint is not None and connection.hint is None
        except BaseException:
            # Whatever was raised, only a connection that is known to be at rest is used again.
            connection.is_spent = connection.is_spent or not connection.is_idle
            raise
        finally:
            pool.give(connection)

    async def arun(self, plan: Plan[R]) -> R:
        return (await self._arun(plan, None))[0]

    async def arun_telling(self, plan: Plan[R], queues: Collection[str]) -> R:
        hint = self._leading(queues)
        answer, has_told = await self._arun(plan, hint)
        self._tell(queues, has_told=has_told)
        return answer

    async def _arun(self, plan: Plan[R], hint: Hint | None) -> tuple[R, bool]:
        loop = asyncio.get_running_loop()
        pool = self._async_pools.get(loop)
        if pool is None:
            pool = self._async_pools[loop] = AsyncPool(self.aopen)
        async with pool.connection() as connection:
            connection.hint = hint
            return await run_async(connection, plan), hint is not None and connection.hint is None

    def _leading(self, queues: Collection[str]) -> Hint | None:
        """The hint that may go out with the insert of a single job: the first for its queue in a while."""
        if len(queues) != 1:
            return None
        (queue,) = queues
        return (self._channel, QUEUE + queue) if self._hinter.may_lead(queue) else None

    def _tell(self, queues: Collection[str], *, has_told: bool) -> None:
        if has_told:
            (queue,) = queues
            self._hinter.has_led(queue)
        elif queues:
            self._hinter.say(queues)

    def lane(self, name: str) -> Lane:
        return PostgresLane(name, partial(self.aopen, PromptConnection))

    def ear(self) -> Ear | None:
        return PostgresEar(self.address, self._channel)

    def route(self) -> str:
        return route_of(self.open)

    def hint(self, queues: Iterable[str]) -> None:
        self._hinter.say(queues)

    def close(self) -> None:
        self._hinter.close()
        self._pool.close()

    async def aclose(self) -> None:
        loop = asyncio.get_running_loop()
        pool = self._async_pools.pop(loop, None)
        if pool is not None:
            await pool.aclose()
        await loop.run_in_executor(None, self.close)

    def _check(self, stands: Status) -> None:
        if not stands.is_current:
            raise SchemaMismatch(f"{self.url_shown}: {stands.sentence}")
        self._checked_by = os.getpid()

    @contextmanager
    def _connected(self) -> Generator[PostgresConnection, None, None]:
        connection = PostgresConnection(self.address, self._dialect)
        try:
            yield connection
        finally:
            connection.close()
