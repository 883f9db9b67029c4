"""What the doctor asks reads an index or a bounded portion: judged by the plans of the engines, not by seconds.

Every statement that an examination and a pass of repairs send is caught on its way and explained, on a store
with many rows; a statement added later is caught as well.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.filling import fill
from tests.doctor.patient import troubles
from unstuck.doctor.examining import examine
from unstuck.doctor.looking import Limits, Looking
from unstuck.doctor.repairing import Repairing
from unstuck.model.ids import uuid7
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Mode, Plan, Request, Statement, run
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.sql.library import Style
from unstuck.storage.sqlite.keeper import SqliteKeeper

ROWS = 40_000
LARGE = ("jobs", "attempts", "job_logs")
WHOLE_FILE = {"integrity"}
"""Statements that read everything by their nature, and so have a deadline."""


class Caught:
    """A connection that keeps what it is asked."""

    def __init__(self, connection: Any):
        self._connection = connection
        self.statements: dict[str, Statement] = {}

    def begin(self, mode: Mode) -> None:
        self._connection.begin(mode)

    def execute(self, request: Request) -> Any:
        assert isinstance(request, Statement)
        self.statements.setdefault(request.block, request)
        return self._connection.execute(request)

    def commit(self, mode: Mode) -> None:
        self._connection.commit(mode)

    def rollback(self, mode: Mode) -> None:
        self._connection.rollback(mode)


class CaughtLane:
    """A lane on such a connection."""

    def __init__(self, caught: Caught):
        self._caught = caught

    async def run(self, plan: Plan[Any], deadline: float | None = None) -> Any:
        return run(self._caught, plan)

    async def aclose(self) -> None:
        """Whoever made the connection closes it."""


@pytest.fixture(params=["sqlite", "postgres"])
def large(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keeper]:
    """A sound store with many rows."""
    keeper: Keeper
    if request.param == "sqlite":
        keeper = SqliteKeeper(tmp_path / "jobs.db")
    else:
        keeper = PostgresKeeper(request.getfixturevalue("postgres_url"))
    keeper.migrator.apply()
    fill(keeper, ROWS)
    yield keeper
    keeper.close()


def plan_of(keeper: Keeper, connection: Any, statement: Statement) -> str:
    """How the engine means to answer."""
    assert keeper.dialect is not None
    style = Style.NAMED if keeper.engine == "sqlite" else Style.PYFORMAT
    (spelled, *_) = keeper.dialect.spell(statement, style)
    if keeper.engine == "sqlite":
        rows = connection._raw.execute(f"EXPLAIN QUERY PLAN {spelled.text}", spelled.values).fetchall()
        return "\n".join(str(row[3]) for row in rows)
    rows = connection._raw.execute(f"EXPLAIN {spelled.text}".encode(), spelled.values).fetchall()
    return "\n".join(str(row[0]) for row in rows)


def reads_a_whole_table(plan: str, statement: str) -> list[str]:
    """The lines of a plan that walk a large table without an index."""
    whole: list[str] = []
    aliases = {
        alias: table for table, alias in re.findall(r"unstuck_(\w+) AS (\w+)", statement) if table in LARGE
    }
    for line in plan.splitlines():
        scanned = re.match(r"SCAN (\w+)(?! USING)\b(.*)", line.strip())
        if ("Seq Scan on unstuck_" in line and any(f"unstuck_{table} " in f"{line} " for table in LARGE)) or (
            scanned and "USING" not in line and scanned[1] in aliases
        ):
            whole.append(line)
    return whole


def test_no_question_of_the_doctor_reads_a_whole_table(large: Keeper) -> None:
    connection: Any = large.open()  # type: ignore[attr-defined]
    caught = Caught(connection)
    lane = CaughtLane(caught)
    limits = Limits(whole=600.0, check=600.0, scan=600.0, portion=1000)

    async def both() -> Any:
        found = await examine(Looking(large, lane, limits))
        await Repairing(Looking(large, lane, limits), "someone", uuid7).run()
        return found

    found = asyncio.run(both())
    assert found.is_fine, troubles(found)
    asked = {name: statement for name, statement in caught.statements.items() if name not in WHOLE_FILE}
    assert {
        "inspect_jobs",
        "inspect_attempts",
        "inspect_logs",
        "inspect_owners",
        "inspect_alarms",
    } <= asked.keys()
    whole: dict[str, list[str]] = {}
    for name, statement in asked.items():
        assert large.dialect is not None
        text = large.dialect.spelling(name, Style.NAMED)[0]
        if lines := reads_a_whole_table(plan_of(large, connection, statement), text):
            whole[name] = lines
    assert whole == {}
    connection.close()
