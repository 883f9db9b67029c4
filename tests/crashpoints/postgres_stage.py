"""PostgreSQL to be struck: one database, emptied for each point, whose clock is a function in it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, TypeVar

import asyncpg
import psycopg

from tests.crashpoints.callers import CallersAsyncpg, CallersAsyncPostgres, CallersPostgres, CallersWire
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
from tests.crashpoints.striking import AsyncPostgresWire, BlockingPostgresWire, Fuse
from tests.servers.postgres import PostgresServer
from unstuck.storage.migrating import Ladder
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Plan, run
from unstuck.storage.postgres.connection import AsyncPostgresConnection, PostgresConnection
from unstuck.storage.postgres.keeper import PostgresKeeper

R = TypeVar("R")


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
        self._hand = _practised(keeper.open())
        self._lasting = _LastingKeeper(self.url, self._dialect, None, self.terminate)
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
            meta = raw.execute(BARE_META).fetchall() if "unstuck_migrations" in there else []
            return bare_content(there, meta)
        found: Content = {table: [] for table in WATCHED}
        for table, row in raw.execute(_POSTGRES_CONTENT).fetchall():
            found[table].append(json.loads(row))
        return {table: in_order(rows) for table, rows in found.items()}

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
        if fuse is None and not self._is_bare:
            return self._lasting
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

    async def asyncpg_caller(self, fuse: Fuse | None) -> CallersAsyncpg:
        """One of asyncpg's."""
        connection = await asyncpg.connect(self.url, connection_class=CallersAsyncpg)
        connection.fuse, connection.terminate_backend = fuse, self.terminate
        backend = connection.get_server_pid()
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
        self._lasting.let_go()
        self._hand.close()

    def _move(self, url: str) -> None:
        self._hand.close()
        keeper = PostgresKeeper(url, now="stage_now()")
        self._hand = _practised(PostgresConnection(keeper.address, self._dialect))


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

    async def aopen(self, *kind: Any) -> AsyncPostgresConnection:
        connection = await super().aopen(*kind)
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


class _LastingKeeper(_FusedPostgresKeeper):
    """Of all processes that no fault reaches: to connect for each of them takes longer than all that they ask."""

    def open(self) -> PostgresConnection:
        return _practised(super().open())

    def close(self) -> None:
        """The next process of this kind goes on with its connections."""

    def let_go(self) -> None:
        """Close them."""
        super().close()


def _practised(connection: PostgresConnection) -> PostgresConnection:
    """A connection that no fault reaches, and that asks the same thousands of times: it has each question planned once.
    To plan them anew was half of what the server did for them."""
    connection._raw.prepare_threshold = 1
    connection._raw.execute("SET plan_cache_mode = force_generic_plan")
    return connection


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _set_clock(us: int) -> str:
    return f"UPDATE stage_clock SET at = 'epoch'::timestamptz + {us} * interval '1 microsecond'"


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
