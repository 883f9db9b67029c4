"""The stores on which operations are struck: real engines, a clock that stands until it is moved, a trail.

SQLite is a file in memory, copied from a template for each point. PostgreSQL is one database of a server
whose fsync is off (processes die here, machines do not), emptied for each point; its clock is a function
in the database. In both a trigger, which knows nothing of the product, writes down every change of a
job's row: the *trail*, from which nobody can hide a second ending.

`hand` is the test's own connection: it prepares, looks and cleans up, and no fault ever reaches it. What
it sees is what has been committed; that is how the sweep knows what a request has changed for good.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from tests.crashpoints.striking import (
    AsyncPostgresWire,
    BlockingPostgresWire,
    CallersAsyncPostgres,
    CallersPostgres,
    CallersSqlite,
    CallersWire,
    Fuse,
    SqliteWire,
)
from tests.servers import leaks
from tests.servers.postgres import PostgresServer
from unstuck.model.ids import uuid7
from unstuck.model.job import ClaimedJob, Job, NewJob
from unstuck.model.worker import NewWorker
from unstuck.storage.migrating import Ladder
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Plan, run
from unstuck.storage.postgres.connection import AsyncPostgresConnection, PostgresConnection
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.protocol import Store
from unstuck.storage.sql.library import TABLES
from unstuck.storage.sqlite.connection import SqliteConnection
from unstuck.storage.sqlite.dialect import SqliteDialect
from unstuck.storage.sqlite.keeper import SqliteKeeper

R = TypeVar("R")

BEGAN_US = 1_767_225_600_000_000
SECOND = 1_000_000
LEASE = 3 * SECOND
"""The lease of the workers that are on stage when the operation begins."""

WATCHED = tuple(table for table in TABLES if table not in ("meta", "migrations"))
TRAIL = "id, generation, fence, state, verdict_id"
JSON_COLUMNS = ("options", "labels", "report", "detail", "error", "queues", "progress")

Content = dict[str, list[dict[str, Any]]]


class Stage(ABC):
    """One store, and what the test does to it by its own hand."""

    engine: str
    store: Store
    now_us: int

    def __init__(self) -> None:
        self._ids = 0

    @abstractmethod
    def fresh(self) -> None:
        """Make the store empty, its clock at the beginning."""

    @abstractmethod
    def ask(self, plan: Plan[R]) -> R:
        """Run a plan by the test's own hand."""

    @abstractmethod
    def content(self) -> Content:
        """All committed rows of all tables."""

    @abstractmethod
    def trail(self) -> list[dict[str, Any]]:
        """Every change of a job's row since the beginning, in order: `was` is the row's state before."""

    @abstractmethod
    def count(self, text: str) -> int:
        """The number that a statement answers; `{jobs}` stands for the table, and so on."""

    @abstractmethod
    def is_at_rest(self) -> bool:
        """Whether nobody has left a transaction open, and so a lock in the way of others."""

    @abstractmethod
    def at(self, us: int) -> None:
        """Set the store's clock."""

    @abstractmethod
    def keeper(self, fuse: Fuse | None) -> Keeper:
        """The store as one process sees it, all its wires over the fuse."""

    @abstractmethod
    def caller(self, fuse: Fuse | None) -> Any:
        """A blocking connection of the user's own, outside a transaction."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back."""

    async def acaller(self, fuse: Fuse | None) -> Any:
        """An async one, where the engine has such."""
        raise NotImplementedError

    def bare(self) -> None:
        """Make the store one that has no tables yet."""
        raise NotImplementedError

    def elapse(self, us: int) -> None:
        """Let time pass for the store."""
        self.at(self.now_us + us)

    # What scenarios prepare again and again; ids are the same each time

    def id(self) -> UUID:
        """The next id, the same in every run."""
        self._ids += 1
        return uuid7(1_700_000_000_000 + self._ids, bytes(10))

    def new_job(self, **options: Any) -> NewJob:
        """A job of task "t" in queue "q", unless the scenario says otherwise."""
        plain: dict[str, Any] = {"id": self.id(), "queue": "q", "task": "t", "args": '{"n":1}'}
        return NewJob(**plain | options)

    def job(self, **options: Any) -> Job:
        """Insert such a job; its row."""
        new = self.new_job(**options)
        self.ask(self.store.insert([new]))
        return self.row(new.id)

    def row(self, job_id: UUID) -> Job:
        """The row of a job that is there."""
        found = self.ask(self.store.get(job_id))
        assert found is not None
        return found

    def new_worker(self, **options: Any) -> NewWorker:
        """A worker that serves queue "q"."""
        plain: dict[str, Any] = {
            "id": self.id(), "kind": "child", "supervisor_id": None, "host": "host", "pid": 7,
            "lease_us": LEASE, "queues": ("q",), "tasks": ("t",),
        }  # fmt: skip
        return NewWorker(**plain | options)

    def worker(self, **options: Any) -> UUID:
        """Register such a worker."""
        new = self.new_worker(**options)
        self.ask(self.store.register(new))
        return new.id

    def start(self, worker_id: UUID, **options: Any) -> ClaimedJob:
        """Insert a job and claim it."""
        job = self.job(**options)
        (claimed,) = self.ask(self.store.claim(worker_id, job.queue, [job.task], 1))
        assert claimed.id == job.id
        return claimed


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
            meta = raw.execute(_BARE_META).fetchall() if "unstuck_migrations" in there else []
            return _bare_content(there, meta)
        found: Content = {}
        for table in WATCHED:
            cursor = raw.execute(f"SELECT * FROM unstuck_{table}")
            names = [column[0] for column in cursor.description]
            found[table] = _sorted([dict(zip(names, row, strict=True)) for row in cursor])
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


