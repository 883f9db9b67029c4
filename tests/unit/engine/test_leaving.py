"""How a worker leaves: with nothing of its own left behind."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar
from uuid import uuid4

from tests.unit.engine.handling import SETTINGS, Task
from unstuck.engine.env import Env
from unstuck.engine.page import Page
from unstuck.engine.worker import Left, Worker, slots_of
from unstuck.model.job import NewJob
from unstuck.model.states import State
from unstuck.storage.memory.keeper import MemoryKeeper
from unstuck.storage.plan import Plan

R = TypeVar("R")


class LateAnswer:
    """A lane on which the answer to a claim that brought something waits to be let through."""

    def __init__(self, lane: Any) -> None:
        self._lane = lane
        self.has_claimed = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        answer = await self._lane.run(plan, deadline)
        if plan.name == "claim" and answer:
            self.has_claimed.set()
            await self.may_answer.wait()
        return answer


def test_what_a_claim_brings_while_the_worker_leaves_goes_back() -> None:
    keeper, job_id = MemoryKeeper(), uuid4()
    keeper.run(keeper.store.insert([NewJob(id=job_id, queue="default", task="t", args="{}")]))

    async def story() -> Left:
        page, lane = Page.private(slots_of(SETTINGS)), LateAnswer(keeper.lane("claim"))
        lanes: dict[str, Any] = {
            "claim": lane,
            "settle": keeper.lane("settle"),
            "fence": keeper.lane("fence"),
        }
        handlers = {"t": Task(lambda: None)}
        worker = Worker(uuid4(), keeper.store, handlers, SETTINGS, Env(), page, lanes)
        await worker.register()
        working = asyncio.create_task(worker.run())
        await lane.has_claimed.wait()
        page.drain(1)
        asyncio.get_running_loop().call_later(0.3, lane.may_answer.set)
        return await working

    assert asyncio.run(story()) is Left.CLEAN
    job = keeper.run(keeper.store.get(job_id))
    assert job is not None and (job.state, job.fence, job.handbacks) == (State.READY, 1, 1)
