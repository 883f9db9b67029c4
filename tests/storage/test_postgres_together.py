"""What the PostgreSQL keeper owes where several meet: locks that are not waited for for ever, hints, poolers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import psycopg
import pytest

from unstuck.model.errors import StoreConflict, StoreUnavailable
from unstuck.model.ids import uuid7
from unstuck.model.job import NewJob
from unstuck.model.worker import NewWorker
from unstuck.rules import judging
from unstuck.storage.plan import Mode, Statement
from unstuck.storage.postgres.keeper import PostgresKeeper


def a_job() -> NewJob:
    return NewJob(uuid7(), "q", "t", "{}")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# Locks and transactions


@pytest.mark.waits
def test_a_client_that_stops_inside_a_transaction_does_not_block_the_rest_for_ever(
    keeper: PostgresKeeper,
) -> None:
    job = a_job()
    keeper.run(keeper.store.insert([job]))
    stopped = keeper.open()
    stopped.begin(Mode.TRANSACTION)
    stopped.execute(Statement("judged", {"ids": [job.id]}))
    began = time.monotonic()
    with psycopg.connect(keeper.address.conninfo, autocommit=True) as other:
        other.execute("UPDATE unstuck_jobs SET priority = 5 WHERE id = %s", (job.id,))
    assert time.monotonic() - began < 15
    with pytest.raises(StoreUnavailable):
        stopped.execute(Statement("clock"))
    assert stopped.is_spent
    stopped.close()


@pytest.mark.waits
def test_a_lock_that_is_held_is_a_conflict_and_not_a_wait_for_ever(keeper: PostgresKeeper) -> None:
    job = a_job()
    keeper.run(keeper.store.insert([job]))
    with psycopg.connect(keeper.address.conninfo) as holder:
        holder.execute("SELECT 1 FROM unstuck_jobs WHERE id = %s FOR UPDATE", (job.id,))
        waiting = keeper.open()
        waiting.begin(Mode.TRANSACTION)
        began = time.monotonic()
        with pytest.raises(StoreConflict):
            waiting.execute(Statement("judged", {"ids": [job.id]}))
        assert time.monotonic() - began < 10
        waiting.rollback(Mode.TRANSACTION)
        assert not waiting.is_spent
        waiting.close()


def test_claims_and_sweeps_step_over_rows_that_somebody_holds(keeper: PostgresKeeper) -> None:
    worker = uuid7()
    keeper.run(keeper.store.register(NewWorker(worker, "child", None, "h", 1, 60_000_000, ("q",), ("t",))))
    jobs = [a_job() for _ in range(3)]
    keeper.run(keeper.store.insert(jobs))
    with psycopg.connect(keeper.address.conninfo) as holder:
        holder.execute("SELECT 1 FROM unstuck_jobs WHERE id = %s FOR UPDATE", (jobs[0].id,))
        claimed = keeper.run(keeper.store.claim(worker, "q", ["t"], 10))
    assert {job.id for job in claimed} == {jobs[1].id, jobs[2].id}


# Hints


def test_hints_are_heard_proved_and_gathered(keeper: PostgresKeeper) -> None:
    async def story() -> None:
        ear = keeper.ear()
        assert ear is not None
        heard: list[frozenset[str]] = []

        async def listen() -> None:
            async for queues in ear:
                heard.append(queues)

        listening = asyncio.ensure_future(listen())
        await until(lambda: bool(heard))
        assert ear.is_proved
        assert heard == [frozenset()], "once it hears, anything may have been said before"
        for _ in range(200):
            keeper.hint(["a"])
        keeper.hint(["b c's"])
        await until(lambda: any("b c's" in queues for queues in heard))
        await asyncio.sleep(0.2)
        assert {"a", "b c's"} == frozenset().union(*heard)
        assert len([queues for queues in heard if "a" in queues]) <= 3
        await ear.aclose()
        await asyncio.wait_for(listening, 5)

    asyncio.run(story())


def test_behind_a_pooler_everything_works_but_the_ear(pgbouncer_url: str, postgres_url: str) -> None:
    PostgresKeeper(postgres_url).migrator.apply()
    keeper = PostgresKeeper(pgbouncer_url)
    worker = uuid7()
    keeper.run(keeper.store.register(NewWorker(worker, "child", None, "h", 1, 60_000_000, ("q",), ("t",))))
    keeper.run(keeper.store.insert([a_job() for _ in range(20)]))

    async def story() -> None:
        ear = keeper.ear()
        assert ear is not None
        lanes = [keeper.lane(str(number)) for number in range(4)]

        async def drain(number: int) -> int:
            ended = 0
            while claimed := await lanes[number].run(keeper.store.claim(worker, "q", ["t"], 2), 10):
                verdicts = [judging.succeeded(job, uuid7(), worker, None) for job in claimed]
                ended += len(await lanes[number].run(keeper.store.settle(verdicts), 10))
            return ended

        assert sum(await asyncio.gather(*map(drain, range(4)))) == 20
        keeper.hint(["q"])
        await asyncio.sleep(4)
        assert not ear.is_proved
        await ear.aclose()
        for lane in lanes:
            await lane.aclose()

    asyncio.run(story())
    keeper.close()
