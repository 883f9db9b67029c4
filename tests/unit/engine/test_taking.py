"""What is taken from a child that does not tick is never started by it, whenever it wakes up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID, uuid4

from unstuck.engine.burying import take_unstarted
from unstuck.engine.env import Env
from unstuck.engine.page import Page, Phase
from unstuck.model.job import ClaimedJob, NewJob
from unstuck.model.states import State
from unstuck.model.worker import NewWorker
from unstuck.rules.settings import Settings
from unstuck.storage.memory.keeper import MemoryKeeper
from unstuck.storage.plan import Plan

R = TypeVar("R")


class Child:
    """The child's side of a page: it claims under a number, and starts by writing the slot first."""

    def __init__(self, keeper: MemoryKeeper) -> None:
        self.keeper = keeper
        self.id = uuid4()
        self.page = Page.private(4)
        self.started: list[UUID] = []
        self._claimed: list[tuple[ClaimedJob, int]] = []
        settings = Settings()
        row = NewWorker(self.id, "child", None, "here", 1, settings.lease_us, ("default",), ("t",))
        keeper.run(keeper.store.register(row))

    def claim(self) -> None:
        withdrawn = self.page.withdrawn
        for job in self.keeper.run(self.keeper.store.claim(self.id, "default", ["t"], 1)):
            self._claimed.append((job, withdrawn))

    def start(self) -> None:
        while self._claimed:
            job, withdrawn = self._claimed.pop()
            slot = self.page.write_slot(job.id, job.fence, Phase.RUNNING, 0.0)
            assert slot is not None
            if withdrawn == self.page.withdrawn:
                self.started.append(job.id)
            else:
                self.page.set_phase(slot, Phase.EMPTY)


class Watched:
    """A lane before whose statements something else happens."""

    def __init__(self, keeper: MemoryKeeper, before: dict[str, Callable[[], None]]) -> None:
        self._lane = keeper.lane("bury")
        self._before = before

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        self._before.pop(plan.name, lambda: None)()
        return await self._lane.run(plan, deadline)

    async def aclose(self) -> None:
        await self._lane.aclose()


def taken(before: Callable[[Child], dict[str, Callable[[], None]]]) -> tuple[Child, State]:
    """Take from a child that does things before our statements; answers it and where its job stands."""
    keeper = MemoryKeeper()
    job_id = uuid4()
    keeper.run(keeper.store.insert([NewJob(id=job_id, queue="default", task="t", args="{}")]))
    child = Child(keeper)
    lane = Watched(keeper, before(child))
    asyncio.run(take_unstarted(child.id, child.page, keeper.store, lane, Env(), 1.0))
    child.start()
    job = keeper.run(keeper.store.get(job_id))
    assert job is not None
    return child, job.state


def test_a_claim_made_before_the_look_is_taken_and_not_started() -> None:
    child, state = taken(lambda child: {"owned": child.claim})
    assert (child.started, state) == ([], State.READY)


def test_what_started_before_the_look_is_left_alone() -> None:
    def wake_up(child: Child) -> None:
        child.claim()
        child.start()

    child, state = taken(lambda child: {"owned": lambda: wake_up(child)})
    assert len(child.started) == 1
    assert state is State.RUNNING


def test_what_starts_after_the_look_was_not_taken() -> None:
    """It slept through the claim's answer and wakes up while we hand back."""
    child, state = taken(lambda child: {"owned": child.claim, "settle": child.start})
    assert (child.started, state) == ([], State.READY)
