"""One worker's shift on a bench: memory tables, two clocks that the test moves, rounds begun by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID, uuid4

from unstuck.engine.claiming import Claiming
from unstuck.engine.env import STRIDE, Env
from unstuck.engine.executing import Executor
from unstuck.engine.looking import Looking
from unstuck.engine.page import Page
from unstuck.engine.run import Isolate
from unstuck.engine.settling import Settling
from unstuck.engine.shift import Shift
from unstuck.model.job import Job, NewJob
from unstuck.model.worker import NewWorker
from unstuck.rules.settings import Settings
from unstuck.storage.memory.keeper import MemoryKeeper
from unstuck.storage.memory.tables import MemoryTables
from unstuck.storage.plan import Lane, Plan

R = TypeVar("R")


class Slow:
    """A lane on whose answers' way something happens."""

    def __init__(self, lane: Lane, meanwhile: Callable[[str], None]) -> None:
        self._lane = lane
        self._meanwhile = meanwhile

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        answer = await self._lane.run(plan, deadline)
        self._meanwhile(plan.name)
        return answer

    async def aclose(self) -> None:
        await self._lane.aclose()


class Bench:
    """A worker that is registered; make it inside a running loop."""

    def __init__(
        self,
        *tasks: Any,
        slots: int = 16,
        isolate: Isolate | None = None,
        stride: int = STRIDE,
        **settings: Any,
    ) -> None:
        self.us = 1_000_000_000_000_000
        self.seconds = 1000.0
        self.settings = Settings(**settings)
        self.keeper = MemoryKeeper(MemoryTables(lambda: self.us))
        self.store = self.keeper.store
        self.page = Page.private(slots)
        self.page.renewed(self.seconds, self.settings.lease)
        handlers = {task.name: task for task in tasks}
        self.meanwhile: dict[str, Callable[[], object]] = {}
        """What happens, once, while the answer to a plan of this name travels."""
        lane = Slow(self.keeper.lane("bench"), self._on_the_way)
        env = Env(now=lambda: self.seconds, stride=stride)
        self.shift = Shift(uuid4(), self.store, handlers, self.settings, env, self.page, lane, lane)
        self.executor = Executor(self.shift, isolate)
        self.claiming = Claiming(self.shift, self.executor)
        self.looking = Looking(self.shift, self.executor, self.claiming)
        self.settling = Settling(self.shift, self.executor)
        names, lease_us = tuple(handlers), self.settings.lease_us
        row = NewWorker(self.shift.id, "child", None, "here", 1, lease_us, ("default",), names)
        self.do(self.store.register(row))

    def _on_the_way(self, plan: str) -> None:
        self.meanwhile.pop(plan, lambda: None)()

    def do(self, plan: Plan[R]) -> R:
        return self.keeper.run(plan)

    def add(self, count: int = 1, **options: Any) -> list[UUID]:
        """Insert jobs of task "t"."""
        plain: dict[str, Any] = {"queue": "default", "task": "t", "args": "{}"}
        new = [NewJob(id=uuid4(), **plain | options) for _ in range(count)]
        self.do(self.store.insert(new))
        return [job.id for job in new]

    def job(self, job_id: UUID) -> Job:
        job = self.do(self.store.get(job_id))
        assert job is not None
        return job

    def elapse(self, seconds: float) -> None:
        """Let time pass for the store and for the worker."""
        self.us += int(seconds * 1_000_000)
        self.seconds += seconds

    async def claim_all(self) -> None:
        """Claim until the loop would wait to be woken."""
        while not await self.claiming.round():
            pass
        await self.turn()

    async def turn(self) -> None:
        """Let tasks that were started run until they wait."""
        for _ in range(10):
            await asyncio.sleep(0)
