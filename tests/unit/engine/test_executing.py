"""A slot tells others what has started here: from before the start until the store has the ending."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.handler import Kind
from unstuck.engine.page import Phase
from unstuck.engine.run import Run
from unstuck.model.states import Event, Reason
from unstuck.model.verdict import Verdict
from unstuck.rules import judging, rescuing


async def at_once() -> None:
    """A handler that returns."""


def quick() -> Task:
    return Task(at_once, Kind.ASYNC)


def phases(bench: Bench) -> list[Phase]:
    return [slot.phase for slot in bench.page.started()]


def test_a_slot_says_what_has_started_until_the_store_has_its_ending() -> None:
    async def story() -> None:
        bench = Bench(quick(), slots=2)
        for _ in range(3):
            bench.add(2)
            await bench.looking.round()
            await bench.claim_all()
            assert len(bench.shift.outbox) == 2, "a place was free and nothing started in it"
            assert phases(bench) == [Phase.ENDED] * 2, "its ending is not recorded yet"
            await bench.settling.round()
            assert phases(bench) == []

    asyncio.run(story())


def test_what_was_withdrawn_is_given_back_and_leaves_its_slot() -> None:
    async def story() -> None:
        bench = Bench(quick(), slots=1)
        for _ in range(2):
            (job_id,) = bench.add()
            await bench.looking.round()
            bench.meanwhile["claim"] = bench.page.withdraw
            await bench.claim_all()
            ((key, verdict),) = bench.shift.outbox.items()
            assert key[0] == job_id
            assert (verdict.event, verdict.started) == (Event.HAND_BACK, False)
            assert phases(bench) == []
            await bench.settling.round()
            gone = judging.ended_by_request(bench.job(job_id), bench.shift.env.new_id(), Reason.CANCELLED)
            bench.do(bench.store.settle([gone]))

    asyncio.run(story())


@pytest.mark.parametrize("crashes", [0, 2])
def test_a_suspect_runs_in_a_process_of_its_own_and_its_slot_says_so(crashes: int) -> None:
    """So that the next death is certainly its own, and the child's death is not its."""
    alone: list[Run] = []

    async def isolate(run: Run) -> Verdict:
        alone.append(run)
        await asyncio.Event().wait()
        raise AssertionError("it waits for ever")

    async def story() -> None:
        bench = Bench(Task(lambda: asyncio.Event().wait(), Kind.ASYNC), isolate=isolate)
        (job_id,) = bench.add()
        for _ in range(crashes):
            (job,) = bench.do(bench.store.claim(bench.shift.id, "default", ["t"], 1))
            bench.do(bench.store.settle([rescuing.crashed(job, bench.shift.env.new_id(), None, {})]))
            bench.elapse(1.0)
            bench.do(bench.store.promote(1))
        await bench.looking.round()
        await bench.claim_all()
        assert [key[0] for key in bench.shift.runs] == [job_id]
        assert len(alone) == (1 if crashes else 0)
        assert phases(bench) == [Phase.ISOLATED if crashes else Phase.RUNNING]

    asyncio.run(story())


def test_what_does_not_stop_is_not_given_to_others_while_it_works_and_its_process_is_replaced() -> None:
    """Only whoever has ended the process knows that nothing of it is at work any more."""
    may_end = asyncio.Event()

    async def stubborn() -> None:
        while not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await may_end.wait()

    async def story() -> None:
        bench = Bench(Task(stubborn, Kind.ASYNC), timeout_grace=0.01)
        bench.add()
        await bench.looking.round()
        await bench.claim_all()
        try:
            bench.executor.stop_coroutines("the worker is leaving")
            async with asyncio.timeout(10.0):
                while not bench.page.wants_replacement:  # noqa: ASYNC110 - a word on a page wakes nobody
                    await asyncio.sleep(0.005)
            assert not bench.shift.outbox and len(bench.shift.runs) == 1
        finally:
            may_end.set()
        await bench.turn()
        assert len(bench.shift.outbox) == 1

    asyncio.run(story())
