"""Inside a transaction of the user's own: a job exists if and only if that transaction was committed.

By every driver that can be joined, and by SQLAlchemy on top of two of them. What is counted are the round
trips of the user's own connection, his COMMIT among them. Nothing is
repeated for him; who repeats it all begins again with a connection that works.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import asyncpg
import psycopg
import sqlalchemy
from sqlalchemy.orm import Session

from tests.crashpoints.acting import Acting, Scenario
from tests.crashpoints.postgres_stage import PostgresStage
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


def by_asyncpg(make: Callable[[Acting, Any], Plan[Any]]) -> Callable[[Acting, Any], Any]:
    """The same with asyncpg, which has transactions of its own."""

    async def act(acting: Acting, prepared: Any) -> Any:
        assert isinstance(acting.stage, PostgresStage)
        connection = await acting.stage.asyncpg_caller(acting.fuse)

        async def close() -> None:
            connection.terminate()

        acting.memory.setdefault("aclosing", []).append(close)
        try:
            async with connection.transaction():
                return await join(connection, acting.keeper).arun(make(acting, prepared))
        except Exception:
            connection.terminate()
            raise

    return act


def by_sqlalchemy(make: Callable[[Acting, Any], Plan[Any]]) -> Callable[[Acting, Any], Any]:
    """The same by a Session of SQLAlchemy, which begins and commits by itself."""

    def act(acting: Acting, prepared: Any) -> Any:
        engine = engine_of(acting)
        acting.memory.setdefault("closing", []).append(engine.dispose)
        with Session(engine) as session:
            answer = join(session, acting.keeper).run(make(acting, prepared))
            session.commit()
        return answer

    return act


def engine_of(acting: Acting) -> sqlalchemy.Engine:
    """An engine whose connections lead over the fuse, but for the first, by which it gets to know the server."""
    is_sqlite = acting.stage.engine == "sqlite"
    fuses = iter([None])
    own: dict[str, Any] = {} if is_sqlite else {"use_native_hstore": False}
    engine = sqlalchemy.create_engine(
        "sqlite://" if is_sqlite else "postgresql+psycopg://",
        creator=lambda: acting.stage.caller(next(fuses, acting.fuse)),
        poolclass=sqlalchemy.NullPool,
        **own,
    )
    engine.connect().close()
    if is_sqlite:
        # The driver begins nothing by itself in this mode; SQLAlchemy's own recipe does.
        sqlalchemy.event.listen(engine, "begin", lambda raw: raw.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def owned(stage: Stage) -> Any:
    worker = stage.worker()
    job = stage.start(worker, then=(stage.new_job(task="u"),))
    return [judging.succeeded(job, stage.id(), worker, "7")]


def scenarios(name: str, covers: str, prepare: Any, make: Any, **rest: Any) -> list[Scenario]:
    """SQLite has one colour of callers, PostgreSQL two; SQLAlchemy stands on either."""
    blocking, both, awaiting = ("blocking",), ("blocking", "async"), ("async",)
    of_sqlalchemy = (sqlalchemy.exc.SQLAlchemyError,)
    return [
        Scenario(
            f"{name} ({words})",
            (covers,),
            prepare,
            driver(make),
            engines=(engine,),
            colours=colours,
            raises=raises,
            **rest,
        )
        for words, engine, driver, colours, raises in (
            ("sqlite", "sqlite", inside, blocking, (sqlite3.Error,)),
            ("postgres", "postgres", inside, both, (psycopg.Error,)),
            ("asyncpg", "postgres", by_asyncpg, awaiting, (asyncpg.PostgresError, asyncpg.InterfaceError)),
            ("SQLAlchemy on sqlite", "sqlite", by_sqlalchemy, blocking, of_sqlalchemy),
            ("SQLAlchemy on postgres", "postgres", by_sqlalchemy, blocking, of_sqlalchemy),
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
