"""`tx=` on SQLite: sqlite3 connections, and SQLAlchemy in its blocking colour."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from unstuck import App, BadTransaction, IdConflict, Spec, StoreConflict, StoreUnavailable, Task


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def app(path: Path) -> Iterator[App]:
    with App(f"sqlite:///{path}") as app:
        app.jobs()
        yield app


@pytest.fixture
def task(app: App) -> Task[[int], int, int]:
    @app.task(name="t")
    def t(n: int) -> int:
        return n

    return t


@pytest.fixture
def connection(path: Path, app: App) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE orders (id integer)")
    yield connection
    connection.close()


def count(app: App) -> int:
    return len(app.jobs())


def test_the_job_exists_if_and_only_if_the_order_does(
    app: App, task: Task[[int], int, int], connection: sqlite3.Connection
) -> None:
    for ending, jobs in (("ROLLBACK", 0), ("COMMIT", 1)):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO orders VALUES (1)")
        job = task.using(tx=connection, labels={"a": "b"}).enqueue(7)
        assert job.created
        assert count(app) == 0, "seen before the commit"
        assert connection.in_transaction
        connection.execute(ending)
        assert count(app) == jobs
    assert dict(app.job(job.id).refresh().labels) == {"a": "b"}


def test_many_and_again(app: App, task: Task[[int], int, int], connection: sqlite3.Connection) -> None:
    specs: list[Spec[int]] = [task.using(id=f"n{n}").spec(n) for n in range(600)]
    connection.execute("BEGIN IMMEDIATE")
    assert all(job.created for job in app.enqueue_many(specs, tx=connection))
    assert not any(job.created for job in app.enqueue_many(specs, tx=connection))
    with pytest.raises(IdConflict):
        task.using(id="n1", tx=connection).enqueue(2)
    connection.execute("COMMIT")
    assert len(app.jobs(limit=1000)) == 600


def test_factories_of_the_caller_do_not_matter(
    app: App, task: Task[[int], int, int], connection: sqlite3.Connection
) -> None:
    connection.row_factory = lambda cursor, row: {"only": row}
    connection.execute("BEGIN IMMEDIATE")
    assert task.using(tx=connection, id="x").enqueue(7).created
    assert not task.using(tx=connection, id="x").enqueue(7).created
    connection.execute("COMMIT")


def said(task: Task[[int], int, int], tx: Any) -> str:
    with pytest.raises(BadTransaction) as raised:
        task.using(tx=tx).enqueue(1)
    return str(raised.value)


def test_the_wrong_state(
    app: App, task: Task[[int], int, int], connection: sqlite3.Connection, path: Path
) -> None:
    assert 'outside a transaction: execute("BEGIN IMMEDIATE") first' in said(task, connection)
    closed = sqlite3.connect(path)
    closed.close()
    assert "cannot be used here" in said(task, closed)
    assert "is not a connection" in said(task, connection.cursor())
    assert count(app) == 0


def test_the_wrong_store(app: App, task: Task[[int], int, int], tmp_path: Path) -> None:
    empty = sqlite3.connect(tmp_path / "empty.db")
    empty.execute("BEGIN")
    assert "it belongs to another database" in said(task, empty)
    with App(f"sqlite:///{tmp_path}/other.db") as other:
        other.jobs()
    another = sqlite3.connect(tmp_path / "other.db")
    another.execute("BEGIN IMMEDIATE")
    assert f"of another store than {app.keeper.url_shown}" in said(task, another)
    assert count(app) == 0
    empty.close()
    another.close()


def test_the_wrong_colour(app: App, task: Task[[int], int, int], connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")

    async def main() -> None:
        with pytest.raises(BadTransaction, match=r"which blocks: use enqueue\(…\)"):
            await task.using(tx=connection).aenqueue(1)

    asyncio.run(main())
    assert "cannot be joined: it takes a psycopg" in said(task, object())
    connection.execute("ROLLBACK")


def test_a_reader_that_writes_too_late_is_told_the_remedy(
    app: App, task: Task[[int], int, int], connection: sqlite3.Connection
) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM orders").fetchall()
    task.enqueue(1)
    with pytest.raises(StoreConflict, match=r"SQLITE_BUSY_SNAPSHOT.*begin with BEGIN IMMEDIATE"):
        task.using(tx=connection).enqueue(2)
    connection.execute("ROLLBACK")
    assert count(app) == 1


@pytest.fixture
def engine(path: Path, connection: sqlite3.Connection) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def test_sqlalchemy_session(app: App, task: Task[[int], int, int], engine: sa.Engine) -> None:
    hinted: list[set[str]] = []
    app.keeper.hint = lambda queues: hinted.append(set(queues))  # type: ignore[method-assign]
    with Session(engine) as session:
        session.execute(sa.text("INSERT INTO orders VALUES (1)"))
        task.using(tx=session).enqueue(1)
        session.rollback()
        assert (count(app), hinted) == (0, [])
        task.using(tx=session).enqueue(2)
        task.using(tx=session, delay="1h").enqueue(3)
        assert (count(app), hinted) == (0, [])
        session.commit()
        assert (count(app), hinted) == (2, [{"default"}])
        session.execute(sa.text("INSERT INTO orders VALUES (1)"))
        session.commit()
        assert len(hinted) == 1
        scoped = scoped_session(sessionmaker(engine))
        task.using(tx=scoped).enqueue(4)
        scoped.commit()
        scoped.remove()
        assert count(app) == 3


def test_sqlalchemy_connection(
    app: App, task: Task[[int], int, int], engine: sa.Engine, tmp_path: Path
) -> None:
    with engine.connect() as connection:
        task.using(tx=connection).enqueue(1)
        connection.rollback()
        assert count(app) == 0
        task.using(tx=connection).enqueue(1)
        connection.commit()
        assert count(app) == 1
    assert "that is closed" in said(task, connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert "in AUTOCOMMIT: there is no transaction to join" in said(task, connection)
    assert "SQLAlchemy Engine is no transaction" in said(task, engine).replace(
        "sqlalchemy Engine", "SQLAlchemy Engine"
    )
    assert "bound to no engine" in said(task, Session())
    elsewhere = sa.create_engine(f"sqlite:///{tmp_path}/elsewhere.db")
    with Session(elsewhere) as session:
        assert "it belongs to another database" in said(task, session)
    elsewhere.dispose()
    assert count(app) == 1


def test_a_session_whose_connection_fails_is_not_the_callers_mistake(
    task: Task[[int], int, int], tmp_path: Path
) -> None:
    nowhere = sa.create_engine(f"sqlite:///{tmp_path}/no/such/folder/jobs.db")
    with Session(nowhere) as session, pytest.raises(StoreUnavailable, match="unable to open database file"):
        task.using(tx=session).enqueue(1)
    nowhere.dispose()
