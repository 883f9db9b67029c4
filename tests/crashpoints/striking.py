"""Faults at the n-th request: the wires of one process lead over a fuse that counts, and burns once.

What is counted is what the product really sends to its driver: BEGIN, every statement (on SQLite every
execution of it), COMMIT, ROLLBACK. So no list of points exists that somebody would have to keep: a plan
with one statement more has one point more. The connections below the fuse are the product's own, and
real; a fault happens to the driver's connection, and what the product makes of it is its own code:

- *lost*: the connection breaks first, the request never arrives;
- *refused*: the server answers with an error (its disk is full), and the transaction is spoilt;
- *conflict*: the server answers with one that asks to begin again (a deadlock, a busy file);
- *strange*: the server answers with an error that nobody has foreseen;
- *unanswered*: the request is done, then the connection breaks before the answer is read;
- *killed*: the request is done and the process freezes. It is never resumed: its connections are cut
  from the other side, and only when everything has been checked may its threads end, on dead wires;
- *sigkilled*: the same for a real process, by its own hand.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import psycopg

NAME = re.compile(r"/\* unstuck:(\w+) \*/")


class Fault(Enum):
    """What happens to a request."""

    LOST = "lost"
    REFUSED = "refused"
    CONFLICT = "conflict"
    STRANGE = "strange"
    UNANSWERED = "unanswered"
    KILLED = "killed"
    SIGKILLED = "sigkilled"

    @property
    def is_applied(self) -> bool:
        """Whether the store has done what it was asked."""
        return self in (Fault.UNANSWERED, Fault.KILLED, Fault.SIGKILLED)

    @property
    def is_deadly(self) -> bool:
        """Whether nothing of the process is left to repeat anything."""
        return self in (Fault.KILLED, Fault.SIGKILLED)


class Dead(BaseException):
    """The process is no more; whoever still runs in it gets this from every wire."""


class Wire:
    """One connection of the process as the fuse sees it."""

    def cut(self) -> None:
        """Break it from the other side, so that whatever it held is let go."""
        raise NotImplementedError


class Fuse:
    """Counts the requests of one process and burns at one of them; with `then`, once more at a later one.

    `after` is called when a request was done. Without a `frozen` callback a killed process does not
    freeze where it stands but gets `Dead` from all its wires: for loops that share a thread with the test.
    """

    def __init__(
        self,
        at: int | None = None,
        fault: Fault | None = None,
        after: Callable[[], None] | None = None,
        then: tuple[int, Fault] | None = None,
    ):
        self.at = at
        self.fault = fault
        self.requests: list[str] = []
        self.wires: list[Wire] = []
        self.then = then
        self.is_burnt = False
        self.is_dead = False
        self.freezes: Callable[[], None] | None = None
        self.after = after
        self._thawed = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def next(self, text: str) -> Fault | None:
        """Count a request; what is to happen to it."""
        if self.is_dead:
            raise Dead
        self.requests.append(words_of(text))
        if self.is_burnt and self.then is not None and len(self.requests) >= self.then[0]:
            (_, fault), self.then = self.then, None
            return fault
        if self.is_burnt or len(self.requests) != self.at:
            return None
        self.is_burnt = True
        return self.fault

    def done(self) -> None:
        """A request was done by the store."""
        if self.after is not None:
            self.after()

    def die(self) -> None:
        """The blocking way to be killed."""
        self._begin_to_die()
        if self.freezes is not None:
            self._thawed.wait()
        raise Dead

    async def adie(self) -> None:
        """The awaiting way to be killed."""
        self._begin_to_die()
        if self.freezes is not None and not self._thawed.is_set():
            loop = asyncio.get_running_loop()
            frozen = loop.create_future()
            self._waiting.append((loop, frozen))
            await frozen
        raise Dead

    def thaw(self) -> None:
        """All was checked: let the threads and tasks of the dead process end."""
        self.is_dead = True
        self._thawed.set()
        for loop, frozen in self._waiting:
            loop.call_soon_threadsafe(lambda frozen=frozen: frozen.done() or frozen.set_result(None))

    def _begin_to_die(self) -> None:
        if self.fault is Fault.SIGKILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        self.is_dead = True
        if self.freezes is not None:
            self.freezes()


def words_of(text: str) -> str:
    """How a request is named in messages: its block, or its first words."""
    match = NAME.search(text)
    return match[1] if match else " ".join(text.split()[:3])


class Rows:
    """What a statement answered, read to its end."""

    def __init__(self, found: Sequence[Any], rowcount: int = -1):
        self._found = list(found)
        self.rowcount = rowcount

    def fetchall(self) -> list[Any]:
        return self._found


def sqlite_error(fault: Fault) -> sqlite3.Error:
    """What SQLite would say."""
    code, text = {
        Fault.REFUSED: (sqlite3.SQLITE_FULL, "database or disk is full"),
        Fault.CONFLICT: (sqlite3.SQLITE_BUSY, "database is locked"),
        Fault.STRANGE: (sqlite3.SQLITE_INTERNAL, "a surprise"),
        Fault.UNANSWERED: (sqlite3.SQLITE_IOERR, "disk I/O error"),
    }[fault]
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    error.sqlite_errorname = {sqlite3.SQLITE_BUSY: "SQLITE_BUSY"}.get(code, "")
    return error


def strike_sqlite(fuse: Fuse, text: str, raw: sqlite3.Connection, act: Callable[[], Any]) -> Any:
    """Send one request to SQLite over the fuse; `act` does it and reads its rows to the end."""
    fault = fuse.next(text)
    if fault in (Fault.REFUSED, Fault.CONFLICT, Fault.STRANGE):
        raise sqlite_error(fault)
    if fault is Fault.LOST:
        raw.close()
    answer = act()
    fuse.done()
    if fault is not None and isinstance(answer, sqlite3.Cursor):
        answer.close()  # a statement that is still being read keeps a closed connection alive
    if fault is Fault.UNANSWERED:
        # An answer can only be lost here by a disk that fails at the very end of a COMMIT.
        raw.close()
        raise sqlite_error(fault) if text == "COMMIT" else sqlite3.ProgrammingError("it was closed meanwhile")
    if fault is not None and fault.is_deadly:
        fuse.die()
    return answer


class SqliteWire(Wire):
    """Stands where the product's connection has its sqlite3 connection."""

    def __init__(self, raw: sqlite3.Connection, fuse: Fuse):
        self._raw = raw
        self._fuse = fuse
        fuse.wires.append(self)

    def execute(self, text: str, values: Any = ()) -> Rows:
        def act() -> Rows:
            cursor = self._raw.execute(text, values)
            return Rows(cursor.fetchall(), cursor.rowcount)

        return strike_sqlite(self._fuse, text, self._raw, act)

    @property
    def in_transaction(self) -> bool:
        return not self._fuse.is_dead and self._raw.in_transaction

    @property
    def total_changes(self) -> int:
        return self._raw.total_changes

    def interrupt(self) -> None:
        self._raw.interrupt()

    def close(self) -> None:
        self._raw.close()

    def cut(self) -> None:
        self._raw.close()


