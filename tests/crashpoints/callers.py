"""Connections of the user's own, for `tx=`: their round trips lead over the fuse of his process as well."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import asyncpg
import psycopg

from tests.crashpoints.striking import RAISE, SQLSTATES, Fault, Fuse, Wire, break_socket, spoil, strike_sqlite


class CallersSqlite(sqlite3.Connection):
    """A connection of the caller's own, for `tx=`: it leads over a fuse as well."""

    fuse: Fuse | None = None

    def execute(self, text: str, *values: Any) -> Any:
        return self.cursor().execute(text, *values)

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(CallersCursor)

    def commit(self) -> None:
        if self.fuse is None or not self.in_transaction:
            super().commit()
        else:
            strike_sqlite(self.fuse, "COMMIT", self, super().commit)


class CallersCursor(sqlite3.Cursor):
    """Its cursor."""

    def execute(self, text: str, *values: Any) -> Any:
        connection = self.connection
        assert isinstance(connection, CallersSqlite)
        act = super().execute
        if connection.fuse is None:
            return act(text, *values)
        return strike_sqlite(connection.fuse, text, connection, lambda: act(text, *values))


class CallersWire(Wire):
    """How a connection of the caller's is cut."""

    def __init__(self, cut: Callable[[], None]):
        self.cut = cut  # type: ignore[method-assign]


class CallersPostgres(psycopg.Connection[Any]):
    """A psycopg connection of the caller's own: each of its round trips leads over a fuse."""

    fuse: Fuse | None = None
    terminate: Callable[[int], None]

    def wait(self, gen: Any, interval: float = 0.1) -> Any:
        fuse = self.fuse
        if fuse is None:
            return super().wait(gen, interval)
        self.fuse = None  # what the fault itself sends is not counted
        try:
            fault = fuse.next(getattr(gen, "__name__", "round trip"))
            if fault in SQLSTATES:
                gen.close()
                spoil(self.pgconn, SQLSTATES[fault])
            backend = self.info.backend_pid
            if fault is Fault.LOST:
                break_socket(self.pgconn)
                self.terminate(backend)
            answer = super().wait(gen, interval)
            fuse.done()
            if fault is Fault.UNANSWERED:
                break_socket(self.pgconn)
                self.terminate(backend)
                raise psycopg.OperationalError("the connection was lost")
            if fault is not None and fault.is_deadly:
                fuse.die()
            return answer
        finally:
            self.fuse = fuse


class CallersAsyncPostgres(psycopg.AsyncConnection[Any]):
    """The awaiting twin, word for word."""

    fuse: Fuse | None = None
    terminate: Callable[[int], None]

    async def wait(self, gen: Any, interval: float = 0.1) -> Any:
        fuse = self.fuse
        if fuse is None:
            return await super().wait(gen, interval)
        self.fuse = None
        try:
            fault = fuse.next(getattr(gen, "__name__", "round trip"))
            if fault in SQLSTATES:
                gen.close()
                spoil(self.pgconn, SQLSTATES[fault])
            backend = self.info.backend_pid
            if fault is Fault.LOST:
                break_socket(self.pgconn)
                self.terminate(backend)
            answer = await super().wait(gen, interval)
            fuse.done()
            if fault is Fault.UNANSWERED:
                break_socket(self.pgconn)
                self.terminate(backend)
                raise psycopg.OperationalError("the connection was lost")
            if fault is not None and fault.is_deadly:
                await fuse.adie()
            return answer
        finally:
            self.fuse = fuse


class CallersAsyncpg(asyncpg.Connection):  # type: ignore[misc]
    """An asyncpg connection of the caller's own; BEGIN, every statement and COMMIT lead over the fuse."""

    fuse: Fuse | None = None
    terminate_backend: Callable[[int], None]

    async def fetch(self, query: str, *args: Any, **rest: Any) -> Any:
        return await self._struck(query, lambda: super(CallersAsyncpg, self).fetch(query, *args, **rest))

    async def execute(self, query: str, *args: Any, **rest: Any) -> Any:
        return await self._struck(query, lambda: super(CallersAsyncpg, self).execute(query, *args, **rest))

    async def _struck(self, text: str, act: Callable[[], Any]) -> Any:
        fuse, backend = self.fuse, self.get_server_pid()
        if fuse is None:
            return await act()
        fault = fuse.next(text)
        if fault in SQLSTATES:
            try:
                return await super().execute(RAISE.format(SQLSTATES[fault]))
            finally:
                if text.startswith("COMMIT"):
                    await super().execute("ROLLBACK")  # a COMMIT that fails ends its transaction
        if fault is Fault.LOST:
            self.terminate_backend(backend)
        answer = await act()
        fuse.done()
        if fault is Fault.UNANSWERED:
            self.terminate_backend(backend)
            return await act()  # the driver itself says what it says of a connection that has gone
        if fault is not None and fault.is_deadly:
            await fuse.adie()
        return answer
