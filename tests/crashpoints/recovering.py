"""A fresh process: the engine's own `Solo`, which finds a store that others have left, and runs it to quiet.

It is the worker of `unstuck dev`, with all its loops: it registers, looks, renews, sweeps, declares lost
whose lease is over, rescues, expires, claims and runs. Only its time is virtual (the loop of the
simulation), so that a lease passes in no time, and its handlers write down that they ran. Quiet means:
every job has ended, and nobody but the fresh process lives.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any, TypeVar
from uuid import UUID

from tests.crashpoints.stages import SECOND, Stage
from tests.crashpoints.striking import Dead, Fuse
from tests.simulation.loop import Process, SimulatedLoop
from unstuck.engine.context import current
from unstuck.engine.env import Env
from unstuck.engine.handler import Kind
from unstuck.engine.solo import Solo
from unstuck.model.ids import uuid7
from unstuck.model.states import ENDED
from unstuck.rules.settings import QueueShare, Settings
from unstuck.storage.plan import Plan

R = TypeVar("R")

SETTINGS = Settings(
    queues=(QueueShare("q"), QueueShare("r")),
    lease=3.0, sweep=5.0, poll=1.0, grace=1.0, timeout_grace=1.0, concurrency=4, threads=1, isolated=1,
)  # fmt: skip
TASKS = ("t", "u")
PATIENCE_SECONDS = 200.0
"""Virtual seconds after which whatever is still unfinished is called stuck."""

LOOK_SECONDS = 0.5
"""How often it is looked whether all is quiet."""

FINAL = ", ".join(f"'{state}'" for state in ENDED)
NOT_QUIET = (
    "SELECT (SELECT count(*) FROM {jobs} AS j WHERE j.state NOT IN (" + FINAL + "))"
    " + abs((SELECT count(*) FROM {workers} AS w WHERE w.ended_at IS NULL) - 1)"
)


class Task:
    """A handler that notes that it ran, and succeeds."""

    kind = Kind.ASYNC
    interrupt_threads = False

    def __init__(self, name: str, ran: Counter[UUID]):
        self.name = name
        self.names = (name,)
        self._ran = ran

    def decode(self, args: str) -> dict[str, Any]:
        return dict(json.loads(args))

    def encode(self, result: Any) -> tuple[str | None, str]:
        return json.dumps(result), ""

    def may_retry(self, error: BaseException) -> bool:
        return True

    async def function(self, **arguments: Any) -> str:
        self._ran[current().id] += 1
        return "done"


class Fresh:
    """One process that recovers; `fuse` may kill or trouble it in its turn."""

    def __init__(self, stage: Stage, fuse: Fuse | None = None, number: int = 1):
        self.stage = stage
        self.ran: Counter[UUID] = Counter()
        self._fuse = fuse
        self._keeper = stage.keeper(fuse)
        self._began_us = stage.now_us
        self._loop = SimulatedLoop(random.Random(number))
        self._process = Process(f"fresh {number}")
        self._drawn = 0
        self._number = number
        self._looked_at = 0.0

    def run(self) -> bool:
        """Live until all is quiet; False where it was killed before, or is stuck."""
        env = Env(now=lambda: self._loop.now, new_id=self._new_id, dice=random.Random(self._number))
        handlers = {name: Task(name, self.ran) for name in TASKS}
        solo = Solo(self.stage.store, lambda name: _Lane(self), handlers, SETTINGS, env)
        self._loop.spawn(self._process, solo.run)
        quiet: list[bool] = []

        def is_over() -> bool:
            if self._process.is_dead:
                return True
            if self._loop.now - self._looked_at >= LOOK_SECONDS:
                self._looked_at = self._loop.now
                if self.stage.count(NOT_QUIET) == 0:
                    quiet.append(True)
            return bool(quiet)

        self._loop.run_until(is_over, PATIENCE_SECONDS)
        return bool(quiet)

    @property
    def errors(self) -> list[str]:
        """What went wrong on the loop itself."""
        return self._loop.errors

    def close(self) -> None:
        """End what is left of the process, without a word to the store."""
        fuse = self._fuse or Fuse()
        fuse.is_dead = True
        self._keeper.close()
        self._keeper = _Nothing()
        self._loop.wind_down()

    async def do(self, plan: Plan[R]) -> R:
        """Run a plan at the loop's own time."""
        await asyncio.sleep(0)
        self.stage.at(self._began_us + int(self._loop.now * SECOND))
        try:
            return self._keeper.run(plan)
        except Dead:
            self._loop.kill(self._process)
            await self._loop.create_future()
            raise

    def _new_id(self) -> UUID:
        self._drawn += 1
        return uuid7(1_800_000_000_000 + 1_000_000 * self._number + self._drawn, bytes(10))


class _Lane:
    def __init__(self, fresh: Fresh):
        self._fresh = fresh

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        return await self._fresh.do(plan)

    async def aclose(self) -> None:
        """Nothing of its own."""


class _Nothing:
    def run(self, plan: Plan[Any]) -> Any:
        raise Dead