RAISE = "DO $$ BEGIN RAISE EXCEPTION 'struck by a test' USING ERRCODE = '{}'; END $$"
SQLSTATES = {Fault.REFUSED: "53100", Fault.CONFLICT: "40P01", Fault.STRANGE: "XX000"}


def spoil(pgconn: Any, state: str) -> None:
    """Let the server refuse something inside the transaction, below the driver, and say what it says."""
    pgconn.exec_(RAISE.format(state).encode())
    raise psycopg.errors.lookup(state)("struck by a test")


def break_socket(pgconn: Any) -> None:
    """Break the connection under the driver, which is not told."""
    with socket.socket(fileno=os.dup(pgconn.socket)) as twin:
        try:
            twin.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class PostgresWire(Wire):
    """What both colours have in common; `terminate` ends a backend and waits until it has gone."""

    def __init__(self, raw: Any, fuse: Fuse, terminate: Callable[[int], None]):
        self._raw = raw
        self._fuse = fuse
        self._terminate = terminate
        self._backend = raw.info.backend_pid
        fuse.wires.append(self)

    @property
    def pgconn(self) -> Any:
        """What a prepared statement is sent through, below the cursors."""
        return self._raw.pgconn

    @property
    def adapters(self) -> Any:
        """How its values are read."""
        return self._raw.adapters

    @property
    def connection(self) -> Any:
        """The driver's own."""
        return self._raw

    def cut(self) -> None:
        self._terminate(self._backend)

    def _break(self) -> None:
        break_socket(self._raw.pgconn)
        self._terminate(self._backend)


