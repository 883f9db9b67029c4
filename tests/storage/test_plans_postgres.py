"""Every statement of a process at work reads a bounded number of pages of PostgreSQL, whatever the table holds.

Counted are buffers, as EXPLAIN (ANALYZE, BUFFERS) tells them, never seconds: on an empty store, on one of a
thousand rows and on a large one, with statistics that are missing, stale (taken when 300 ready jobs were all
there was) and fresh. Statements are planned anew each time, so the plan judged here is the one that serves.
Each is caught on its way: one that is added to an operation is judged too, by the bound of those that say
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.postgres import PostgresServer
from tests.storage.growing import FRONT, MANY, SMALL, TAKEN, Growing, questions
from unstuck.engine.env import STRIDE
from unstuck.storage.plan import Mode, Plan, Request, Statement, run
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.protocol import PULSE_SAMPLE
from unstuck.storage.sql.inspecting import FOUND_MAX
from unstuck.storage.sql.library import Style
from unstuck.storage.sql.surveying import FRONT as SWEEP_FRONT
from unstuck.storage.sql.surveying import LAG_FRONT
from unstuck.storage.sql.workers import WAKING_FRONT

FEW = 250
"""Buffers that a question about a handful of rows may touch."""

PER_ROW = 25
"""Buffers for one row that is found, locked, written and entered into its indexes."""

OWNED = FRONT // 20 + 5 * TAKEN
"""How many jobs the living worker runs here, at most."""

SCATTERED = ("parked", "overdue", "waiting_for")

BUDGETS = {
    **dict.fromkeys(
        ("insert", "insert_alike", "claim", "promote", "promote_late", "prune_jobs"), FEW + PER_ROW * TAKEN
    ),
    **dict.fromkeys(("settle", "settle_successes"), FEW + PER_ROW * TAKEN),
    **dict.fromkeys(("write_progress", "write_logs", "write_attempts"), FEW + PER_ROW * TAKEN),
    **dict.fromkeys(("expired", "waiting_unhandled", "prune_attempts", "prune_logs"), FEW + 5 * TAKEN),
    # Ended workers are visited one by one, and their jobs one by one.
    **dict.fromkeys(("orphans", "owned_ids"), FEW + 5 * TAKEN),
    # What a worker owns is read where it is asked for, or counted.
    **dict.fromkeys(("look", "glance", "owned", "workers", "workers_by_id"), FEW + OWNED),
    # The front of a queue, each row with the step of its queue.
    **dict.fromkeys(("head", "unhandled"), FEW + 4 * SWEEP_FRONT),
    # One entry after another, the rows of which are visited where they are new.
    "reach": FEW + STRIDE,
    # A sample, each row with the step of its queue.
    **dict.fromkeys(("newest", "at_work", "first_alarms", "depth"), FEW + 4 * PULSE_SAMPLE),
    # The earliest alarms, many of them: where they may lie scattered, the server would rather read up to four times as many
    # pages in a row, be it the whole of a smaller table, and never more. The larger number is the doctor's.
    "waiting_for": FEW + 4 * WAKING_FRONT,
    **dict.fromkeys(("parked", "overdue"), FEW + 4 * LAG_FRONT),
    # What is overdue stops at its first thousand.
    "inspect_alarms": FEW + 2 * FOUND_MAX + OWNED,
    # A portion, each row with the job it belongs to.
    **dict.fromkeys(("inspect_attempts", "inspect_logs"), FEW + 15 * TAKEN),
}

INDEXES = {
    "claim": "jobs_claim",
    "reach": "jobs_claim",
    "settle": "jobs_pkey",
    "settle_successes": "jobs_pkey",
    "promote": "jobs_wake",
    "promote_late": "jobs_wake",
    "expired": "jobs_wake",
    "orphans": "jobs_worker",
    "owned": "jobs_worker",
    "prune_jobs": "jobs_keep",
    "look": "jobs_claim",
    "glance": "jobs_claim",
    "head": "jobs_claim",
    "waiting_for": "jobs_wake",
    "parked": "jobs_wake",
    "inspect_jobs": "jobs_pkey",
    "inspect_alarms": "jobs_wake",
    "inspect_owners": "jobs_worker",
    "get": "jobs_pkey",
    "depth": "jobs_claim",
    "first_alarms": "jobs_wake",
    "newest": "jobs_pkey",
    "at_work": "jobs_worker",
}
"""The index of jobs that a statement must walk on a large table."""

NEVER = {
    "settle": {"jobs_claim", "jobs_wake", "jobs_worker", "jobs_keep"},
    "settle_successes": {"jobs_claim", "jobs_wake", "jobs_worker", "jobs_keep"},
    "claim": {"jobs_wake", "jobs_keep"},
}
"""Indexes that would answer too, full of dead entries."""

FORGOTTEN = """
DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relname LIKE 'unstuck_%');
UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE relname LIKE 'unstuck_%' AND relkind IN ('r', 'i')
"""
"""As if nobody had ever taken statistics."""

LARGE = ("large, stale", "large, missing", "large, fresh")


class Measured:
    """A connection that explains every statement, undoes it, and then does it."""

    def __init__(self, keeper: PostgresKeeper):
        self._connection = keeper.open()
        self._dialect = keeper.dialect
        self.plans: dict[str, list[Any]] = {}

    def begin(self, mode: Mode) -> None:
        """Statements stand alone here: a transaction around them changes no plan."""

    def execute(self, request: Request) -> Any:
        assert isinstance(request, Statement)
        raw = self._connection._raw
        for spelled in self._dialect.spell(request, Style.PYFORMAT):
            raw.execute("BEGIN")
            text = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {spelled.text}"
            row = raw.execute(text.encode(), spelled.values).fetchone()
            raw.execute("ROLLBACK")
            assert row is not None
            self.plans.setdefault(request.block, []).append(row[0][0]["Plan"])
        return self._connection.execute(request)

    def commit(self, mode: Mode) -> None:
        """See `begin`."""

    def rollback(self, mode: Mode) -> None:
        """See `begin`."""

    def close(self) -> None:
        self._connection.close()


Plans = dict[str, list[Any]]


def measured(growing: Growing) -> Plans:
    """Every statement of every question, with its plan."""
    assert isinstance(growing.keeper, PostgresKeeper)
    connection = Measured(growing.keeper)

    def ask(plan: Plan[Any]) -> Any:
        return run(connection, plan)

    try:
        questions(growing, ask)
    finally:
        connection.close()
    return connection.plans


def buffers(plan: Any) -> int:
    """The pages that a plan with all below it touched."""
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def walked(plan: Any) -> set[str]:
    """The indexes that a plan walks, and the jobs' table where it reads all of that."""
    found = {str(plan["Index Name"]).removeprefix("unstuck_")} if "Index Name" in plan else set[str]()
    if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] == "unstuck_jobs":
        found.add("jobs, all of them")
    for below in plan.get("Plans", ()):
        found |= walked(below)
    return found


