"""`tx=` and `ctx.settling` on PostgreSQL: psycopg in both colours, asyncpg, SQLAlchemy in all its forms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.app.hand import Hand
from tests.servers.postgres import PostgresServer
from unstuck import App, BadTransaction, LostOwnership, State, StoreConflict, Task
from unstuck.model.verdict import Answer
from unstuck.rules.judging import handed_back

TheTask = Task[[int], int, int]

EFFECT = "INSERT INTO effects VALUES (1)"


@pytest.fixture
def app(postgres_url: str) -> Iterator[App]:
    with App(postgres_url) as app:
        app.keeper.migrator.apply()
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE effects (id integer)")
        yield app


@pytest.fixture
def task(app: App) -> TheTask:
    @app.task(name="t")
    def t(n: int) -> int:
        return n

    return t


def effects(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM effects").fetchone()
        assert row is not None
        return int(row[0])


class Blocking(NamedTuple):
    """One way to hold a blocking transaction."""

    tx: Any
    execute: Callable[[str], Any]
    commit: Callable[[], Any]
    rollback: Callable[[], Any]
    close: Callable[[], Any]


def sa_url(url: str, driver: str) -> str:
    return f"postgresql+{driver}://{url.partition('://')[2]}"


def by_psycopg(url: str) -> Blocking:
    connection = psycopg.connect(url, row_factory=dict_row)
    return Blocking(connection, connection.execute, connection.commit, connection.rollback, connection.close)


def by_session(url: str) -> Blocking:
    engine = sa.create_engine(sa_url(url, "psycopg"), poolclass=sa.NullPool)
    session = Session(engine)
    return Blocking(
        session, lambda text: session.execute(sa.text(text)), session.commit, session.rollback, session.close
    )


def by_connection(url: str) -> Blocking:
    connection = sa.create_engine(sa_url(url, "psycopg"), poolclass=sa.NullPool).connect()
    return Blocking(
        connection, connection.exec_driver_sql, connection.commit, connection.rollback, connection.close
    )


@pytest.mark.parametrize("open_one", [by_psycopg, by_session, by_connection])
def test_blocking_owners(
    app: App, task: TheTask, postgres_url: str, open_one: Callable[[str], Blocking]
) -> None:
    owner = open_one(postgres_url)
    for end, count in ((owner.rollback, 0), (owner.commit, 1)):
        owner.execute(EFFECT)
        job = task.using(tx=owner.tx, labels={"a": "100%"}, then=task.spec(2)).enqueue(7)
        app.enqueue_many((task.spec(n) for n in range(3)), tx=owner.tx)
        assert (len(app.jobs()), effects(postgres_url)) == (0, 0)
        end()
        assert (len(app.jobs()), effects(postgres_url)) == (4 * count, count)
    assert not task.using(id=job.id, tx=owner.tx).enqueue(7).created
    owner.rollback()

    hand = Hand(app)
    claimed = hand.claim()
    with hand.context(claimed).settling(tx=owner.tx, result=42):
        owner.execute(EFFECT)
    owner.commit()
    assert (app.job(claimed.id).result(), effects(postgres_url)) == (42, 2)

    claimed = hand.claim()
    assert hand.settle(handed_back(claimed, claimed.id, hand.id, started=True)) is Answer.ACCEPTED
    with pytest.raises(LostOwnership), hand.context(claimed).settling(tx=owner.tx):
        owner.execute(EFFECT)
    owner.rollback()
    assert (app.job(claimed.id).refresh().state, effects(postgres_url)) == (State.READY, 2)
    owner.close()


def test_a_delay_counts_from_the_enqueue_and_not_from_the_beginning_of_the_transaction(
    app: App, task: TheTask, postgres_url: str
) -> None:
    """In a transaction that is an hour old a job would be due at once, and its line an hour too far in front."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute(EFFECT)
        task.using(tx=connection, delay="1h").enqueue(7)
        row = connection.execute(
            "SELECT created_at > now(), wake_at - interval '1 hour' > now() FROM unstuck_jobs"
        ).fetchone()
    assert row == (True, True)