class BlockingPostgresWire(PostgresWire):
    """Stands where the product's connection has its psycopg connection."""

    def execute(self, text: Any, values: Any = None, **how: Any) -> Any:
        fault = self._fuse.next(_plain(text))
        if fault in SQLSTATES:
            try:
                return self._raw.execute(RAISE.format(SQLSTATES[fault]))
            finally:
                if self._fuse.requests[-1] == "commit":
                    self._raw.execute("ROLLBACK")  # a COMMIT that fails ends its transaction
        if fault is Fault.LOST:
            self._break()
        cursor, refusal = None, None
        try:
            cursor = self._raw.execute(text, values, **how)
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise
            refusal = error  # the server's own, which is an answer as well
        self._fuse.done()
        if fault is Fault.UNANSWERED:
            self._break()
            # The driver itself says what it says of a connection that has gone.
            return self._raw.execute(text, values, **how)
        if fault is not None and fault.is_deadly:
            self._fuse.die()
        if refusal is not None:
            raise refusal
        return cursor

    def wait(self, gen: Any) -> Any:
        """What is sent below the cursors: a statement that is prepared."""
        fault = self._fuse.next("/* unstuck:prepared */")
        if fault in SQLSTATES:
            gen.close()
            return self._raw.execute(RAISE.format(SQLSTATES[fault]))
        if fault is Fault.LOST:
            self._break()
        answer = self._raw.wait(gen)
        self._fuse.done()
        if fault is Fault.UNANSWERED:
            self._break()
            return self._raw.execute("SELECT 1")
        if fault is not None and fault.is_deadly:
            self._fuse.die()
        return answer

    def close(self) -> None:
        self._raw.close()


class AsyncPostgresWire(PostgresWire):
    """The awaiting twin, word for word."""

    async def execute(self, text: Any, values: Any = None, **how: Any) -> Any:
        fault = self._fuse.next(_plain(text))
        if fault in SQLSTATES:
            try:
                return await self._raw.execute(RAISE.format(SQLSTATES[fault]))
            finally:
                if self._fuse.requests[-1] == "commit":
                    await self._raw.execute("ROLLBACK")  # a COMMIT that fails ends its transaction
        if fault is Fault.LOST:
            self._break()
        cursor, refusal = None, None
        try:
            cursor = await self._raw.execute(text, values, **how)
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise
            refusal = error  # the server's own, which is an answer as well
        self._fuse.done()
        if fault is Fault.UNANSWERED:
            self._break()
            return await self._raw.execute(text, values, **how)
        if fault is not None and fault.is_deadly:
            await self._fuse.adie()
        if refusal is not None:
            raise refusal
        return cursor

    async def wait(self, gen: Any) -> Any:
        """What is sent below the cursors: a statement that is prepared."""
        fault = self._fuse.next("/* unstuck:prepared */")
        if fault in SQLSTATES:
            gen.close()
            return await self._raw.execute(RAISE.format(SQLSTATES[fault]))
        if fault is Fault.LOST:
            self._break()
        answer = await self._raw.wait(gen)
        self._fuse.done()
        if fault is Fault.UNANSWERED:
            self._break()
            return await self._raw.execute("SELECT 1")
        if fault is not None and fault.is_deadly:
            await self._fuse.adie()
        return answer

    async def close(self) -> None:
        await self._raw.close()


def _plain(text: Any) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)
