"""The grounds of the keepers that speak SQL: a file of the test's own, a database of the test's own.

SQLite takes its clock as an argument, so time is given. PostgreSQL has the server's clock, so time
passes by moving every moment in the rows back by as much; what other tests left is deleted.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.conformance.trying import Clock, Ground
from unstuck.storage.plan import Mode, Plan, Requests, Script
from unstuck.storage.sql.library import TABLES
from unstuck.storage.sqlite.keeper import SqliteKeeper

KEPT = ("meta", "migrations")


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
