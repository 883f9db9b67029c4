"""SQLite to be struck: a file in memory, copied from a template for each point."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.crashpoints.callers import CallersSqlite, CallersWire
from tests.crashpoints.stages import (
    BARE_META,
    BEGAN_US,
    TRAIL,
    WATCHED,
    Content,
    Stage,
    bare_content,
    in_order,
)
from tests.crashpoints.striking import Fuse, SqliteWire
from tests.servers import leaks
from unstuck.storage.migrating import Ladder
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Plan, run
from unstuck.storage.sqlite.connection import SqliteConnection
from unstuck.storage.sqlite.dialect import SqliteDialect
from unstuck.storage.sqlite.keeper import SqliteKeeper

R = TypeVar("R")


class SqliteStage(Stage):
    """A file of its own for each point."""

    engine = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self._folder = leaks.folder("crashpoints", memory if memory.is_dir() else None)
        self.now_us = BEGAN_US
        self._number = 0
        self._is_bare = False
        self._template = self._folder / "template.db"
        keeper = SqliteKeeper(self._template, clock=self._clock)
        keeper.open().close()
        self.store, self._dialect = keeper.store, keeper._dialect
        with _closing(sqlite3.connect(self._template)) as raw:
            raw.executescript(_sqlite_trail())
            raw.execute("PRAGMA journal_mode = DELETE")
            raw.execute("PRAGMA journal_mode = WAL")
        self.path = self._folder / "0.db"
        self._hand: SqliteConnection | None = None

    def fresh(self) -> None:
        self._drop()
        self._number += 1
        self._is_bare = False
        self._ids = 0
        self.now_us = BEGAN_US
        self.path = self._folder / f"{self._number}.db"
        shutil.copyfile(self._template, self.path)
        self._hand = SqliteConnection(self.path, self._dialect)
        self._hand._raw.execute("PRAGMA synchronous = OFF")

    def bare(self) -> None:
        self._drop()
        self.path.touch()
        self._is_bare = True

    def ask(self, plan: Plan[R]) -> R:
        return run(self._at_hand(), plan)

    def content(self) -> Content:
        raw = self._at_hand()._raw
        if self._is_bare:
            there = [row[0] for row in raw.execute("SELECT name FROM sqlite_master").fetchall()]
            meta = raw.execute(BARE_META).fetchall() if "unstuck_migrations" in there else []
            return bare_content(there, meta)
        found: Content = {}
        for table in WATCHED:
            cursor = raw.execute(f"SELECT * FROM unstuck_{table}")
            names = [column[0] for column in cursor.description]
            found[table] = in_order([dict(zip(names, row, strict=True)) for row in cursor])
        return found

    def trail(self) -> list[dict[str, Any]]:
        cursor = self._at_hand()._raw.execute("SELECT * FROM trail ORDER BY seq")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def count(self, text: str) -> int:
        resolved = self._dialect.resolve(text)
        ((number,),) = self._at_hand()._raw.execute(resolved, {"now": self.now_us}).fetchall()
        return int(number)

    def is_at_rest(self) -> bool:
        raw = self._at_hand()._raw
        try:
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        raw.execute("ROLLBACK")
        return True

    def at(self, us: int) -> None:
        self.now_us = us

    def keeper(self, fuse: Fuse | None) -> Keeper:
        return _FusedSqliteKeeper(self.path, self._dialect, fuse)

    def caller(self, fuse: Fuse | None) -> Any:
        connection = sqlite3.connect(
            self.path, factory=CallersSqlite, isolation_level=None, check_same_thread=False
        )
        connection.fuse = fuse
        if fuse is not None:
            fuse.wires.append(CallersWire(connection.close))
        return connection

    def close(self) -> None:
        self._drop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _at_hand(self) -> SqliteConnection:
        if self._hand is None:
            self._hand = SqliteConnection(self.path, self._dialect)
        return self._hand

    def _clock(self) -> int:
        return self.now_us

    def _drop(self) -> None:
        if self._hand is not None:
            self._hand.close()
            self._hand = None
        for ending in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True) if self._number else None


class _FusedSqliteKeeper(SqliteKeeper):
    def __init__(self, path: Path, dialect: SqliteDialect, fuse: Fuse | None):
        super().__init__(path, clock=dialect.clock)
        self._dialect = self.dialect = dialect  # spelled once for all points
        self.migrator = Ladder(dialect, self._connected)
        self._fuse = fuse

    def open(self) -> SqliteConnection:
        return self._fused(super().open())

    @contextmanager
    def _connected(self) -> Generator[SqliteConnection, None, None]:
        with super()._connected() as connection:
            yield self._fused(connection)

    def _fused(self, connection: SqliteConnection) -> SqliteConnection:
        if self._fuse is not None:
            connection._raw = SqliteWire(connection._raw, self._fuse)  # type: ignore[assignment]
        return connection


@contextmanager
def _closing(raw: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield raw
    finally:
        raw.close()


def _sqlite_trail() -> str:
    new = ", ".join(f"NEW.{column.strip()}" for column in TRAIL.split(","))
    old = ", ".join(f"OLD.{column.strip()}" for column in TRAIL.split(","))
    return f"""
        CREATE TABLE trail (seq INTEGER PRIMARY KEY, what, was, was_fence, was_generation, {TRAIL});
        CREATE TRIGGER trail_insert AFTER INSERT ON unstuck_jobs BEGIN
            INSERT INTO trail (what, {TRAIL}) VALUES ('insert', {new}); END;
        CREATE TRIGGER trail_update AFTER UPDATE ON unstuck_jobs BEGIN
            INSERT INTO trail (what, was, was_fence, was_generation, {TRAIL})
            VALUES ('update', OLD.state, OLD.fence, OLD.generation, {new}); END;
        CREATE TRIGGER trail_delete AFTER DELETE ON unstuck_jobs BEGIN
            INSERT INTO trail (what, was, {TRAIL}) VALUES ('delete', OLD.state, {old}); END;
    """
