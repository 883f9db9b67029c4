"""The grounds of the keepers that speak SQL: a file of each test's own, a database of all tests' own.

Both take their clock as an argument, so time is given: SQLite's is a function here, PostgreSQL's a
function in the database. Through the pooler the server's own clock is used, as in service, and time
passes by moving every moment in the rows back by as much.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

from tests.conformance.trying import Clock, Ground
from tests.servers.pgbouncer import PgBouncerServer
from tests.servers.postgres import PostgresServer
from unstuck.storage.plan import Mode, Plan, Requests, Script
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.sql.library import TABLES
from unstuck.storage.sqlite.keeper import SqliteKeeper

KEPT = ("meta", "migrations")

MOMENTS = {
    "jobs": "wake_at expires_at created_at claimed_at finished_at keep_until cancel_asked_at",
    "attempts": "started_at ended_at late_at",
    "job_logs": "at",
    "workers": "lease_until started_at ended_at draining_at stalled_at",
    "queues": "paused_at",
    "notices": "since last_seen",
}

AGEING = [
    f"UPDATE {{{{{table}}}}} SET "
    + ", ".join(f"{column} = {column} - interval '{{0}} microseconds'" for column in columns.split())
    + (", line = line - {0};" if table == "jobs" else ";")
    for table, columns in MOMENTS.items()
]


class SqlGround(Ground):
    def script(self, text: str) -> None:
        def start() -> Requests[None]:
            assert self.keeper.dialect is not None
            yield Script("by hand", self.keeper.dialect.resolve(text))

        self.keeper.run(Plan("by_hand", Mode.TRANSACTION, start))

    def sql(self, text: str) -> None:
        self.script(text if text.rstrip().endswith(";") else f"{text};")

    def empty(self) -> None:
        self.script("\n".join(f"DELETE FROM {{{table}}};" for table in TABLES if table not in KEPT))


class SqliteGround(SqlGround):
    examples = 60

    def __init__(self, request: pytest.FixtureRequest) -> None:
        folder: Path = request.getfixturevalue("tmp_path")
        self.clock = Clock()
        self.keeper = SqliteKeeper(folder / "jobs.db", clock=self.clock)

    def elapse(self, us: int) -> None:
        self.clock.now_us += us

    def refusal(self) -> type[Exception]:
        return sqlite3.IntegrityError

    def close(self) -> None:
        pass


class PostgresGround(SqlGround):
    """A database that the tests of one process share, empty at the beginning of each."""

    examples = 15

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.keeper = self.open(_database_of(request.getfixturevalue("postgres_server")))
        self.empty()

    def open(self, url: str) -> PostgresKeeper:
        return PostgresKeeper(url, now="trial_now()")

    def elapse(self, us: int) -> None:
        self.script(f"UPDATE trial_clock SET at = at + interval '{us} microseconds';")

    def refusal(self) -> type[Exception]:
        return psycopg.errors.IntegrityError

    def close(self) -> None:
        pass


class PooledGround(PostgresGround):
    """The same through a pooler, and with the server's own clock: time passes by moving the rows back."""

    slack_seconds = 20.0
    examples = 5

    def __init__(self, request: pytest.FixtureRequest) -> None:
        server: PgBouncerServer = request.getfixturevalue("pgbouncer_server")
        database = _database_of(request.getfixturevalue("postgres_server"))
        self.keeper = self.open(server.url(database.rpartition("/")[2]))
        self.empty()

    def open(self, url: str) -> PostgresKeeper:
        return PostgresKeeper(url)

    def elapse(self, us: int) -> None:
        self.script("\n".join(text.format(us) for text in AGEING))


_databases: dict[PostgresServer, str] = {}


def _database_of(server: PostgresServer) -> str:
    if server not in _databases:
        url = _databases[server] = server.create_database()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE trial_clock AS SELECT statement_timestamp() AS at")
            connection.execute(
                "CREATE FUNCTION trial_now() RETURNS timestamptz LANGUAGE sql STABLE"
                " AS 'SELECT at FROM trial_clock'"
            )
        keeper = PostgresKeeper(url)
        keeper.migrator.apply()
        keeper.close()
    return _databases[server]