class Async(NamedTuple):
    """One way to hold an async transaction; leaving its context commits or rolls back."""

    tx: Any
    execute: Callable[[str], Any]


Begin = Callable[[str, bool], AbstractAsyncContextManager[Async]]


@asynccontextmanager
async def by_async_psycopg(url: str, keep: bool) -> AsyncIterator[Async]:
    connection = await psycopg.AsyncConnection.connect(url)
    yield Async(connection, connection.execute)
    await (connection.commit() if keep else connection.rollback())
    await connection.close()


@asynccontextmanager
async def by_asyncpg(url: str, keep: bool) -> AsyncIterator[Async]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield Async(connection, connection.execute)
        await (transaction.commit() if keep else transaction.rollback())


def by_async_session(driver: str) -> Begin:
    @asynccontextmanager
    async def begin(url: str, keep: bool) -> AsyncIterator[Async]:
        engine = create_async_engine(sa_url(url, driver))
        async with AsyncSession(engine) as session:
            yield Async(session, lambda text: session.execute(sa.text(text)))
            await (session.commit() if keep else session.rollback())
        await engine.dispose()

    return begin


def by_async_connection(driver: str) -> Begin:
    @asynccontextmanager
    async def begin(url: str, keep: bool) -> AsyncIterator[Async]:
        engine = create_async_engine(sa_url(url, driver))
        async with engine.connect() as connection:
            yield Async(connection, connection.exec_driver_sql)
            await (connection.commit() if keep else connection.rollback())
        await engine.dispose()

    return begin


ASYNC = [
    pytest.param(by_async_psycopg, id="psycopg"),
    pytest.param(by_asyncpg, id="asyncpg"),
    pytest.param(by_async_session("asyncpg"), id="AsyncSession-asyncpg"),
    pytest.param(by_async_session("psycopg"), id="AsyncSession-psycopg"),
    pytest.param(by_async_connection("asyncpg"), id="AsyncConnection-asyncpg"),
    pytest.param(by_async_connection("psycopg"), id="AsyncConnection-psycopg"),
]


@pytest.mark.parametrize("begin", ASYNC)
def test_async_owners(app: App, task: TheTask, postgres_url: str, begin: Begin) -> None:
    async def main() -> None:
        for keep in (False, True):
            async with begin(postgres_url, keep) as owner:
                await owner.execute(EFFECT)
                await task.using(tx=owner.tx, labels={"a": "100%"}, then=task.spec(2)).aenqueue(7)
                await app.aenqueue_many((task.spec(n) for n in range(3)), tx=owner.tx)
                assert (len(await app.ajobs()), effects(postgres_url)) == (0, 0)
            assert (len(await app.ajobs()), effects(postgres_url)) == ((4, 1) if keep else (0, 0))

        hand = Hand(app)
        claimed = hand.claim()
        async with begin(postgres_url, True) as owner, hand.context(claimed).settling(tx=owner.tx, result=42):
            await owner.execute(EFFECT)
        assert (await (await app.ajob(claimed.id)).aresult(), effects(postgres_url)) == (42, 2)

        claimed = hand.claim()
        assert hand.settle(handed_back(claimed, claimed.id, hand.id, started=True)) is Answer.ACCEPTED
        async with begin(postgres_url, False) as owner:
            with pytest.raises(LostOwnership):
                async with hand.context(claimed).settling(tx=owner.tx):
                    await owner.execute(EFFECT)
        assert ((await app.ajob(claimed.id)).snapshot.state, effects(postgres_url)) == (State.READY, 2)  # type: ignore[union-attr]
        await app.aclose()

    asyncio.run(main())


