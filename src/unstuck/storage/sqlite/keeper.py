"""The embedded keeper: one file, its blocking connections, its two threads for code that awaits, its ear.

A file that is not there yet, or is empty, is given its tables when it is first opened; a file with
anything in it is only asked where it stands. After the first opening a file is never created again by
this process: one that vanishes is an error, not an empty store.

Blocking calls use two connections of their own, one to write and one to read, each behind a lock, so any
thread may call. After a fork the child opens its own and lets the parent's alone.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from unstuck.model.errors import SchemaMismatch, StoreConflict, StoreError
from unstuck.storage.migrating import Ladder, climb, current, read_rungs
from unstuck.storage.opening import Ear, Keeper
from unstuck.storage.plan import Lane, Plan, run
from unstuck.storage.sqlite.checkpointing import Checkpointing
from unstuck.storage.sqlite.connection import BUSY_SECONDS, SqliteConnection
from unstuck.storage.sqlite.desk import Desk
from unstuck.storage.sqlite.dialect import SqliteDialect, process_clock
from unstuck.storage.sqlite.ear import SqliteEar
from unstuck.storage.sqlite.files import check_place, ring
from unstuck.storage.sqlite.store import SqliteStore

R = TypeVar("R")


class SqliteKeeper(Keeper):
    """An SQLite file. `clock` answers now in microseconds, for tests."""

    engine = "sqlite"

    def __init__(
        self,
        path: Path,
        prefix: str = "unstuck_",
        clock: Callable[[], int] = process_clock,
        busy_seconds: float = BUSY_SECONDS,
        event_log: bool = False,
    ):
        self.path = path
        self.url_shown = f"sqlite:///{path}"
        self.dialect = self._dialect = SqliteDialect(prefix, clock)
        self.store = SqliteStore(prefix)
        self.migrator = Ladder(self._dialect, self._connected, event_log)
        self._event_log = event_log
        self._busy_seconds = busy_seconds
        self._opening = threading.Lock()
        self._was_opened = False
        self._seats = {"write": _Seat(self.open), "read": _Seat(self.open)}
        self._desks: dict[str, Desk] = {}
        self._checkpointing: Checkpointing | None = None

    def open(self) -> SqliteConnection:
        """A connection of one's own, ready for plans. Raises StoreErrors and, for a bad place, BadSetting."""
        with self._opening:
            connection = self._connect()
            try:
                if not self._was_opened:
                    self._prepare(connection)
                    self._was_opened = True
                return connection
            except BaseException:
                connection.close()
                raise

    def run(self, plan: Plan[R]) -> R:
        return self._seats["read" if plan.mode.is_reading else "write"].run(plan)

    async def arun(self, plan: Plan[R]) -> R:
        return await self.desk(plan).run(plan, None)

    def lane(self, name: str) -> Lane:
        return SqliteLane(self)

    def ear(self) -> Ear | None:
        return SqliteEar(self.path)

    def hint(self, queues: Iterable[str]) -> None:
        """Say that a commit can be seen; that the file was written, it tells by itself."""
        ring(self.path)

    def close(self) -> None:
        for seat in self._seats.values():
            seat.close()
        for desk in self._desks.values():
            desk.close()
        self._desks.clear()
        if self._checkpointing is not None:
            self._checkpointing.close()
            self._checkpointing = None

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def desk(self, plan: Plan[R]) -> Desk:
        """The thread of this process that runs such a plan."""
        kind = "read" if plan.mode.is_reading else "write"
        desk = self._desks.get(kind)
        if desk is None or desk.pid != os.getpid():
            if kind == "write":
                self._checkpointing = Checkpointing(self.open)
            told = self._checkpointing if kind == "write" else None
            desk = self._desks[kind] = Desk(f"unstuck-sqlite-{kind}", self.open, told)
        return desk

    def _connect(self) -> SqliteConnection:
        if not self._was_opened:
            check_place(self.path)
        return SqliteConnection(
            self.path, self._dialect, may_create=not self._was_opened, busy_seconds=self._busy_seconds
        )

    def _prepare(self, connection: SqliteConnection) -> None:
        if connection.is_new():
            connection.use_wal()
            climb(connection, self._dialect, read_rungs(self.engine), self._event_log)
        stands = run(connection, current(self._dialect, self._event_log))
        if not stands.is_current:
            raise SchemaMismatch(f"{self.path}: {stands.sentence}")
        connection.use_wal()

    @contextmanager
    def _connected(self) -> Generator[SqliteConnection, None, None]:
        connection = self._connect()
        try:
            yield connection
        finally:
            connection.close()


class SqliteLane:
    """Plans of one loop of the engine, run by the two threads that the process has."""

    def __init__(self, keeper: SqliteKeeper):
        self._keeper = keeper

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        """Run the plan; `deadline` in seconds from now."""
        return await self._keeper.desk(plan).run(plan, deadline)

    async def aclose(self) -> None:
        """Nothing to do: the threads belong to the keeper."""


class _Seat:
    """A blocking connection that any thread may take in turn."""

    def __init__(self, open: Callable[[], SqliteConnection]):
        self._open = open
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._connection: SqliteConnection | None = None

    def run(self, plan: Plan[R]) -> R:
        if self._pid != os.getpid():
            # The parent's lock may have been held at the fork, and its connection is not ours to close.
            self._pid, self._lock = os.getpid(), threading.Lock()
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
            try:
                return run(self._connection, plan)
            except BaseException as error:
                is_bad = isinstance(error, StoreError) and not isinstance(error, StoreConflict)
                if is_bad or not self._connection.is_at_rest:
                    self._drop()
                raise

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