def beyond(plans: Plans) -> dict[str, list[int]]:
    """The statements that read more than they may, with what they read."""
    return {
        name: [buffers(plan) for plan in each]
        for name, each in plans.items()
        if max(map(buffers, each)) > BUDGETS.get(name, FEW)
    }


@pytest.fixture(scope="module")
def growing(postgres_server: PostgresServer) -> Iterator[Growing]:
    url = postgres_server.create_database()
    keeper = PostgresKeeper(url)
    growing = Growing(keeper)
    for table in ("jobs", "attempts", "job_logs", "workers"):
        growing.script(f"ALTER TABLE {{{table}}} SET (autovacuum_enabled = false)")
    yield growing
    keeper.close()
    postgres_server.drop_database(url)


@pytest.fixture(scope="module")
def stages(growing: Growing) -> dict[str, Plans]:
    """What was read at each size, with each kind of statistics."""
    found = {"empty, missing": measured(growing)}
    growing.begin()
    growing.script("ANALYZE")
    growing.grow(SMALL)
    found["small, stale"] = measured(growing)
    growing.script(FORGOTTEN)
    found["small, missing"] = measured(growing)
    growing.script("ANALYZE")
    found["small, fresh"] = measured(growing)
    # From here on statistics are older than the rows by a factor of thousands.
    growing.grow(MANY)
    found["large, stale"] = measured(growing)
    growing.script(FORGOTTEN)
    found["large, missing"] = measured(growing)
    growing.script("ANALYZE")
    found["large, fresh"] = measured(growing)
    return found


def test_every_question_reads_a_bounded_number_of_pages(stages: dict[str, Plans]) -> None:
    too_much = {stage: found for stage, plans in stages.items() if (found := beyond(plans))}
    assert too_much == {}


@pytest.mark.parametrize("stage", LARGE)
def test_hot_statements_walk_the_index_that_is_meant(stages: dict[str, Plans], stage: str) -> None:
    plans = stages[stage]
    ways = {name: [walked(plan) for plan in plans[name]] for name in INDEXES}
    astray = {
        name: each
        for name, each in ways.items()
        if name not in SCATTERED
        and not all(INDEXES[name] in way and not way & NEVER.get(name, set()) for way in each)
    }
    assert astray == {}
    whole = [name for name, each in plans.items() if any("jobs, all of them" in walked(p) for p in each)]
    assert [name for name in whole if name not in SCATTERED] == []


@pytest.mark.parametrize("stage", LARGE)
def test_the_questions_found_work(stages: dict[str, Plans], stage: str) -> None:
    """A bound on what finds nothing would say nothing."""
    plans = stages[stage]
    for name in ("claim", "promote", "expired", "orphans", "prune_jobs", "waiting_unhandled"):
        assert plans[name][0]["Actual Rows"] == TAKEN, name
    settled = [*plans["settle"], *plans["settle_successes"]]
    assert sum(plan["Actual Rows"] for plan in settled) == TAKEN


def test_without_its_index_a_question_is_beyond_its_bound(growing: Growing, stages: dict[str, Plans]) -> None:
    assert stages.keys() >= set(LARGE)
    growing.script("ALTER INDEX unstuck_jobs_wake RENAME TO kept")
    growing.script("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'kept'::regclass")
    try:
        found = beyond(measured(growing))
    finally:
        growing.script("UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'kept'::regclass")
        growing.script("ALTER INDEX kept RENAME TO unstuck_jobs_wake")
    assert {"promote", "look", "expired", "waiting_unhandled"} <= found.keys()
