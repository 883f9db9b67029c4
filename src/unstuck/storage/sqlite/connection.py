"""A blocking connection to an SQLite file, made for many short writers.

Every transaction that may write begins with BEGIN IMMEDIATE: a transaction that reads first and writes
later could find at the write that it must begin again. The library's own busy handler is off; where the
lock is taken, this connection tries again every one or two milliseconds up to its deadline, holding
nothing while it waits. Now is read after the lock is held, so waiting ages nobody.

Errors come out as sentences that name the file: locked, read-only, full, damaged, not migrated. A file
that was deleted or replaced under an open connection is noticed at the next transaction, because writes
into it would be lost.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from unstuck.model.errors import (
    OutcomeUnknown,
    SchemaMismatch,
    StoreConflict,
    StoreCorrupt,
    StoreUnavailable,
)
from unstuck.storage.plan import Mode, Request, Script, Statement
from unstuck.storage.sql.library import Style
from unstuck.storage.sqlite import shortcuts
from unstuck.storage.sqlite.dialect import SqliteDialect
from unstuck.storage.sqlite.files import wal_bytes, wal_readers, why_not_opened

BUSY_SECONDS = 5.0
"""How long a transaction waits for the write lock where nobody sets a deadline."""

LOG_FRAMES = 4000
"""The commit that makes the log so long moves it into the file, unless that is done in time (`checkpointing`). The first
commit of each new log waits for the disk twice, so logs should not be short."""

_LEFT_BY_PARENT: list[sqlite3.Connection] = []
"""Connections of the parent process after a fork: to close one would drop the parent's work on the floor."""


