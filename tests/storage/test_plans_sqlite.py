"""Every statement of a process at work takes a bounded number of steps of SQLite, whatever the table holds.

Counted are the instructions of SQLite's virtual machine, by its progress handler, never seconds: on an empty
store, on one of a thousand rows and on a large one, with statistics that are missing, stale (taken when 300
ready jobs were all there was) and fresh. The twin of the test on PostgreSQL, which counts pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.storage.growing import FRONT, MANY, SMALL, TAKEN, Growing, questions
from unstuck.engine.env import STRIDE
from unstuck.storage.plan import Mode, Plan, Request, Statement, run
from unstuck.storage.protocol import AHEAD_MAX, PULSE_SAMPLE
from unstuck.storage.sql.inspecting import FOUND_MAX
from unstuck.storage.sql.library import Style
from unstuck.storage.sql.surveying import FRONT as SWEEP_FRONT
from unstuck.storage.sql.surveying import LAG_FRONT
from unstuck.storage.sqlite.keeper import SqliteKeeper

GRAIN = 50
"""Instructions between two counts."""

FEW = 5_000
"""Instructions for a question about a handful of rows, or about a hundred workers."""

PER_ROW = 400
"""Instructions for one row that is found, written and entered into its indexes."""

PASSED = 40
"""Instructions for one ready job of another task."""

OWNED = FRONT // 20 + 5 * TAKEN
"""How many jobs the living worker runs here, at most."""

BUDGETS = {
    **dict.fromkeys(
        ("insert", "insert_alike", "promote", "promote_late", "prune_jobs"), FEW + PER_ROW * TAKEN
    ),
    # What it takes, and what it passes over to its end.
    "claim": FEW + PER_ROW * TAKEN + PASSED * STRIDE,
    **dict.fromkeys(("settle", "settle_successes"), FEW + PER_ROW * TAKEN),
    **dict.fromkeys(("write_progress", "write_logs", "write_attempts"), FEW + PER_ROW * TAKEN),
    **dict.fromkeys(("expired", "waiting_unhandled", "inspect_jobs"), FEW + PER_ROW * TAKEN),
    **dict.fromkeys(("look", "glance", "owned", "workers", "workers_by_id"), FEW + 50 * OWNED),
    **dict.fromkeys(("head", "unhandled"), FEW + 100 * SWEEP_FRONT),
    **dict.fromkeys(("newest", "at_work", "first_alarms", "depth"), FEW + 100 * PULSE_SAMPLE),
    **dict.fromkeys(("parked", "overdue", "waiting_for"), FEW + 25 * LAG_FRONT),
    "ahead": FEW + 25 * AHEAD_MAX,
    "reach": FEW + 15 * STRIDE,
    "inspect_alarms": FEW + 100 * (FOUND_MAX + OWNED),
}

INDEXES = {
    "claim": "unstuck_jobs_claim",
    "reach": "unstuck_jobs_claim",
    "settle": "autoindex_unstuck_jobs_1",
    "settle_successes": "autoindex_unstuck_jobs_1",
    "promote": "unstuck_jobs_wake",
    "expired": "unstuck_jobs_wake",
    "orphans": "unstuck_jobs_worker",
    "owned": "unstuck_jobs_worker",
    "prune_jobs": "unstuck_jobs_keep",
    "look": "unstuck_jobs_claim",
    "head": "unstuck_jobs_claim",
    "waiting_for": "unstuck_jobs_wake",
    "inspect_jobs": "autoindex_unstuck_jobs_1",
    "inspect_owners": "unstuck_jobs_worker",
    "depth": "unstuck_jobs_claim",
    "first_alarms": "unstuck_jobs_wake",
    "newest": "autoindex_unstuck_jobs_1",
    "at_work": "unstuck_jobs_worker",
}
"""The index of jobs that a statement must walk on a large table."""

LARGE = ("large, stale", "large, missing", "large, fresh")


class Counted:
    """A connection that counts the instructions of every statement, and keeps how it was planned."""

    def __init__(self, keeper: SqliteKeeper):
        self._connection = keeper.open()
        self._dialect = keeper.dialect
        self._ticks = 0
        self.steps: dict[str, list[int]] = {}
        self.plans: dict[str, str] = {}
        self.found: dict[str, int] = {}

    def _tick(self) -> int:
        self._ticks += 1
        return 0

    def begin(self, mode: Mode) -> None:
        self._connection.begin(mode)

    def execute(self, request: Request) -> Any:
        assert isinstance(request, Statement)
        raw = self._connection._raw
        if request.block not in self.plans:
            (spelled, *_) = self._dialect.spell(request, Style.NAMED)
            rows = raw.execute(f"EXPLAIN QUERY PLAN {spelled.text}", spelled.values).fetchall()
            self.plans[request.block] = "\n".join(str(row[3]) for row in rows)
        self._ticks = 0
        raw.set_progress_handler(self._tick, GRAIN)
        try:
            found = self._connection.execute(request)
        finally:
            raw.set_progress_handler(None, 0)
        self.steps.setdefault(request.block, []).append(self._ticks * GRAIN)
        self.found.setdefault(request.block, len(found))
        return found

    def commit(self, mode: Mode) -> None:
        self._connection.commit(mode)

    def rollback(self, mode: Mode) -> None:
        self._connection.rollback(mode)

    def close(self) -> None:
        self._connection.close()


def counted(growing: Growing) -> Counted:
    """Every statement of every question, counted."""
    assert isinstance(growing.keeper, SqliteKeeper)
    connection = Counted(growing.keeper)

    def ask(plan: Plan[Any]) -> Any:
        return run(connection, plan)

    try:
        questions(growing, ask)
    finally:
        connection.close()
    return connection


def beyond(counts: Counted) -> dict[str, list[int]]:
    """The statements that took more steps than they may, with their steps."""
    return {name: each for name, each in counts.steps.items() if max(each) > BUDGETS.get(name, FEW)}


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Growing]:
    path: Path = tmp_path_factory.mktemp("plans") / "jobs.db"
    keeper = SqliteKeeper(path)
    yield Growing(keeper)
    keeper.close()


@pytest.fixture(scope="module")
def stages(growing: Growing) -> dict[str, Counted]:
    """What was counted at each size, with each kind of statistics."""
    found = {"empty, missing": counted(growing)}
    growing.begin()
    growing.script("ANALYZE")
    growing.grow(SMALL)
    found["small, stale"] = counted(growing)
    growing.grow(MANY)
    found["large, stale"] = counted(growing)
    growing.script("DELETE FROM sqlite_stat1")
    found["large, missing"] = counted(growing)
    growing.script("ANALYZE")
    found["large, fresh"] = counted(growing)
    return found


def test_every_question_takes_a_bounded_number_of_steps(stages: dict[str, Counted]) -> None:
    too_much = {stage: found for stage, counts in stages.items() if (found := beyond(counts))}
    assert too_much == {}


@pytest.mark.parametrize("stage", LARGE)
def test_hot_statements_walk_the_index_that_is_meant(stages: dict[str, Counted], stage: str) -> None:
    plans = stages[stage].plans
    assert {name: plans[name] for name, index in INDEXES.items() if index not in plans[name]} == {}


@pytest.mark.parametrize("stage", LARGE)
def test_the_questions_found_work(stages: dict[str, Counted], stage: str) -> None:
    """A bound on what finds nothing would say nothing."""
    found = stages[stage].found
    for name in ("claim", "promote", "expired", "orphans", "prune_jobs", "waiting_unhandled"):
        assert found[name] == TAKEN, name


def test_without_its_index_a_question_is_beyond_its_bound(
    growing: Growing, stages: dict[str, Counted]
) -> None:
    assert stages.keys() >= set(LARGE)
    growing.script("DROP INDEX unstuck_jobs_keep")
    try:
        found = beyond(counted(growing))
    finally:
        growing.script(
            "CREATE INDEX unstuck_jobs_keep ON unstuck_jobs (keep_until) WHERE keep_until IS NOT NULL"
        )
    assert found.keys() == {"prune_jobs"}
