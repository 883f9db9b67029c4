"""Inside a transaction of the user's own: a job exists if and only if that transaction was committed.

What is counted are the round trips of the user's own connection, his COMMIT among them. Nothing is
repeated for him; who repeats it all begins again with a connection that works.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import psycopg

from tests.crashpoints.acting import Acting, Scenario
from tests.crashpoints.scenarios.enqueueing import several
from tests.crashpoints.stages import Stage
from unstuck.app.joining import join
from unstuck.model.verdict import Answer
from unstuck.rules import judging
from unstuck.storage.plan import Plan


def inside(make: Callable[[Acting, Any], Plan[Any]]) -> Callable[[Acting, Any], Any]:
    """Run a plan in a transaction of the user's, in the colour of the process."""

    def act(acting: Acting, prepared: Any) -> Any:
        return (
            _awaited(acting, make(acting, prepared))
            if acting.colour == "async"
            else _blocking(acting, make(acting, prepared))
        )

    return act


def _blocking(acting: Acting, plan: Plan[Any]) -> Any:
    connection = acting.stage.caller(acting.fuse)
    acting.memory.setdefault("closing", []).append(connection.close)
    is_sqlite = acting.stage.engine == "sqlite"
    try:
        if is_sqlite:
            connection.execute("BEGIN IMMEDIATE")
        answer = join(connection, acting.keeper).run(plan)
        connection.execute("COMMIT") if is_sqlite else connection.commit()
        return answer
    except Exception:
        connection.close()
        raise


async def _awaited(acting: Acting, plan: Plan[Any]) -> Any:
    connection = await acting.stage.acaller(acting.fuse)
    acting.memory.setdefault("aclosing", []).append(connection.close)
    try:
        answer = await join(connection, acting.keeper).arun(plan)
        await connection.commit()
        return answer
    except Exception:
        await connection.close()
        raise


def owned(stage: Stage) -> Any:
    worker = stage.worker()
    job = stage.start(worker, then=(stage.new_job(task="u"),))
    return [judging.succeeded(job, stage.id(), worker, "7")]


def scenarios(name: str, covers: str, prepare: Any, make: Any, **rest: Any) -> list[Scenario]:
    """SQLite has one colour of callers, PostgreSQL two."""
    return [
        Scenario(
            f"{name} ({engine})",
            (covers,),
            prepare,
            inside(make),
            engines=(engine,),
            colours=colours,
            raises=raises,
            **rest,
        )
        for engine, colours, raises in (
            ("sqlite", ("blocking",), (sqlite3.Error,)),
            ("postgres", ("blocking", "async"), (psycopg.Error,)),
        )
    ]


SCENARIOS = (
    *scenarios(
        "insert inside the user's transaction", "run_inside", several,
        lambda acting, jobs: acting.store.insert(jobs),
        tells=lambda answer: [each.created for each in answer], first=[True] * 4, again=[False] * 4,
    ),
    *scenarios(
        "settle inside the handler's transaction", "settling", owned,
        lambda acting, verdicts: acting.store.settle(verdicts),
        tells=lambda answer: [each.answer for each in answer], first=[Answer.ACCEPTED], again=[Answer.ALREADY],
    ),
)  # fmt: skip
