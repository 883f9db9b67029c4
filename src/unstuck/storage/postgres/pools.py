"""Connections kept for the next caller: one small pool per process for code that blocks, one per loop for
code that awaits.

Both open a connection when one is needed and none is idle, up to eight; the ninth caller waits. A spent
connection is dropped, one that the server closed meanwhile is noticed before it is used, and after ten
minutes each is replaced, so that nobody stays on a server that is no longer the right one. After a fork
the child begins with an empty pool and lets the parent's connections alone.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from unstuck.model.errors import StoreUnavailable
from unstuck.storage.postgres.connection import AsyncPostgresConnection, PostgresConnection

CONNECTIONS_MAX = 8
LIFE_SECONDS = 600.0
WAIT_SECONDS = 30.0

_LEFT_BY_PARENT: list[PostgresConnection] = []
"""Connections of the parent after a fork: to close one here would say goodbye in the parent's name."""


class Pool:
    """For code that blocks."""

    def __init__(self, open: Callable[[], PostgresConnection]):
        self._open = open
        self._begin()

    def take(self) -> PostgresConnection:
        """A connection for one plan, to be given back. Raises StoreUnavailable where none becomes free in time."""
        if self._pid != os.getpid():
            _LEFT_BY_PARENT.extend(self._idle)
            self._begin()
        connection = self._lent()
        if connection is not None and not connection.is_dead:
            return connection
        if connection is not None:
            connection.close()
        try:
            return self._open()
        except BaseException:
            self._return(None)
            raise

    def give(self, connection: PostgresConnection) -> None:
        """Take a connection back; one that is not known to be at rest is closed."""
        is_old = time.monotonic() - connection.opened > LIFE_SECONDS
        if connection.is_spent or is_old:
            connection.close()
            self._return(None)
        else:
            self._return(connection)

    def close(self) -> None:
        """Close what is idle."""
        if self._pid == os.getpid():
            with self._changed:
                idle = self._idle.copy()
                self._idle.clear()
            for connection in idle:
                connection.close()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition(threading.Lock())
        self._idle: list[PostgresConnection] = []
        self._places = CONNECTIONS_MAX
        self._waiting = 0

    def _lent(self) -> PostgresConnection | None:
        """A place, with the connection that was used last, or none where all are in use."""
        with self._changed:
            if not self._places:
                self._wait()
            self._places -= 1
            return self._idle.pop() if self._idle else None

    def _wait(self) -> None:
        self._waiting += 1
        try:
            if not self._changed.wait_for(lambda: self._places > 0, WAIT_SECONDS):
                raise StoreUnavailable(
                    f"all {CONNECTIONS_MAX} connections were busy for {WAIT_SECONDS:.0f} s"
                )
        finally:
            self._waiting -= 1

    def _return(self, connection: PostgresConnection | None) -> None:
        with self._changed:
            self._places += 1
            if connection is not None:
                self._idle.append(connection)
            if self._waiting:
                self._changed.notify()


class AsyncPool:
    """For code that awaits, on one loop."""

    def __init__(self, open: Callable[[], Awaitable[AsyncPostgresConnection]]):
        self._open = open
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)
        self._idle: list[AsyncPostgresConnection] = []
        self._is_closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[AsyncPostgresConnection, None]:
        """A connection for one plan."""
        async with self._places:
            connection = await self._take() or await self._open()
            try:
                yield connection
            except BaseException:
                connection.is_spent = connection.is_spent or not connection.is_idle
                raise
            finally:
                await self._give(connection)

    async def aclose(self) -> None:
        """Close what is idle; what is in use is closed when it comes back."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().aclose()

    async def _take(self) -> AsyncPostgresConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_dead:
                return connection
            await connection.aclose()
        return None

    async def _give(self, connection: AsyncPostgresConnection) -> None:
        is_old = time.monotonic() - connection.opened > LIFE_SECONDS
        if connection.is_spent or self._is_closed or is_old:
            await connection.aclose()
        else:
            self._idle.append(connection)
