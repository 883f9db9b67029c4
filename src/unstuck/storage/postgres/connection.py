"""Connections to PostgreSQL in both colours: spell, send, and say in our words what went wrong.

Both stand in autocommit. A plan of one statement is sent as it is; a plan of several begins with one
round trip that also sets, for this transaction only, how long it may stand still, wait for a lock and
run a statement: a client that is stopped between two statements must not block the rest for ever.
Nothing outlives a transaction, so a pooler in transaction mode may stand between.

A connection knows when it is *spent* (the server went, went read-only, or the answer is lost); its owner
then drops it. Planning anew each time costs less than a millisecond per 500 rows, and a plan that was
cached while the table was small would scan it for ever. What inserts jobs may go a shorter way
(`shortcuts`).
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, LiteralString

import psycopg
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.types.string import ByteaBinaryLoader, TextLoader

from unstuck.model.errors import StoreUnavailable
from unstuck.storage.plan import Mode, Request, Script, Statement
from unstuck.storage.postgres.address import Address
from unstuck.storage.postgres.arrays import all_packed
from unstuck.storage.postgres.copying import CLOCK, copying, do_meanwhile, portions
from unstuck.storage.postgres.dialect import PostgresDialect
from unstuck.storage.postgres.errors import is_spent, not_connected, said
from unstuck.storage.postgres.shortcuts import Hint, Shortcuts, Way, answer_to_fresh, fresh
from unstuck.storage.postgres.waiting import AsyncKind
from unstuck.storage.sql.library import Style

BEGIN = (
    "/* unstuck:begin */ BEGIN ISOLATION LEVEL READ COMMITTED;"
    " SET LOCAL idle_in_transaction_session_timeout = '5s';"
    " SET LOCAL lock_timeout = '3s';"
    " SET LOCAL statement_timeout = '30s'"
)
SNAPSHOT = BEGIN.replace("READ COMMITTED", "REPEATABLE READ READ ONLY")
COMMIT = "/* unstuck:commit */ COMMIT"
ROLLBACK = "/* unstuck:rollback */ ROLLBACK"
SERVED_BY = "/* unstuck:served_by */ SELECT pg_backend_pid()"

BINARY = frozenset({"claim", "settle_successes"})
"""Whose answers are many ids and numbers: the server sends them as they are, and nobody reads digits."""

_AROUND: dict[Mode, LiteralString] = {Mode.TRANSACTION: BEGIN, Mode.SNAPSHOT: SNAPSHOT}


class _Common:
    """What both colours know of their connection."""

    def __init__(self, raw: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], address: Address):
        self.address = address
        self.is_spent = False
        self.opened = time.monotonic()
        self._pgconn = raw.pgconn
        self._mode = Mode.READ
        self._is_utf8 = raw.pgconn.parameter_status(b"client_encoding") == b"UTF8"
        if self._is_utf8:
            # An id comes as it is, and `rows` makes of it what is wanted: the driver's own way takes 2 to 3 µs each.
            raw.adapters.register_loader("uuid", TextLoader)
            raw.adapters.register_loader("uuid", ByteaBinaryLoader)
        self._readable = _watch(raw.pgconn.socket)
        self._shortcuts = Shortcuts(may_copy=self._is_utf8)
        self._is_first = False
        self.hint: Hint | None = None
        """What may be said with the commit of a single insert; none any more where it was."""

    @property
    def is_dead(self) -> bool:
        """Whether the server has closed the connection while nobody used it; asks the socket, not the server."""
        if self.is_spent or self._pgconn.status != ConnStatus.OK:
            return True
        try:
            # A server speaks unasked only to say goodbye, or of a changed setting: then another is opened.
            return self._readable()
        except (psycopg.Error, OSError, ValueError):
            return True

    @property
    def greeted_by(self) -> int:
        """The process that said hello: a pooler makes one up."""
        return self._pgconn.backend_pid

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open and nothing is in flight."""
        return self._pgconn.transaction_status == TransactionStatus.IDLE

    @property
    def _is_left(self) -> bool:
        """Whether there is nothing to undo, or nobody to ask: who left in the middle of an answer can ask no more."""
        is_answering = self._pgconn.transaction_status == TransactionStatus.ACTIVE
        self.is_spent = self.is_spent or is_answering
        return self.is_spent or self.is_idle

    def cut(self) -> None:
        """Break the connection under whoever waits for it: he sees it closed, at once, and no cancel is sent."""
        self.is_spent = True
        try:
            descriptor = self._pgconn.socket
        except psycopg.Error:
            return
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            try:
                twin.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _spelled(self, dialect: PostgresDialect, request: Request) -> list[tuple[bytes, Any]]:
        if isinstance(request, Statement):
            spelled = dialect.spell(request, Style.PYFORMAT)
            if request.rows is None or not self._is_utf8:
                return [(_as_bytes(each.text), each.values) for each in spelled]
            return [(_as_bytes(each.text), all_packed(each.values)) for each in spelled]
        if isinstance(request, Script):
            return [(request.text.encode(), None)]
        raise TypeError(f"PostgreSQL runs statements, not a {type(request).__name__}")

    def _is_binary(self, request: Request) -> bool:
        return self._is_utf8 and isinstance(request, Statement) and request.block in BINARY

    def _said(self, error: psycopg.Error, *, at_commit: bool = False) -> Exception:
        is_gone = self._pgconn.status != ConnStatus.OK
        if is_gone or is_spent(error):
            self.is_spent = True
        in_doubt = at_commit or self._mode is Mode.WRITE
        return said(error, self.address.shown, is_gone=is_gone, in_doubt=in_doubt)


