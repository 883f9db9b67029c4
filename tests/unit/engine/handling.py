"""A handler without arguments, and a worker that runs one job of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from unstuck.engine.env import Env
from unstuck.engine.handler import Kind
from unstuck.engine.solo import Solo
from unstuck.model.job import Job, NewJob
from unstuck.rules.settings import Settings
from unstuck.storage.memory.keeper import MemoryKeeper

SETTINGS = Settings(lease=3.0, poll=0.05, sweep=1.0, isolated=1)


@dataclass(frozen=True)
class Task:
    """A handler without arguments."""

    function: Callable[[], Any]
    kind: Kind = Kind.PLAIN
    name: str = "t"
    interrupt_threads: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def decode(self, args: str) -> dict[str, Any]:
        return {}

    def encode(self, result: Any) -> tuple[str | None, str]:
        return (None, "") if result is None else (str(result), "")

    def may_retry(self, error: BaseException) -> bool:
        return True


def worked(task: Task, until: Callable[[Job], bool], application: str | None = None) -> Job:
    """One job of the task, in the hands of a worker until the row says so."""
    keeper = MemoryKeeper()
    job_id = uuid4()
    keeper.run(keeper.store.insert([NewJob(id=job_id, queue="default", task=task.name, args="{}")]))

    def read() -> Job:
        job = keeper.run(keeper.store.get(job_id))
        assert job is not None
        return job

    async def story() -> None:
        solo = Solo(keeper.store, keeper.lane, {task.name: task}, SETTINGS, Env(), application=application)
        working = asyncio.create_task(solo.run())
        try:
            async with asyncio.timeout(20):
                while not until(read()):  # noqa: ASYNC110 - the fact is a row of the store
                    await asyncio.sleep(0.02)
        finally:
            solo.stop(2)
            await working

    asyncio.run(story())
    return read()
