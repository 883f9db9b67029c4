"""On a small table whose statistics say that nothing runs, a group of endings is joined once, not for each of them."""

from __future__ import annotations

from typing import Any

from tests.storage.test_plans_postgres import Measured
from unstuck.model.ids import uuid7
from unstuck.model.job import NewJob
from unstuck.model.worker import NewWorker
from unstuck.rules import judging
from unstuck.storage.plan import Mode, Plan, Requests, Script, run
from unstuck.storage.postgres.keeper import PostgresKeeper

JOBS = 1000


def analyzed() -> Plan[Any]:
    def start() -> Requests[Any]:
        yield Script("by hand", "ANALYZE unstuck_jobs")

    return Plan("by_hand", Mode.WRITE, start)


def thrown_away(plan: dict[str, Any]) -> int:
    """How many pairs of rows all joins of this plan have looked at and thrown away."""
    mine = plan.get("Rows Removed by Join Filter", 0) * plan.get("Actual Loops", 1)
    return int(mine + sum(thrown_away(each) for each in plan.get("Plans", ())))


def test_a_group_of_endings_is_joined_once(keeper: PostgresKeeper) -> None:
    worker, store = uuid7(), keeper.store
    keeper.run(store.register(NewWorker(worker, "child", None, "here", 1, 30_000_000, ("q",), ("t",))))
    keeper.run(store.insert([NewJob(uuid7(), "q", "t", "{}") for _ in range(JOBS)]))
    keeper.run(analyzed())
    jobs = keeper.run(store.claim(worker, "q", ["t"], JOBS // 2))
    measured = Measured(keeper)
    try:
        run(measured, store.settle([judging.succeeded(job, uuid7(), worker, "null") for job in jobs]))
    finally:
        measured.close()
    (plan,) = measured.plans["settle_successes"]
    assert plan["Actual Rows"] == JOBS // 2
    assert thrown_away(plan) <= JOBS
