"""A place that becomes free is filled from inside the executor's own context, whatever kind of place it is."""

from __future__ import annotations

import asyncio
from uuid import UUID

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.handler import Kind
from unstuck.engine.run import Run
from unstuck.model.verdict import Verdict
from unstuck.rules import judging


def test_an_isolated_job_whose_turn_comes_when_another_ends_is_started() -> None:
    ran: list[UUID] = []

    async def isolate(run: Run) -> Verdict:
        ran.append(run.job.id)
        return judging.succeeded(run.job, run.verdict_id, run.context.worker_id, None)

    async def story() -> list[UUID]:
        bench = Bench(Task(lambda: None, Kind.ISOLATED), isolate=isolate, isolated=1)
        wanted = bench.add(2)
        claimed = bench.do(bench.store.claim(bench.shift.id, "default", ["t"], 2))
        bench.executor.take(claimed, bench.page.withdrawn, bench.seconds)
        assert len(bench.shift.buffer) == 1, "one place, so the other waits in hand"
        await bench.turn()
        return wanted

    assert sorted(asyncio.run(story())) == sorted(ran)
