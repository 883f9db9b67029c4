"""Where the store has one writer, what has ended goes with the next claim, and neither holds up the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.claiming import Claiming
from unstuck.engine.demand import AHEAD_PORTIONS
from unstuck.engine.env import STRIDE
from unstuck.engine.handler import Kind
from unstuck.engine.settling import SOON_SECONDS, Settling
from unstuck.engine.shift import PORTION_MAX, PORTION_OF_ONE_FILE
from unstuck.engine.worker import Worker
from unstuck.model.errors import StoreUnavailable
from unstuck.model.job import NewJob
from unstuck.model.states import State
from unstuck.storage.plan import Plan

R = TypeVar("R")


AHEAD_MAX = AHEAD_PORTIONS * PORTION_OF_ONE_FILE


class Told:
    """A lane that notes the plans that it runs, and may refuse those whose name says so."""

    def __init__(self, lane: Any) -> None:
        self._lane = lane
        self.ran: list[str] = []
        self.refused: dict[str, Exception] = {}

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        self.ran.append(plan.name)
        if plan.name in self.refused:
            raise self.refused[plan.name]
        answer: R = await self._lane.run(plan, deadline)
        return answer

    async def aclose(self) -> None:
        await self._lane.aclose()


async def at_once() -> None:
    """A job that ends in its first step."""


def one_writer(
    places: int = 1, run: Callable[[], Coroutine[Any, Any, None]] = at_once, stride: int = STRIDE
) -> tuple[Bench, Told]:
    bench = Bench(Task(run, Kind.ASYNC), concurrency=places, slots=2048, stride=stride)
    lane = Told(bench.keeper.lane("one"))
    bench.shift.claim_lane = bench.shift.settle_lane = lane
    bench.shift.portion = PORTION_OF_ONE_FILE
    bench.settling = Settling(bench.shift, bench.executor)
    bench.claiming = Claiming(bench.shift, bench.executor, bench.settling)
    return bench, lane


def told(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


async def with_one_ended(bench: Bench, count: int) -> None:
    """So many jobs, the first of which has run and waits to be settled, while the next could be claimed."""
    bench.add(count)
    bench.shift.ready = {"default": 0}
    await bench.claiming.round()
    await bench.turn()
    assert len(bench.shift.outbox) == 1


def test_an_ending_waits_for_the_claim_that_is_about_to_go_and_shares_its_commit() -> None:
    async def story() -> None:
        bench, lane = one_writer()
        await with_one_ended(bench, 2)
        lane.ran.clear()
        assert await bench.settling.round() > 0 and lane.ran == []
        await bench.claiming.round()
        assert lane.ran == ["settle and claim"]
        assert len(bench.shift.runs) == 1 and not bench.shift.outbox
        assert bench.shift.page.tally().ended == 1

    told(story())


def test_an_ending_goes_by_itself_where_nothing_is_to_be_claimed() -> None:
    async def story() -> None:
        bench, lane = one_writer()
        await with_one_ended(bench, 1)
        bench.shift.is_quiet = True
        lane.ran.clear()
        await bench.settling.round()
        assert lane.ran == ["settle"] and not bench.shift.outbox

    told(story())


def test_an_ending_that_brings_jobs_is_lent_to_no_claim() -> None:
    """What follows must be there for everybody to see before it is claimed, and not appear in the hands of one worker."""

    async def story() -> None:
        bench, lane = one_writer()
        bench.add(1, priority=1, then=(NewJob(id=uuid4(), queue="default", task="t", args="{}"),))
        await with_one_ended(bench, 1)
        (ended,) = bench.shift.outbox.values()
        assert ended.effects
        assert bench.settling.lend() == ()
        lane.ran.clear()
        await bench.settling.round()
        assert lane.ran == ["settle"], "and it does not wait for the claim that is about to go"
        await bench.claiming.round()
        assert lane.ran == ["settle", "claim"]

    told(story())


def test_endings_are_not_lent_where_one_of_them_brings_jobs() -> None:
    async def story() -> None:
        bench, lane = one_writer(places=2)
        bench.add(1)
        bench.add(1, then=(NewJob(id=uuid4(), queue="default", task="t", args="{}"),))
        bench.shift.ready = {"default": 0}
        await bench.claiming.round()
        await bench.turn()
        assert sorted(bool(each.effects) for each in bench.shift.outbox.values()) == [False, True]
        bench.add(1)
        lane.ran.clear()
        await bench.claiming.round()
        assert lane.ran == ["claim"]

    told(story())


def test_a_claim_does_not_take_what_is_on_its_way_already() -> None:
    async def story() -> None:
        bench, lane = one_writer()
        await with_one_ended(bench, 2)
        assert bench.settling.lend() != ()
        assert bench.settling.lend() == ()
        lane.ran.clear()
        assert await bench.claiming.round() > 0 and lane.ran == []
        bench.settling.take_back(None)
        await bench.claiming.round()
        assert lane.ran == ["claim"], "what did not arrive goes by itself next"

    told(story())


def test_an_ending_that_the_store_does_not_take_does_not_hold_up_claims() -> None:
    async def story() -> None:
        bench, lane = one_writer()
        await with_one_ended(bench, 2)
        for name in ("settle", "settle and claim"):
            lane.refused[name] = ValueError("a result that nobody can store")
        with pytest.raises(ValueError, match="nobody can store"):
            await bench.claiming.round()
        assert len(bench.shift.outbox) == 1 and not bench.shift.claims_in_flight
        with pytest.raises(ValueError, match="nobody can store"):
            await bench.settling.round()
        await bench.claiming.round()
        assert len(bench.shift.runs) == 1 and len(bench.shift.outbox) == 1

    told(story())


def test_a_store_that_is_away_is_not_asked_without_end() -> None:
    """Each loop wakes the other only for what it waits for, else both would go round without a rest."""

    async def story() -> None:
        bench, lane = one_writer()
        await with_one_ended(bench, 1)
        bench.shift.ready = {}
        lane.refused["settle"] = StoreUnavailable("away")
        woken: list[str] = []
        bench.shift.settle_now = lambda: woken.append("settle")
        with pytest.raises(StoreUnavailable):
            await bench.settling.round()
        assert await bench.claiming.round() > 0
        assert woken == []

    told(story())


def test_a_settling_that_waits_is_woken_where_the_claim_does_not_go_after_all() -> None:
    async def story() -> None:
        bench, lane = one_writer()
        await with_one_ended(bench, 2)
        assert await bench.settling.round() > 0
        bench.shift.ready = {}
        woken: list[str] = []
        bench.shift.settle_now = lambda: woken.append("settle")
        await bench.claiming.round()
        assert woken == ["settle"]
        lane.ran.clear()
        await bench.settling.round()
        assert lane.ran == ["settle"]

    told(story())


def test_what_is_lost_with_a_shared_commit_is_settled_again_and_reconciled() -> None:
    async def story() -> None:
        bench, lane = one_writer()
        await with_one_ended(bench, 2)
        (ended,) = bench.shift.outbox.values()
        reconciled: list[bool] = []
        bench.shift.reconcile_now = lambda: reconciled.append(True)
        lane.refused["settle and claim"] = StoreUnavailable("away")
        with pytest.raises(StoreUnavailable):
            await bench.claiming.round()
        assert reconciled == [True]
        await bench.settling.round()
        assert bench.job(ended.job_id).state is State.SUCCEEDED and not bench.shift.outbox

    told(story())


def test_only_a_store_of_one_file_has_its_commits_shared() -> None:
    async def story() -> None:
        for is_one_file in (True, False):
            bench, _ = one_writer()
            lanes = dict.fromkeys(("claim", "settle", "fence"), bench.shift.claim_lane)
            worker = Worker(
                bench.shift.id, bench.store, bench.shift.handlers, bench.settings, bench.shift.env,
                bench.page, lanes, is_one_file=is_one_file,
            )  # fmt: skip
            assert (worker._claiming._companion is not None) is is_one_file
            assert worker.shift.portion == (PORTION_OF_ONE_FILE if is_one_file else PORTION_MAX)

    told(story())


def test_a_stride_in_vain_takes_no_endings_along_and_they_do_not_wait_for_it() -> None:
    """They would make it long, and what lies ahead would run out meanwhile."""
    gate = asyncio.Event()

    async def patient() -> None:
        await gate.wait()

    async def story() -> None:
        bench, lane = one_writer(2, patient, stride=5)
        bench.add(1)
        bench.shift.ready = {"default": 0}
        await bench.claiming.round()
        bench.add(30, task="of somebody else")
        bench.elapse(5.0)
        bench.shift.ready = {"default": 0}
        bench.claiming.look_back("default")
        await bench.claiming.round()
        assert bench.claiming._strides._walks and len(bench.shift.runs) == 1
        gate.set()
        await bench.turn()
        assert len(bench.shift.outbox) == 1
        lane.ran.clear()
        bench.elapse(1.0)
        await bench.claiming.round()
        assert "claim" in lane.ran and "settle and claim" not in lane.ran
        lane.ran.clear()
        await bench.settling.round()
        assert lane.ran == ["settle"]

    told(story())


def test_the_next_claim_goes_before_what_the_last_one_brought_is_started() -> None:
    async def story() -> None:
        bench, lane = one_writer(places=10)
        bench.executor.pace._means["t"] = (100, 0.0001)
        bench.add(2 * PORTION_OF_ONE_FILE)
        bench.shift.ready = {"default": 0}
        await bench.claiming.round()
        assert (len(bench.shift.buffer), len(bench.shift.runs)) == (PORTION_OF_ONE_FILE, 0)
        await bench.claiming.round()
        assert lane.ran.count("claim") == 2
        await bench.turn()
        assert bench.shift.outbox

    told(story())


async def with_work_in_hand(bench: Bench) -> None:
    """Jobs that end at once, many of them claimed ahead, and some ended, while more are in the queue."""
    bench.executor.pace._means["t"] = (100, 0.0001)
    bench.add(2 * AHEAD_MAX)
    bench.shift.ready = {"default": 0}
    while len(bench.shift.buffer) <= AHEAD_MAX // 2:
        await bench.claiming.round()
    await bench.turn()
    assert bench.shift.outbox and len(bench.shift.buffer) > AHEAD_MAX // 2


def test_endings_wait_a_moment_for_a_claim_that_is_sure_to_come() -> None:
    """Were they under way when half of what is in hand has run, the claim would find nothing left to run meanwhile."""

    async def story() -> None:
        bench, lane = one_writer()
        await with_work_in_hand(bench)
        lane.ran.clear()
        assert await bench.settling.round() == SOON_SECONDS and lane.ran == []
        while len(bench.shift.buffer) > AHEAD_MAX // 2:  # noqa: ASYNC110 - handlers run meanwhile
            await asyncio.sleep(0)
        assert await bench.settling.round() > SOON_SECONDS and lane.ran == []
        await bench.claiming.round()
        assert lane.ran == ["settle and claim"]

    told(story())


def test_endings_wait_for_a_moment_only() -> None:
    async def story() -> None:
        bench, lane = one_writer()
        await with_work_in_hand(bench)
        lane.ran.clear()
        await bench.settling.round()
        bench.elapse(2 * SOON_SECONDS)
        await bench.settling.round()
        assert lane.ran == ["settle"]

    told(story())


@pytest.mark.parametrize("why", ["slow", "drained", "quiet", "much"])
def test_endings_do_not_wait_where_no_claim_is_sure_to_come(why: str) -> None:
    async def story() -> None:
        bench, lane = one_writer()
        await with_work_in_hand(bench)
        match why:
            case "slow":
                bench.executor.pace._means["t"] = (100, 0.02)
            case "drained":
                bench.shift.ready = {}
            case "much":
                bench.settling._group_max = len(bench.shift.outbox) // 2
            case _:
                bench.shift.is_quiet = True
        lane.ran.clear()
        await bench.settling.round()
        assert lane.ran == ["settle"]

    told(story())