class PostgresConnection(_Common):
    """The blocking colour; used by one thread at a time."""

    def __init__(self, address: Address, dialect: PostgresDialect):
        try:
            self._raw = psycopg.connect(address.conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise not_connected(error, address.shown) from error
        super().__init__(self._raw, address)
        self._dialect = dialect

    def begin(self, mode: Mode) -> None:
        """Begin, in one round trip, where the plan asks for a transaction."""
        self._mode = mode
        self._is_first = True
        if mode in _AROUND:
            self._send(_AROUND[mode])

    def execute(self, request: Request) -> Any:
        """The rows of one statement."""
        try:
            return self._execute(request)
        finally:
            self._shortcuts.used()

    def _execute(self, request: Request) -> Any:
        is_first, self._is_first = self._is_first, False
        short = self._shortcuts
        if short.wants_to_know(request, self._mode):
            short.learn(is_direct=self._is_utf8 and self.served_by() == self.greeted_by)
        way = short.way(request, self._mode, is_first=is_first)
        if way is not Way.USUAL:
            try:
                return self._ask(request, way)
            except psycopg.Error as error:
                if not short.is_back_at_start(way, error):
                    raise self._said(error) from error
            if self._mode is Mode.TRANSACTION:
                self.rollback(self._mode)
                if self.is_spent:
                    raise StoreUnavailable(f"{self.address.shown} went away before anything was inserted")
                self.begin(self._mode)
                self._is_first = False
        try:
            return self._ask(request, Way.USUAL)
        except psycopg.Error as error:
            raise self._said(error) from error

    def _ask(self, request: Request, way: Way) -> list[tuple[Any, ...]]:
        if way is Way.PREPARED:
            assert isinstance(request, Statement)
            rows = self._raw.wait(self._shortcuts.sending(self._raw, self._dialect, request, self.hint))
            self.hint = None
            return rows
        if way is Way.COPIED:
            return self._copied(request)
        found: list[tuple[Any, ...]] = []
        for text, values in self._spelled(self._dialect, request):
            sent = fresh(text) if way is Way.FRESH else text
            cursor = self._raw.execute(sent, values, binary=self._is_binary(request))
            if (answer := cursor.pgresult) is not None and answer.nfields:
                found += cursor.fetchall()
        return answer_to_fresh(request) if way is Way.FRESH else found

    def _copied(self, request: Request) -> list[tuple[Any, ...]]:
        ((now_us,),) = self._ask(CLOCK, Way.USUAL)
        text, columns = copying(self._dialect, request)
        with self._raw.cursor() as cursor, cursor.copy(text) as copy:
            for portion in portions(request, columns, now_us):
                copy.write(portion)
            do_meanwhile(request)
            return answer_to_fresh(request)

    def commit(self, mode: Mode) -> None:
        """Make it durable; from here to the answer the outcome is in doubt."""
        if mode in _AROUND:
            self._send(COMMIT, at_commit=mode is Mode.TRANSACTION)

    def rollback(self, mode: Mode) -> None:
        """Undo, if there is anybody left to ask."""
        if self._is_left:
            return
        try:
            self._raw.execute(ROLLBACK)
        except psycopg.Error:
            self.is_spent = True

    def served_by(self) -> int:
        """The process of the server that answers now."""
        try:
            row = self._raw.execute(SERVED_BY).fetchone()
        except psycopg.Error as error:
            raise self._said(error) from error
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """Close; never waits."""
        self._raw.close()

    def _send(self, text: LiteralString, *, at_commit: bool = False) -> None:
        try:
            self._raw.execute(text)
        except psycopg.Error as error:
            raise self._said(error, at_commit=at_commit) from error


class AsyncPostgresConnection(_Common):
    """The async colour; used by one task at a time. The twin of the blocking one, word for word."""

    def __init__(self, raw: psycopg.AsyncConnection[Any], address: Address, dialect: PostgresDialect):
        super().__init__(raw, address)
        self._raw = raw
        self._dialect = dialect

    @classmethod
    async def open(
        cls, address: Address, dialect: PostgresDialect, kind: AsyncKind = psycopg.AsyncConnection
    ) -> AsyncPostgresConnection:
        """Connect."""
        try:
            raw = await kind.connect(address.conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise not_connected(error, address.shown) from error
        return cls(raw, address, dialect)

    async def begin(self, mode: Mode) -> None:
        """Begin, in one round trip, where the plan asks for a transaction."""
        self._mode = mode
        self._is_first = True
        if mode in _AROUND:
            await self._send(_AROUND[mode])

    async def execute(self, request: Request) -> Any:
        """The rows of one statement."""
        try:
            return await self._execute(request)
        finally:
            self._shortcuts.used()

    async def _execute(self, request: Request) -> Any:
        is_first, self._is_first = self._is_first, False
        short = self._shortcuts
        if short.wants_to_know(request, self._mode):
            short.learn(is_direct=self._is_utf8 and await self.served_by() == self.greeted_by)
        way = short.way(request, self._mode, is_first=is_first)
        if way is not Way.USUAL:
            try:
                return await self._ask(request, way)
            except psycopg.Error as error:
                if not short.is_back_at_start(way, error):
                    raise self._said(error) from error
            if self._mode is Mode.TRANSACTION:
                await self.rollback(self._mode)
                if self.is_spent:
                    raise StoreUnavailable(f"{self.address.shown} went away before anything was inserted")
                await self.begin(self._mode)
                self._is_first = False
        try:
            return await self._ask(request, Way.USUAL)
        except psycopg.Error as error:
            raise self._said(error) from error

    async def _ask(self, request: Request, way: Way) -> list[tuple[Any, ...]]:
        if way is Way.PREPARED:
            assert isinstance(request, Statement)
            rows = await self._raw.wait(self._shortcuts.sending(self._raw, self._dialect, request, self.hint))
            self.hint = None
            return rows
        if way is Way.COPIED:
            return await self._copied(request)
        found: list[tuple[Any, ...]] = []
        for text, values in self._spelled(self._dialect, request):
            sent = fresh(text) if way is Way.FRESH else text
            cursor = await self._raw.execute(sent, values, binary=self._is_binary(request))
            if (answer := cursor.pgresult) is not None and answer.nfields:
                found += await cursor.fetchall()
        return answer_to_fresh(request) if way is Way.FRESH else found

    async def _copied(self, request: Request) -> list[tuple[Any, ...]]:
        ((now_us,),) = await self._ask(CLOCK, Way.USUAL)
        text, columns = copying(self._dialect, request)
        async with self._raw.cursor() as cursor, cursor.copy(text) as copy:
            for portion in portions(request, columns, now_us):
                await copy.write(portion)
            do_meanwhile(request)
            return answer_to_fresh(request)

    async def commit(self, mode: Mode) -> None:
        """Make it durable; from here to the answer the outcome is in doubt."""
        if mode in _AROUND:
            await self._send(COMMIT, at_commit=mode is Mode.TRANSACTION)

    async def rollback(self, mode: Mode) -> None:
        """Undo, if there is anybody left to ask."""
        if self._is_left:
            return
        try:
            await self._raw.execute(ROLLBACK)
        except psycopg.Error:
            self.is_spent = True

    async def served_by(self) -> int:
        """The process of the server that answers now."""
        try:
            cursor = await self._raw.execute(SERVED_BY)
            row = await cursor.fetchone()
        except psycopg.Error as error:
            raise self._said(error) from error
        assert row is not None
        return int(row[0])

    async def aclose(self) -> None:
        """Close; never waits for the server."""
        await self._raw.close()

    async def _send(self, text: LiteralString, *, at_commit: bool = False) -> None:
        try:
            await self._raw.execute(text)
        except psycopg.Error as error:
            raise self._said(error, at_commit=at_commit) from error


def _watch(descriptor: int) -> Callable[[], bool]:
    """Answers whether there is something to read, now, with one question to the system."""
    if not hasattr(select, "poll"):
        return lambda: bool(select.select([descriptor], [], [], 0)[0])
    watch = select.poll()
    watch.register(descriptor, select.POLLIN)
    return lambda: bool(watch.poll(0))


@lru_cache(maxsize=1024)
def _as_bytes(text: str) -> bytes:
    # As bytes, because psycopg takes a str only where a type checker sees that it is a literal.
    return text.encode()