class PostgresStage(Stage):
    """One database, emptied for each point, and a keeper whose clock is a function in it."""

    engine = "postgres"

    def __init__(self, server: PostgresServer):
        super().__init__()
        self.now_us = BEGAN_US
        self._server = server
        self.url = server.create_database()
        self._bare_url = ""
        with psycopg.connect(self.url, autocommit=True) as raw:
            raw.execute(_POSTGRES_CLOCK)
        keeper = PostgresKeeper(self.url, now="stage_now()")
        keeper.migrator.apply()
        self.store, self._dialect = keeper.store, keeper.dialect
        with psycopg.connect(self.url, autocommit=True) as raw:
            raw.execute(_POSTGRES_TRAIL)
        self._hand = keeper.open()
        self._is_bare = False

    def fresh(self) -> None:
        if self._is_bare:
            self._move(self.url)
            self._is_bare = False
        self._ids = 0
        self.now_us = BEGAN_US
        tables = "; ".join(f"DELETE FROM unstuck_{table}" for table in WATCHED)
        self._hand._raw.execute(f"{tables}; DELETE FROM trail; {_set_clock(BEGAN_US)}".encode())

    def bare(self) -> None:
        self._bare_url = self._bare_url or self._server.create_database()
        self._move(self._bare_url)
        self._is_bare = True
        self._hand._raw.execute(
            f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {_POSTGRES_CLOCK}".encode()
        )

    def ask(self, plan: Plan[R]) -> R:
        return run(self._hand, plan)

    def content(self) -> Content:
        raw = self._hand._raw
        if self._is_bare:
            there = [row[0] for row in raw.execute(_POSTGRES_TABLES).fetchall()]
            meta = raw.execute(_BARE_META).fetchall() if "unstuck_migrations" in there else []
            return _bare_content(there, meta)
        found: Content = {table: [] for table in WATCHED}
        for table, row in raw.execute(_POSTGRES_CONTENT).fetchall():
            found[table].append(json.loads(row))
        return {table: _sorted(rows) for table, rows in found.items()}

    def trail(self) -> list[dict[str, Any]]:
        cursor = self._hand._raw.execute("SELECT * FROM trail ORDER BY seq")
        names = [column[0] for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return [row | {"id": str(row["id"]), "verdict_id": _text(row["verdict_id"])} for row in rows]

    def count(self, text: str) -> int:
        ((number,),) = self._hand._raw.execute(self._dialect.resolve(text).encode()).fetchall()
        return int(number)

    def is_at_rest(self) -> bool:
        until = time.monotonic() + 10
        # A connection that was closed a moment ago may still be saying goodbye.
        while self._hand._raw.execute(_OPEN_TRANSACTIONS).fetchall():
            if time.monotonic() > until:
                return False
            time.sleep(0.002)
        return True

    def at(self, us: int) -> None:
        if us != self.now_us:
            self.now_us = us
            self._hand._raw.execute(_set_clock(us).encode())

    def keeper(self, fuse: Fuse | None) -> Keeper:
        url = self._bare_url if self._is_bare else self.url
        return _FusedPostgresKeeper(url, self._dialect, fuse, self.terminate)

    def caller(self, fuse: Fuse | None) -> Any:
        connection = CallersPostgres.connect(self.url)
        connection.fuse, connection.terminate = fuse, self.terminate
        backend = connection.info.backend_pid
        if fuse is not None:
            fuse.wires.append(CallersWire(lambda: self.terminate(backend)))
        return connection

    async def acaller(self, fuse: Fuse | None) -> Any:
        connection = await CallersAsyncPostgres.connect(self.url)
        connection.fuse, connection.terminate = fuse, self.terminate
        backend = connection.info.backend_pid
        if fuse is not None:
            fuse.wires.append(CallersWire(lambda: self.terminate(backend)))
        return connection

    def terminate(self, backend: int) -> None:
        """End a backend of a broken connection, and wait until its locks have gone with it."""
        self._hand._raw.execute("SELECT pg_terminate_backend(%s)", (backend,))
        until = time.monotonic() + 30
        while self._hand._raw.execute(_IS_THERE, (backend,)).fetchall():
            assert time.monotonic() < until, f"backend {backend} does not end"

    def close(self) -> None:
        self._hand.close()

    def _move(self, url: str) -> None:
        self._hand.close()
        keeper = PostgresKeeper(url, now="stage_now()")
        self._hand = PostgresConnection(keeper.address, self._dialect)


class _FusedPostgresKeeper(PostgresKeeper):
    def __init__(self, url: str, dialect: Any, fuse: Fuse | None, terminate: Callable[[int], None]):
        super().__init__(url, now="stage_now()")
        self._dialect = self.dialect = dialect
        self.migrator = Ladder(dialect, self._connected)
        self._fuse = fuse
        self._terminate = terminate
        self._checked_by = os.getpid()  # asking for the schema is an operation of its own

    def open(self) -> PostgresConnection:
        return self._fused(super().open())

    def hint(self, queues: Iterable[str]) -> None:
        """Say nothing: hints go their own way, on a connection of their own, and may be lost."""

    async def aopen(self) -> AsyncPostgresConnection:
        connection = await super().aopen()
        if self._fuse is not None:
            connection._raw = AsyncPostgresWire(connection._raw, self._fuse, self._terminate)  # type: ignore[assignment]
        return connection

    @contextmanager
    def _connected(self) -> Generator[PostgresConnection, None, None]:
        with super()._connected() as connection:
            yield self._fused(connection)

    def _fused(self, connection: PostgresConnection) -> PostgresConnection:
        if self._fuse is not None:
            connection._raw = BlockingPostgresWire(connection._raw, self._fuse, self._terminate)  # type: ignore[assignment]
        return connection


@contextmanager
def _closing(raw: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield raw
    finally:
        raw.close()


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        for column in JSON_COLUMNS:
            if isinstance(row.get(column), str):
                row[column] = json.dumps(json.loads(row[column]), sort_keys=True)
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def _bare_content(there: list[str], facts: list[Any]) -> Content:
    """What a store is made of whose tables come and go: their names, and what it says of itself."""
    return {
        "made of": [{"name": name} for name in sorted(there)],
        "facts": [{"fact": f"{name} {value}"} for name, value in sorted(facts)],
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _set_clock(us: int) -> str:
    return f"UPDATE stage_clock SET at = 'epoch'::timestamptz + {us} * interval '1 microsecond'"


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


_POSTGRES_CLOCK = f"""
    CREATE TABLE stage_clock (at timestamptz);
    INSERT INTO stage_clock VALUES ('epoch'::timestamptz + {BEGAN_US} * interval '1 microsecond');
    CREATE FUNCTION stage_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM stage_clock';
"""

_NEW = ", ".join(f"NEW.{column.strip()}" for column in TRAIL.split(","))
_OLD = ", ".join(f"OLD.{column.strip()}" for column in TRAIL.split(","))
_POSTGRES_TRAIL = f"""
    CREATE TABLE trail (
        seq bigserial PRIMARY KEY, what text, was text, was_fence bigint, was_generation int,
        id uuid, generation int, fence bigint, state text, verdict_id uuid
    );
    CREATE FUNCTION note_trail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO trail (what, {TRAIL}) VALUES ('insert', {_NEW});
        ELSIF TG_OP = 'UPDATE' THEN
            INSERT INTO trail (what, was, was_fence, was_generation, {TRAIL})
            VALUES ('update', OLD.state, OLD.fence, OLD.generation, {_NEW});
        ELSE
            INSERT INTO trail (what, was, {TRAIL}) VALUES ('delete', OLD.state, {_OLD});
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER trail AFTER INSERT OR UPDATE OR DELETE ON unstuck_jobs
        FOR EACH ROW EXECUTE FUNCTION note_trail();
"""
_POSTGRES_CONTENT = " UNION ALL ".join(
    f"SELECT '{table}', CAST(to_jsonb(t) AS text) FROM unstuck_{table} AS t" for table in WATCHED
)
_IS_THERE = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
_OPEN_TRANSACTIONS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
_POSTGRES_TABLES = (
    "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    " UNION ALL SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal"
    " UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
)
_BARE_META = (
    "SELECT name, value FROM unstuck_meta WHERE name <> 'instance'"
    " UNION ALL SELECT 'step', CAST(number AS text) FROM unstuck_migrations"
)
