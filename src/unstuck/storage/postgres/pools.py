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
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

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

    @contextmanager
    def connection(self) -> Generator[PostgresConnection, None, None]:
        """A connection for one plan. Raises StoreUnavailable where none becomes free in time."""
        if self._pid != os.getpid():
            _LEFT_BY_PARENT.extend(self._idle)
            self._begin()
        if not self._places.acquire(timeout=WAIT_SECONDS):
            raise StoreUnavailable(f"all {CONNECTIONS_MAX} connections were busy for {WAIT_SECONDS:.0f} s")
        try:
            connection = self._take() or self._open()
            try:
                yield connection
            except BaseException:
                # Whatever was raised, only a connection that is known to be at rest is used again.
                connection.is_spent = connection.is_spent or not connection.is_idle
                raise
            finally:
                self._give(connection)
        finally:
            self._places.release()

    def close(self) -> None:
        """Close what is idle."""
        if self._pid == os.getpid():
            while connection := self._take(any=True):
                connection.close()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._idle: list[PostgresConnection] = []

    def _take(self, any: bool = False) -> PostgresConnection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if any or not connection.is_dead:
                return connection
            connection.close()

    def _give(self, connection: PostgresConnection) -> None:
        if connection.is_spent or time.monotonic() - connection.opened > LIFE_SECONDS:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)


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