def said(task: TheTask, tx: Any) -> str:
    with pytest.raises(BadTransaction) as raised:
        task.using(tx=tx).enqueue(1)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_wrong_state(app: App, task: TheTask, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        assert "in autocommit, outside a transaction: use it inside connection.transaction()" in said(
            task, connection
        )
        with connection.transaction():
            assert task.using(tx=connection).enqueue(1).created
    with psycopg.connect(postgres_url) as connection:
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT nothing FROM nowhere")
        assert "has failed already: roll it back first" in said(task, connection)
        assert "is not a connection" in said(task, connection.cursor())
    assert "that is closed" in said(task, connection)
    engine = sa.create_engine(sa_url(postgres_url, "psycopg"), poolclass=sa.NullPool)
    with Session(engine) as session:
        with pytest.raises(sa.exc.DBAPIError):
            session.execute(sa.text("SELECT nothing FROM nowhere"))
        assert "has failed already: roll it back first" in said(task, session)
    with engine.connect() as core:
        with pytest.raises(sa.exc.DBAPIError):
            core.exec_driver_sql("SELECT nothing FROM nowhere")
        assert "has failed already: roll it back first" in said(task, core)
    assert len(app.jobs()) == 1


def test_a_conflict_is_named_and_left_to_the_caller(app: App, task: TheTask, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as one, psycopg.connect(postgres_url) as other:
        other.execute("SET LOCAL lock_timeout = '50ms'")
        task.using(id="same", tx=one).enqueue(1)
        with pytest.raises(StoreConflict, match="roll back and begin again"):
            task.using(id="same", tx=other).enqueue(1)
        other.rollback()
        one.commit()
        assert not task.using(id="same", tx=other).enqueue(1).created


def test_the_wrong_store_leaves_the_transaction_usable(
    app: App, task: TheTask, postgres_server: PostgresServer
) -> None:
    empty = postgres_server.create_database()
    with psycopg.connect(empty) as connection:
        connection.execute("CREATE TABLE mine (id integer)")
        assert "it belongs to another database" in said(task, connection)
        connection.execute("INSERT INTO mine VALUES (1)")
    with App(empty) as other:
        other.keeper.migrator.apply()
        with psycopg.connect(empty) as connection:
            assert "of another store than" in said(task, connection)
        assert other.jobs() == []
    postgres_server.drop_database(empty)
    with App("sqlite:////tmp/never-made.db") as embedded:
        wrong = embedded.task(name="t")(lambda: None)
        with psycopg.connect(app.url) as connection, pytest.raises(BadTransaction, match="but the store is"):
            wrong.using(tx=connection).enqueue()
    assert app.jobs() == []


def test_the_wrong_colour_and_the_wrong_state_of_async_ones(
    app: App, task: TheTask, postgres_url: str
) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
            assert "which is async: await aenqueue(…)" in said(task, connection)
        with psycopg.connect(postgres_url) as blocking, pytest.raises(BadTransaction, match="which blocks"):
            await task.using(tx=blocking).aenqueue(1)
        raw = await asyncpg.connect(postgres_url)
        with pytest.raises(BadTransaction, match="asyncpg connection outside a transaction"):
            await task.using(tx=raw).aenqueue(1)
        await raw.close()
        with pytest.raises(BadTransaction, match="that is closed"):
            await task.using(tx=raw).aenqueue(1)
        engine = create_async_engine(sa_url(postgres_url, "asyncpg"), isolation_level="AUTOCOMMIT")
        async with AsyncSession(engine) as session:
            with pytest.raises(BadTransaction, match="in AUTOCOMMIT: there is no transaction to join"):
                await task.using(tx=session).aenqueue(1)
        await engine.dispose()
        assert await app.ajobs() == []
        await app.aclose()

    asyncio.run(main())


def test_an_async_session_wakes_a_worker_after_its_commit(app: App, task: TheTask, postgres_url: str) -> None:
    hinted: list[set[str]] = []
    app.keeper.hint = lambda queues: hinted.append(set(queues))  # type: ignore[method-assign]

    async def main() -> None:
        engine = create_async_engine(sa_url(postgres_url, "asyncpg"))
        async with AsyncSession(engine) as session:
            await task.using(tx=session).aenqueue(1)
            async with session.begin_nested():
                await session.execute(sa.text(EFFECT))
            assert hinted == []
            await session.commit()
            assert hinted == [{"default"}]
        await engine.dispose()
        await app.aclose()

    asyncio.run(main())
