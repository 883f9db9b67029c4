"""One look a poll: what it saw is done at once and wholly."""

from __future__ import annotations

import asyncio

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.handler import Kind
from unstuck.engine.looking import PROMOTE_MAX
from unstuck.model.states import State


def test_one_look_does_all_that_it_saw() -> None:
    """Every due job is ready, who is asked to cancel is told, what waits for a place goes back."""

    async def story() -> None:
        bench = Bench(Task(lambda: asyncio.Event().wait(), Kind.ASYNC), concurrency=1, slots=4)
        both = {*bench.add(2)}
        await bench.looking.round()
        taken = bench.do(bench.store.claim(bench.shift.id, "default", ["t"], 2))
        bench.executor.take(taken, bench.page.withdrawn, bench.seconds)
        await bench.turn()
        ((running, _),) = bench.shift.runs
        (waiting,) = both - {running}
        late = bench.add(2 * PROMOTE_MAX + 1, delay_us=1_000_000)
        bench.do(bench.store.ask_cancel([running]))
        bench.elapse(2.0)
        await bench.looking.round()
        await bench.turn()
        assert {bench.job(job_id).state for job_id in late} == {State.READY}
        assert {job_id for job_id, _ in bench.shift.outbox} == {running, waiting}

    asyncio.run(story())


def test_behind_a_promotion_the_next_alarm_is_looked_for_and_not_slept_through() -> None:
    """The look that promotes knows of no alarm but that one."""

    async def story() -> None:
        bench = Bench(Task(lambda: asyncio.Event().wait(), Kind.ASYNC), concurrency=4, slots=4)
        first, second = bench.add(delay_us=1_000_000), bench.add(delay_us=1_300_000)
        bench.elapse(1.0)
        pause = await bench.looking.round()
        assert {bench.job(job_id).state for job_id in first} == {State.READY}
        assert pause <= 0.3 < bench.settings.poll
        bench.elapse(pause)
        bench.elapse(await bench.looking.round())
        await bench.looking.round()
        assert {bench.job(job_id).state for job_id in second} == {State.READY}

    asyncio.run(story())


def test_of_several_portions_of_due_jobs_the_lowest_line_is_kept() -> None:
    """Claims go to what is told of here, and what stands before that waits until somebody looks back."""

    async def story() -> None:
        bench = Bench(Task(lambda: asyncio.Event().wait(), Kind.ASYNC), concurrency=4, slots=4)
        early, late = bench.add(PROMOTE_MAX, delay_us=1_000_000), bench.add(delay_us=1_500_000)
        lowest = min(bench.job(job_id).line for job_id in early)
        assert lowest < bench.job(late[0]).line
        bench.elapse(2.0)
        await bench.looking.round()
        assert bench.job(late[0]).state is State.READY, "there was a second portion"
        assert bench.shift.ready == {"default": lowest}

    asyncio.run(story())
