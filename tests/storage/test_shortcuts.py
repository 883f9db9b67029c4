"""The shorter ways by which jobs come in on PostgreSQL: taken where they may be, and left where not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from unstuck import App
from unstuck.model.ids import uuid7
from unstuck.model.job import ClaimedJob, NewJob
from unstuck.model.worker import NewWorker
from unstuck.storage.postgres import shortcuts
from unstuck.storage.postgres.arrays import packed
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.postgres.shortcuts import PREPARED_AT
from unstuck.storage.protocol import Filter

PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE name = 'unstuck_insert_one'"


def a_job(**said: Any) -> NewJob:
    return NewJob(**{"id": uuid7(), "queue": "q", "task": "t", "args": "{}"} | said)


def count(keeper: PostgresKeeper) -> int:
    return sum(keeper.run(keeper.store.tally(Filter())).values())


def raw_of(keeper: PostgresKeeper) -> psycopg.Connection[Any]:
    """The one connection that the keeper has used so far."""
    (connection,) = keeper._pool._idle
    return connection._raw


def prepared(raw: psycopg.Connection[Any]) -> int:
    row = raw.execute(PREPARED).fetchone()
    return row[0] if row else 0


def test_a_single_insert_is_prepared_when_it_comes_again(keeper: PostgresKeeper) -> None:
    for number in range(1, PREPARED_AT + 3):
        (answer,) = keeper.run(keeper.store.insert([a_job()]))
        assert answer.created
        assert prepared(raw_of(keeper)) == (1 if number >= PREPARED_AT else 0)
    assert count(keeper) == PREPARED_AT + 2


def test_it_is_prepared_in_the_other_colour_too(keeper: PostgresKeeper) -> None:
    async def main() -> None:
        for _ in range(PREPARED_AT + 1):
            await keeper.arun(keeper.store.insert_each([a_job()]))
        (connection,) = keeper._async_pools[asyncio.get_running_loop()]._idle
        cursor = await connection._raw.execute(PREPARED.encode())
        assert await cursor.fetchone() == (1,)
        await keeper.aclose()

    asyncio.run(main())


def test_what_the_server_has_forgotten_is_sent_as_it_is(keeper: PostgresKeeper) -> None:
    for _ in range(PREPARED_AT + 1):
        keeper.run(keeper.store.insert([a_job()]))
    raw = raw_of(keeper)
    raw.pgconn.exec_(b"DEALLOCATE ALL")  # below the driver, which goes on believing
    for _ in range(3):
        assert keeper.run(keeper.store.insert([a_job()]))[0].created
    assert count(keeper) == PREPARED_AT + 4
    assert prepared(raw) == 0


def test_nothing_is_prepared_behind_a_pooler(pgbouncer_url: str, postgres_url: str) -> None:
    direct = PostgresKeeper(postgres_url)
    direct.migrator.apply()
    direct.close()
    keeper = PostgresKeeper(pgbouncer_url)
    for _ in range(PREPARED_AT + 3):
        keeper.run(keeper.store.insert([a_job()]))
    assert not keeper._pool._idle[0]._shortcuts._prepared
    assert count(keeper) == PREPARED_AT + 3
    keeper.close()


def test_the_first_hint_for_a_queue_goes_out_with_the_insert_itself(keeper: PostgresKeeper) -> None:
    """By the process that inserts; for a while after it hints go their own way again, and none is lost."""
    for _ in range(PREPARED_AT):
        keeper.run(keeper.store.insert([a_job()]))
    inserter = raw_of(keeper).info.backend_pid
    with psycopg.connect(keeper.address.conninfo, autocommit=True) as ear:
        ear.execute("LISTEN unstuck_hints")
        for _ in range(2):
            keeper.run_telling(keeper.store.insert([a_job()]), ["q"])
        said = list(ear.notifies(timeout=10, stop_after=2))
    assert [each.payload for each in said] == ["q q", "q q"]
    assert [each.pid == inserter for each in said] == [True, False]


def test_the_first_hint_goes_out_so_in_the_other_colour_too(keeper: PostgresKeeper) -> None:
    async def main() -> None:
        for _ in range(PREPARED_AT):
            await keeper.arun(keeper.store.insert_each([a_job()]))
        (connection,) = keeper._async_pools[asyncio.get_running_loop()]._idle
        with psycopg.connect(keeper.address.conninfo, autocommit=True) as ear:
            ear.execute("LISTEN unstuck_hints")
            await keeper.arun_telling(keeper.store.insert_each([a_job()]), ["q"])
            (said,) = list(ear.notifies(timeout=10, stop_after=1))
        assert (said.payload, said.pid) == ("q q", connection._raw.info.backend_pid)
        await keeper.aclose()

    asyncio.run(main())


def test_an_insert_that_fails_names_nothing_and_one_of_many_queues_is_hinted_as_ever(
    keeper: PostgresKeeper,
) -> None:
    for _ in range(PREPARED_AT):
        keeper.run(keeper.store.insert([a_job()]))
    with psycopg.connect(keeper.address.conninfo, autocommit=True) as ear:
        ear.execute("LISTEN unstuck_hints")
        with pytest.raises(psycopg.Error):
            keeper.run_telling(keeper.store.insert([a_job(codec=1 << 40)]), ["q"])
        keeper.run_telling(keeper.store.insert([a_job(), a_job(queue="p")]), ["p", "q"])
        said = list(ear.notifies(timeout=10, stop_after=2))
    assert sorted(each.payload for each in said) == ["q p", "q q"]


@pytest.mark.parametrize(("rest", "count"), [(-1.0, 1), (3600.0, 0)], ids=["rested", "in a stream"])
def test_a_claim_is_prepared_after_a_rest_only_and_brings_the_same(
    keeper: PostgresKeeper, monkeypatch: pytest.MonkeyPatch, rest: float, count: int
) -> None:
    monkeypatch.setattr(shortcuts, "REST_SECONDS", rest)
    names = ("plain", 'quoted " and \\', "a,b {c} ü")
    worker = uuid7()
    keeper.run(keeper.store.register(NewWorker(worker, "child", None, "h", 1, 60_000_000, ("q",), names)))
    jobs = [a_job(task=name, args='{"n":1}', timeout_us=5) for name in names * 3]
    keeper.run(keeper.store.insert(jobs))
    taken: list[ClaimedJob] = []
    for _ in range(len(jobs)):
        taken += keeper.run(keeper.store.claim(worker, "q", names, 1))
    assert [job.id for job in taken] == [job.id for job in sorted(jobs, key=lambda job: job.id)]
    for job, new in zip(taken, sorted(jobs, key=lambda job: job.id), strict=True):
        assert (job.task, job.args, job.timeout_us, job.fence) == (new.task, new.args, 5, 1)
    found = raw_of(keeper).execute("SELECT name FROM pg_prepared_statements").fetchall()
    assert len(found) == count


def test_inside_a_transaction_of_the_callers_nothing_is_tried(
    keeper: PostgresKeeper, postgres_url: str
) -> None:
    """A statement that the server refuses would spoil what the caller did before it."""
    app = App(postgres_url)

    @app.task(name="t")
    def t(n: int) -> None: ...

    specs = [t.using(id=f"job {n}").spec(n) for n in range(5)]
    app.enqueue_many(specs[2:3])
    with psycopg.connect(postgres_url) as mine:
        mine.execute("CREATE TABLE of_mine (n int)")
        jobs = app.enqueue_many(specs, tx=mine)
        assert [job.created for job in jobs] == [True, True, False, True, True]
    assert count(keeper) == 5
    app.close()


# Arrays


VALUES: list[list[Any]] = [
    ["a", "b"],
    ["same"] * 5,
    ["", '"', "\\", "{}", "NULL", "ü世🙂", "a,b", "a\nb", " "],
    ["a", None, "c"],
    [None, None],
    [1, 2, 3],
    [0, -1, 2**62, -(2**63)],
    [7] * 4,
    [None, 5],
    [True, False],
    [True] * 3,
    [None, True],
    [UUID(int=7 << 100), UUID(int=(1 << 128) - 7)],
    [UUID(int=0), UUID(int=2**128 - 1), None],
    [datetime(2033, 5, 17, tzinfo=UTC), None],
    [1.5, 2.5],
]


@pytest.mark.parametrize("values", VALUES, ids=repr)
def test_what_is_packed_arrives_as_a_list_would(postgres_url: str, values: list[Any]) -> None:
    kinds = {
        str: "text",
        int: "bigint",
        bool: "boolean",
        UUID: "uuid",
        datetime: "timestamptz",
        float: "float8",
    }
    kind = next((kinds[type(value)] for value in values if value is not None), "bigint")
    with psycopg.connect(postgres_url) as connection:
        ask = f"SELECT array(SELECT v FROM unnest(%s::{kind}[]) AS v)".encode()
        assert connection.execute(ask, [packed(values)]).fetchone() == (values,)
        assert connection.execute(ask, [values]).fetchone() == (values,)


def test_small_numbers_fit_small_columns(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        ask = b"SELECT %s::smallint[], %s::int[]"
        assert connection.execute(ask, [packed([1, 2]), packed([3, None])]).fetchone() == ([1, 2], [3, None])


@pytest.mark.parametrize("values", [[], [1, "a"], [2**70, 1], [object], [1.5]], ids=repr)
def test_what_is_not_known_is_left_to_the_driver(values: list[Any]) -> None:
    assert packed(values) is values
