"""Of tasks that are fast more is claimed than there are places, and never at the price of those that are not."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.engine.bench import Bench, Slow
from tests.unit.engine.handling import Task
from unstuck.engine.handler import Kind
from unstuck.engine.pace import FAST_SAMPLES

PLACES = 4


class Paced:
    """A handler that takes so many seconds by the worker's clock; once told to, it waits for ever."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.bench: Bench | None = None
        self.waits = False

    async def __call__(self) -> None:
        assert self.bench is not None
        self.bench.seconds += self.seconds
        if self.waits:
            await asyncio.Event().wait()


async def known(bench: Bench, *paced: Paced) -> None:
    """Run as many jobs as it takes to know the task, and settle them."""
    for each in paced:
        each.bench = bench
    bench.add(FAST_SAMPLES)
    await bench.looking.round()
    while bench.shift.claims_made < 200 and (bench.shift.runs or not await bench.claiming.round()):
        await bench.turn()
    while bench.shift.outbox:
        await bench.settling.round()


@pytest.mark.parametrize(
    ("seconds", "fewest", "most"), [(0.0, 150, 200), (0.01, PLACES + 1, 4 * PLACES), (0.1, PLACES, PLACES)]
)
def test_what_is_claimed_ahead_follows_the_time_that_a_task_takes(
    seconds: float, fewest: int, most: int
) -> None:
    async def story() -> int:
        work = Paced(seconds)
        bench = Bench(Task(work, Kind.ASYNC), slots=400, concurrency=PLACES)
        await known(bench, work)
        work.waits = True
        bench.add(200)
        await bench.looking.round()
        await bench.claim_all()
        return len(bench.shift.buffer) + len(bench.shift.runs)

    assert fewest <= asyncio.run(story()) <= most


def test_a_flood_of_fast_jobs_does_not_keep_slow_ones_from_being_claimed() -> None:
    async def story() -> set[str]:
        work, slow = Paced(0.0), Paced(1.0)
        bench = Bench(Task(work, Kind.ASYNC), Task(slow, Kind.ASYNC, "slow"), slots=400, concurrency=PLACES)
        await known(bench, work, slow)
        work.waits = slow.waits = True
        bench.add(600)
        await bench.looking.round()
        await bench.claim_all()
        bench.add(1, task="slow")
        await bench.looking.round()
        await bench.claim_all()
        assert len(bench.shift.buffer) > PLACES
        in_hand = [*bench.shift.buffer, *bench.shift.runs.values()]
        return {each.job.task for each in in_hand}

    assert "slow" in asyncio.run(story())


@pytest.mark.parametrize(("round_trip", "fewest", "most"), [(0.0, 9, 12), (0.02, 20, 40), (5.0, 40, 44)])
def test_what_is_claimed_ahead_lasts_until_the_next_claim_answers(
    round_trip: float, fewest: int, most: int
) -> None:
    """Of a task of 10 ms, in four places: claims that take longer are bridged by more, up to a tenth of a second."""

    async def story() -> int:
        work = Paced(0.01)
        bench = Bench(Task(work, Kind.ASYNC), slots=400, concurrency=PLACES, lease=3600.0)

        def answers(plan: str) -> None:
            bench.seconds += round_trip if plan == "claim" else 0.0

        bench.shift.claim_lane = Slow(bench.shift.claim_lane, answers)
        await known(bench, work)
        work.waits = True
        bench.add(200)
        await bench.looking.round()
        await bench.claim_all()
        return len(bench.shift.buffer) + len(bench.shift.runs)

    assert fewest <= asyncio.run(story()) <= most
