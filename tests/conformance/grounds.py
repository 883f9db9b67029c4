"""The grounds of the keepers that speak SQL: a file of each test's own, a database of all tests' own.

Both take their clock as an argument, so time is given: SQLite's is a function here, PostgreSQL's a
function in the database, which stands still or, through the pooler, also runs by itself.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

import psycopg
import pytest

from tests.conformance.trying import Clock, Ground, House
from tests.servers.pgbouncer import PgBouncerServer
from tests.servers.postgres import PostgresServer
from unstuck.storage.plan import Mode, Plan, Requests, Script
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.sql.library import TABLES
from unstuck.storage.sqlite.keeper import SqliteKeeper

KEPT = ("meta", "migrations")

CLOCKS = """
CREATE TABLE trial_clock AS SELECT statement_timestamp() AS began, statement_timestamp() AS at;
CREATE FUNCTION trial_standing_now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT at FROM trial_clock';
CREATE FUNCTION trial_running_now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT statement_timestamp() + (at - began) FROM trial_clock';
"""


class SqlGround(Ground):
    def script(self, text: str) -> None:
        def start() -> Requests[None]:
            assert self.keeper.dialect is not None
            yield Script("by hand", self.keeper.dialect.resolve(text))

        self.keeper.run(Plan("by_hand", Mode.TRANSACTION, start))

    def sql(self, text: str) -> None:
        self.script(text if text.rstrip().endswith(";") else f"{text};")

    is_logged = False

    def empty(self) -> None:
        # The deletions are logged too, so the log is emptied last.
        tables = [table for table in TABLES if table not in KEPT] + ["events"] * self.is_logged
        self.script("\n".join(f"DELETE FROM {{{table}}};" for table in tables))

    def keep_events(self) -> None:
        super().keep_events()
        self.is_logged = True
        self.empty()


@cache
def _file() -> bytes:
    """An empty store, made once: to make its tables takes longer than many a test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.db"
        keeper = SqliteKeeper(path)
        keeper.migrator.apply()
        keeper.close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


class SqliteGround(SqlGround):
    examples = 60

    def __init__(self, request: pytest.FixtureRequest) -> None:
        path: Path = request.getfixturevalue("tmp_path") / "jobs.db"
        path.write_bytes(_file())
        self.clock = Clock()
        self.keeper = SqliteKeeper(path, clock=self.clock)

    def elapse(self, us: int) -> None:
        self.clock.now_us += us

    def refusal(self) -> type[Exception]:
        return sqlite3.IntegrityError


@cache
def _database(server: PostgresServer) -> str:
    """One database for all tests of a process: to create one takes longer than most tests."""
    url = server.create_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CLOCKS)
    PostgresKeeper(url).migrator.apply()
    return url


class PostgresGround(SqlGround):
    """A database and a keeper that the tests of one process share, empty at the beginning of each."""

    examples = 15
    now = "trial_standing_now()"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        house: House = request.getfixturevalue("house")
        url = self.url(request)
        self.keeper = house.keeper(url, lambda: PostgresKeeper(url, now=self.now))
        self.empty()

    def url(self, request: pytest.FixtureRequest) -> str:
        return _database(request.getfixturevalue("postgres_server"))

    def empty(self) -> None:
        super().empty()
        self.script("UPDATE trial_clock SET began = statement_timestamp(), at = statement_timestamp();")

    def elapse(self, us: int) -> None:
        self.script(f"UPDATE trial_clock SET at = at + interval '{us} microseconds';")

    def refusal(self) -> type[Exception]:
        return psycopg.errors.IntegrityError

    def close(self, house: House) -> None:
        """The house keeps what is shared."""
        if self.is_logged:
            self.keeper.migrator.keep_events(False)
            self.script("DROP TABLE {events}; DELETE FROM {meta} WHERE name = 'event_log';")


class PooledGround(PostgresGround):
    """The same through a pooler, and with a clock that also runs by itself, as in service."""

    slack_seconds = 20.0
    examples = 5
    now = "trial_running_now()"

    def url(self, request: pytest.FixtureRequest) -> str:
        server: PgBouncerServer = request.getfixturevalue("pgbouncer_server")
        return server.url(super().url(request).rpartition("/")[2])
