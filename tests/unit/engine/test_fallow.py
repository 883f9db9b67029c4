"""What is asked in vain, and takes long, is asked rarely, unless there is nothing else to do."""

from __future__ import annotations

import asyncio

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.fallow import FREE_SECONDS, SHARE, Fallow
from unstuck.engine.handler import Kind

LEASE = 30.0


def a_bench(seconds: float, concurrency: int = 1) -> Bench:
    """So many places for coroutines, and some for plain functions; each claim takes so long."""
    bench = Bench(
        Task(lambda: asyncio.Event().wait(), Kind.ASYNC),
        Task(lambda: None, Kind.PLAIN, "plain"),
        concurrency=concurrency,
        lease=LEASE,
    )

    def takes_long() -> None:
        bench.elapse(seconds)
        bench.meanwhile["claim"] = takes_long

    bench.meanwhile["claim"] = takes_long
    return bench


async def claims_of(bench: Bench, looks: int = 1) -> int:
    """How many claims so many looks lead to."""
    before = bench.shift.claims_made
    for _ in range(looks):
        await bench.looking.round()
        await bench.claim_all()
    return bench.shift.claims_made - before


def test_a_busy_worker_asks_rarely_for_what_takes_long_to_find_missing() -> None:
    async def story() -> None:
        bench = a_bench(0.1)
        bench.add(2)
        assert await claims_of(bench) == 2  # one that runs now, and in vain for plain functions
        assert await claims_of(bench) == 1  # one slow answer proves nothing
        assert await claims_of(bench, 5) == 0
        (plain,) = bench.add(1, task="plain")
        assert await claims_of(bench) == 0 and bench.job(plain).fence == 0
        bench.elapse(0.1 / SHARE + 0.01)
        await claims_of(bench)
        assert bench.job(plain).fence == 1

    asyncio.run(story())


def test_the_look_comes_again_when_a_course_is_due() -> None:
    async def story() -> None:
        bench = a_bench(0.01)
        bench.add(2)
        await claims_of(bench, 2)
        pause = await bench.looking.round()
        assert 0.0 < pause <= 0.01 / SHARE + 0.01 < bench.settings.poll
        bench.elapse(pause)
        assert await claims_of(bench) == 1

    asyncio.run(story())


def test_what_is_found_missing_at_once_is_asked_for_at_every_look() -> None:
    async def story() -> None:
        bench = a_bench(FREE_SECONDS / 2)
        bench.add(2)
        await claims_of(bench)
        assert await claims_of(bench, 5) == 5

    asyncio.run(story())


def test_a_queue_that_brings_less_than_is_asked_for_is_asked_at_every_look() -> None:
    """There is nothing to walk over in it: it is the machine that is slow."""

    async def story() -> None:
        bench = a_bench(0.1, concurrency=3)
        bench.add(2)
        await claims_of(bench, 3)
        bench.shift.ready["default"] = 0
        bench.claiming.look_back("default")
        (plain,) = bench.add(1, task="plain")
        await bench.claim_all()
        assert bench.job(plain).fence == 1 and bench.shift.runs

    asyncio.run(story())


def test_a_worker_that_has_nothing_else_to_do_asks_at_every_look() -> None:
    async def story() -> None:
        bench = a_bench(0.1)
        bench.add(1)
        (running,) = bench.add(1, priority=1)
        await claims_of(bench, 3)
        assert {job_id for job_id, _ in bench.shift.runs} == {running}
        assert await claims_of(bench) == 0
        bench.shift.runs.clear()
        assert bench.shift.is_empty
        assert await claims_of(bench) == 1

    asyncio.run(story())


def test_nothing_is_left_alone_for_longer_than_a_lease() -> None:
    fallow: Fallow[str] = Fallow(LEASE)
    for _ in range(2):
        fallow.was_empty("course", 100.0, 60.0)
    assert not fallow.is_due("course", 100.0 + LEASE - 1)
    assert fallow.seconds_left(100.0) == LEASE
    assert fallow.is_due("course", 100.0 + LEASE)
    assert fallow.is_due("another", 100.0)