class SqliteConnection:
    """One connection; used by one thread at a time. `deadline` is a moment of `time.monotonic()`."""

    def __init__(
        self,
        path: Path,
        dialect: SqliteDialect,
        *,
        may_create: bool = False,
        busy_seconds: float = BUSY_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.path = path
        self.dialect = dialect
        self.deadline: float | None = None
        self._busy_seconds = busy_seconds
        self._sleep = sleep
        self._is_first = False
        self._pid = os.getpid()
        mode = "rwc" if may_create else "rw"
        try:
            self._raw = sqlite3.connect(
                f"file:{quote(str(path))}?mode={mode}",
                uri=True,
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
        except sqlite3.Error as error:
            raise why_not_opened(path, error) from error
        try:
            self._set_up()
        except BaseException:
            self._raw.close()
            raise

    def begin(self, mode: Mode) -> None:
        """Begin; where the plan may write, hold the write lock before anything is read.

        Each statement of a plan that only reads sees a snapshot of its own, as on PostgreSQL: a transaction
        around it would treble the statements of an idle worker.
        """
        self._is_first = not mode.is_reading
        self._check_file()
        if mode is Mode.SNAPSHOT:
            self._patiently("BEGIN DEFERRED")
        elif mode is not Mode.READ:
            self._patiently("BEGIN IMMEDIATE")

    def execute(self, request: Request) -> Any:
        """The rows of a statement, of all its executions where it has many rows of values."""
        try:
            if isinstance(request, Script):
                return self._run_script(request.text)
            if not isinstance(request, Statement):
                raise TypeError(f"SQLite runs statements, not a {type(request).__name__}")
            is_first, self._is_first = self._is_first, False
            if is_first and shortcuts.names_its_rows(request):
                if self._changes_all(request):
                    return shortcuts.answer_of_all(request)
                self._raw.execute("ROLLBACK")
                self.begin(Mode.TRANSACTION)
                self._is_first = False
            if shortcuts.is_claim(request):
                return self._claim(request)
            found: list[tuple[Any, ...]] = []
            for spelled in self.dialect.spell(request, Style.NAMED):
                found += self._raw.execute(spelled.text, spelled.values).fetchall()
            return found
        except sqlite3.Error as error:
            raise self._said(error) from error

    def commit(self, mode: Mode) -> None:
        """Make it durable."""
        if mode is Mode.READ:
            return
        try:
            self._raw.execute("COMMIT")
        except sqlite3.Error as error:
            code = _code(error)
            self.rollback(mode)
            if code == sqlite3.SQLITE_IOERR:
                raise OutcomeUnknown(f"{self.path}: the disk failed during a commit ({error})") from error
            raise self._said(error) from error

    def rollback(self, mode: Mode) -> None:
        """Undo; an error has often done so already."""
        try:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
        except sqlite3.Error:
            pass

    @property
    def is_at_rest(self) -> bool:
        """Whether no transaction is open: one that could not be undone would hold the lock of the whole file."""
        try:
            return not self._raw.in_transaction
        except sqlite3.Error:
            return False

    def use_wal(self) -> None:
        """Turn to write-ahead logging, which stays with the file."""
        if self._mode() != "wal":
            self._patiently("PRAGMA journal_mode = WAL")
            if self._mode() != "wal":
                raise StoreUnavailable(f"{self.path} cannot use write-ahead logging here")

    def is_new(self) -> bool:
        """Whether the file holds no table of anybody."""
        ((tables,),) = self._patiently("SELECT count(*) FROM sqlite_master")
        return not tables

    def checkpoint(self) -> None:
        """Move what was committed from the log into the file, as far as that stands in nobody's way."""
        try:
            self._raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            raise self._said(error) from error

    @property
    def rows_changed(self) -> int:
        """How many rows this connection has changed since it was opened; 0 of one that is closed."""
        try:
            return self._raw.total_changes
        except sqlite3.ProgrammingError:
            return 0

    def interrupt(self) -> None:
        """Stop what another thread is executing on this connection; its transaction is undone."""
        self._raw.interrupt()

    def close(self) -> None:
        """Close; after a fork the connection belongs to the parent and is only let go."""
        if os.getpid() != self._pid:
            _LEFT_BY_PARENT.append(self._raw)
        else:
            self._raw.close()

    def _set_up(self) -> None:
        for pragma in (
            "synchronous = FULL",
            "temp_store = MEMORY",
            "cache_size = -16384",
            "journal_size_limit = 67108864",
            f"wal_autocheckpoint = {LOG_FRAMES}",
        ):
            self._patiently(f"PRAGMA {pragma}")
        self._raw.create_function("unstuck_wal_bytes", 0, lambda: wal_bytes(self.path))
        self._raw.create_function("unstuck_wal_readers", 0, lambda: wal_readers(self.path))
        self._identity = self._on_disk()

    def _changes_all(self, request: Statement) -> bool:
        changed = 0
        for spelled in self.dialect.spell(request, Style.NAMED):
            changed += self._raw.execute(shortcuts.without_answer(spelled.text), spelled.values).rowcount
        return changed == len(request.rows or ())

    def _claim(self, request: Statement) -> Sequence[tuple[Any, ...]]:
        (spelled,) = self.dialect.spell(request, Style.NAMED)
        which, change, read = shortcuts.parted(spelled.text)
        ((found,),) = self._raw.execute(which, spelled.values).fetchall()
        if found == "[]":
            return []
        these = {**spelled.values, shortcuts.FOUND: found}
        self._raw.execute(change, these)
        ((document,),) = self._raw.execute(read, these).fetchall()
        return shortcuts.claimed(document)

    def _mode(self) -> str:
        ((mode,),) = self._patiently("PRAGMA journal_mode")
        return str(mode).lower()

    def _patiently(self, text: str) -> list[tuple[Any, ...]]:
        """Execute what asks for a lock, again and again until it is free or the deadline has passed."""
        until = self.deadline if self.deadline is not None else time.monotonic() + self._busy_seconds
        began = time.monotonic()
        while True:
            try:
                return self._raw.execute(text).fetchall()
            except sqlite3.Error as error:
                if _code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise self._said(error) from error
            now = time.monotonic()
            if now >= until:
                raise StoreUnavailable(
                    f"{self.path} has been locked by another process for {now - began:.1f} s"
                )
            self._sleep(random.uniform(0.001, 0.002))

    def _run_script(self, text: str) -> list[tuple[Any, ...]]:
        # executescript() commits what came before it, so the statements go one by one.
        gathered = ""
        for line in text.splitlines(keepends=True):
            gathered += line
            if sqlite3.complete_statement(gathered):
                self._raw.execute(gathered)
                gathered = ""
        if gathered.strip():
            self._raw.execute(gathered)
        return []

    def _on_disk(self) -> tuple[int, int] | None:
        try:
            seen = os.stat(self.path)
        except OSError:
            return None
        return seen.st_dev, seen.st_ino

    def _check_file(self) -> None:
        if self._on_disk() != self._identity:
            raise StoreUnavailable(
                f"{self.path} was deleted or replaced while it was open: put it back, or restart"
            )

    def _said(self, error: sqlite3.Error) -> Exception:
        code = _code(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreConflict(f"{self.path} is busy ({error})")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreCorrupt(f"{self.path} is damaged, or is not an SQLite database ({error})")
        if code == sqlite3.SQLITE_READONLY:
            return StoreUnavailable(
                f"{self.path} is read-only: unstuck must be able to write it and its folder"
            )
        if code == sqlite3.SQLITE_FULL:
            return StoreUnavailable(f"{self.path} cannot grow: the disk is full")
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            return why_not_opened(self.path, error)
        if code == sqlite3.SQLITE_IOERR:
            return StoreUnavailable(f"{self.path}: the disk failed ({error})")
        if code == sqlite3.SQLITE_INTERRUPT:
            return StoreUnavailable(f"{self.path}: stopped at its deadline")
        if code == sqlite3.SQLITE_ERROR and "no such table" in str(error):
            return SchemaMismatch(f"{self.path} is not migrated ({error}): run `unstuck migrate apply`")
        if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
            return StoreUnavailable(f"{self.path}: the connection is closed")
        return error


def _code(error: sqlite3.Error) -> int:
    """The primary result code: extended ones carry details in their higher bits."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
