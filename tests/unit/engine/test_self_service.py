"""A thread that has done with a job takes the next by itself, under the same conditions as the loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from uuid import UUID

import pytest

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.context import current
from unstuck.engine.handler import Kind
from unstuck.engine.page import Phase
from unstuck.engine.plain import UNHEARD_MAX
from unstuck.model.states import Event

SECONDS = 20.0
"""For what takes milliseconds."""


class Work:
    """A plain function that notes whose it is, and waits until it may end."""

    def __init__(self) -> None:
        self.ran: list[UUID] = []
        self.may_end = threading.Event()

    def __call__(self) -> None:
        self.ran.append(current().id)
        assert self.may_end.wait(SECONDS)


async def until(fact: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not fact():  # noqa: ASYNC110 - what a thread does wakes nobody here
            await asyncio.sleep(0.001)


async def two_in_hand(work: Work) -> tuple[Bench, UUID, UUID]:
    """A worker of one thread, which is at work on the first of two jobs."""
    bench = Bench(Task(work), threads=1)
    bench.add(2)
    claimed = bench.do(bench.store.claim(bench.shift.id, "default", ["t"], 2))
    first, second = (job.id for job in claimed)
    bench.executor.take(claimed, bench.page.withdrawn, bench.seconds)
    await until(lambda: work.ran)
    assert bench.shift.holds() == {(first, 1), (second, 1)}
    assert [(slot.job_id, slot.phase) for slot in bench.page.started()] == [(first, Phase.RUNNING)]
    return bench, first, second


def test_the_next_job_runs_although_the_loop_has_not_turned() -> None:
    async def story() -> None:
        work = Work()
        bench, first, second = await two_in_hand(work)
        work.may_end.set()
        deadline = threading.Event()
        while work.ran != [first, second]:
            assert not deadline.wait(0.001) and len(work.ran) < 3
        assert bench.shift.holds() == {(first, 1), (second, 1)}
        await until(lambda: len(bench.shift.outbox) == 2)
        assert [verdict.event for verdict in bench.shift.outbox.values()] == [Event.SUCCEED] * 2
        assert bench.executor.room(Kind.PLAIN) == 1
        bench.executor.close()

    asyncio.run(asyncio.wait_for(story(), SECONDS))


def test_what_was_withdrawn_is_not_taken_and_goes_back() -> None:
    async def story() -> None:
        work = Work()
        bench, first, second = await two_in_hand(work)
        bench.page.withdraw()
        work.may_end.set()
        await until(lambda: len(bench.shift.outbox) == 2)
        assert work.ran == [first]
        given_back = bench.shift.outbox[second, 1]
        assert (given_back.event, given_back.started) == (Event.HAND_BACK, False)
        assert [slot.job_id for slot in bench.page.started()] == [first]
        bench.executor.close()

    asyncio.run(story())


@pytest.mark.parametrize("why", ["the lease is unsure", "the worker leaves"])
def test_who_may_not_start_takes_nothing(why: str) -> None:
    async def story() -> None:
        work = Work()
        bench, first, second = await two_in_hand(work)
        if why == "the worker leaves":
            bench.shift.is_draining = True
        else:
            bench.seconds += bench.settings.lease
        work.may_end.set()
        await until(lambda: bench.shift.outbox)
        for _ in range(5):
            bench.executor.start_next()
            await asyncio.sleep(0.01)
        assert work.ran == [first]
        assert [held.job.id for held in bench.shift.buffer] == [second]
        assert [slot.job_id for slot in bench.page.started()] == [first]
        bench.shift.hand_back_buffer(why)
        assert bench.shift.outbox[second, 1].event is Event.HAND_BACK
        bench.executor.close()

    asyncio.run(story())


def test_behind_a_loop_that_stands_still_threads_stop_and_their_slots_say_what_has_ended() -> None:
    async def story() -> None:
        ran: list[UUID] = []
        bench = Bench(Task(lambda: ran.append(current().id)), slots=2 * UNHEARD_MAX, threads=1)
        many = UNHEARD_MAX + 100
        bench.add(many)
        claimed = bench.do(bench.store.claim(bench.shift.id, "default", ["t"], many))
        bench.executor.take(claimed, bench.page.withdrawn, bench.seconds)
        deadline = time.monotonic() + SECONDS
        while not bench.executor._pool._resting:  # pyright: ignore[reportPrivateUsage]
            assert time.monotonic() < deadline
            time.sleep(0.001)  # noqa: ASYNC251 - this is the loop that stands still
        assert UNHEARD_MAX <= len(ran) < many
        assert [slot.phase for slot in bench.page.started()] == [Phase.ENDED] * len(ran)
        await until(lambda: len(bench.shift.outbox) == many)
        assert len(set(ran)) == len(ran) == many
        bench.executor.close()

    asyncio.run(story())


def test_what_was_given_up_stays_on_the_page_and_its_thread_comes_back_to_nobody_elses_slot() -> None:
    """A slot that was freed with its ending was another job's when the thread came back and wrote there that it had ended."""

    async def story() -> None:
        started = {number: threading.Event() for number in (1, 2)}
        may_end = {number: threading.Event() for number in (1, 2)}
        order: list[UUID] = []

        def work() -> None:
            order.append(current().id)
            number = len(order)
            started[number].set()
            assert may_end[number].wait(SECONDS)

        bench = Bench(Task(work), threads=1, slots=2, timeout_grace=0.01)
        bench.add(2)
        claimed = bench.do(bench.store.claim(bench.shift.id, "default", ["t"], 2))
        bench.executor.take(claimed, bench.page.withdrawn, bench.seconds)
        await until(started[1].is_set)
        run = bench.shift.runs[order[0], 1]
        bench.executor._time_out(run)  # pyright: ignore[reportPrivateUsage]
        await until(lambda: bench.shift.outbox)
        await bench.settling.round()
        assert bench.job(order[0]).failures == 1 and not bench.shift.outbox
        await until(started[2].is_set)
        shown = {(order[0], Phase.ABANDONED), (order[1], Phase.RUNNING)}
        assert {(slot.job_id, slot.phase) for slot in bench.page.started()} == shown
        may_end[1].set()
        await until(lambda: run.ended_at)
        await until(
            lambda: (order[0], Phase.ABANDONED) not in {(s.job_id, s.phase) for s in bench.page.started()}
        )
        assert (order[1], Phase.RUNNING) in {(slot.job_id, slot.phase) for slot in bench.page.started()}
        assert bench.page.wants_replacement
        may_end[2].set()
        await until(lambda: bench.shift.outbox)
        bench.executor.close()

    asyncio.run(story())
