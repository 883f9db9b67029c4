"""An operator: pauses and resumes queues, cancels, deletes, retries, drains, moves jobs in line, at any moment.

It is a process of its own, beside the workers, and does what the command line does through the same
promises and commands. What it does is drawn when the weather strikes it; what became of it is told to the
auditor as far as the store has answered, because only what was acknowledged binds anybody. When the storm
is over it resumes every queue, sends away whom it told to be quiet, and insists until that has happened.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.simulation.loop import PROCESS, Process
from unstuck.model.errors import JobNotFound, StoreError
from unstuck.model.states import Reason

if TYPE_CHECKING:
    from tests.simulation.world import World

QUEUES = ("default", "mail")
DEEDS = ("pause", "resume", "cancel", "delete", "retry", "retry", "move", "forget", "drain", "quiet", "step")


class Operator:
    """One person at one terminal; `process` is to be spawned with `run`."""

    def __init__(self, world: World):
        self.process = Process("operator")
        self._world = world
        self._dice = random.Random(f"operator of {world.scenario.seed}")
        self._wishes: list[str] = []
        self._called = asyncio.Event()

    def ask(self) -> None:
        """Something comes to the operator's mind."""
        self._wishes.append(self._dice.choice(DEEDS))
        self._called.set()

    def calm_down(self) -> None:
        """The storm is over: let everything run."""
        self._wishes = ["resume all"]
        self._called.set()

    async def run(self) -> None:
        """Do one thing after the other."""
        lane = self._world.lane(PROCESS.get(), "operate")
        while True:
            await self._called.wait()
            self._called.clear()
            while self._wishes:
                wish = self._wishes.pop(0)
                if wish == "resume all":
                    for queue in QUEUES:
                        await self._insist(partial(self._pause, lane, queue, False))
                    await self._insist(partial(self._send_away_the_quiet, lane))
                if wish != "resume all":
                    try:
                        await self._do(wish, lane)
                    except (StoreError, JobNotFound) as error:
                        self._world.tell("operator", f"could not {wish}: {type(error).__name__}")

    async def _insist(self, deed: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await deed()
                return
            except StoreError:
                await asyncio.sleep(0.2)

    async def _pause(self, lane: Any, queue: str, paused: bool) -> None:
        auditor = self._world.auditor
        self._world.tell("operator", f"{'pauses' if paused else 'resumes'} {queue}")
        if not paused:
            auditor.resuming(queue)
        await lane.run(self._world.ground.store.set_queue(queue, paused=paused), 2.0)
        if paused:
            auditor.paused(queue)
        else:
            self._world.hint(frozenset([queue]))

    async def _drain(self, lane: Any, worker_id: UUID, *, leave: bool) -> None:
        world = self._world
        world.tell("operator", "sends it away" if leave else "tells it to be quiet", worker_id)
        if await lane.run(world.ground.store.drain(worker_id, leave), 2.0):
            world.auditor.drained(worker_id)

    async def _send_away_the_quiet(self, lane: Any) -> None:
        # As they are listed now: a supervisor that was told so stays quiet where it comes back under a new identity.
        for worker in await lane.run(self._world.ground.store.workers(), 2.0):
            if worker.draining_at is not None and worker.leaving_at is None:
                await self._drain(lane, worker.id, leave=True)

    async def _do(self, wish: str, lane: Any) -> None:
        world, dice, store = self._world, self._dice, self._world.ground.store
        auditor = world.auditor
        if wish in ("pause", "resume"):
            await self._pause(lane, dice.choice(QUEUES), wish == "pause")
            return
        if wish == "step":
            await lane.run(store.set_queue(dice.choice(QUEUES), step_us=dice.choice([1, 600_000_000])), 2.0)
            return
        if wish in ("drain", "quiet"):
            living = auditor.living_workers()
            if living:
                await self._drain(lane, dice.choice(living), leave=wish == "drain")
            return
        known = auditor.acknowledged_jobs()
        if not known:
            return
        chosen = [dice.choice(known) for _ in range(dice.choice([1, 1, 2, 5]))]
        for job_id in chosen:
            world.tell("operator", f"{wish}s it", job_id)
        if wish in ("cancel", "delete"):
            for job_id in chosen:
                await self._end(lane, job_id, Reason.CANCELLED if wish == "cancel" else Reason.DELETED)
        elif wish == "retry":
            auditor.revival_wanted(chosen)
            await lane.run(store.revive(chosen), 2.0)
            world.hint(frozenset(QUEUES))
        elif wish == "move":
            await lane.run(store.set_priority([(job_id, dice.choice([-5, 0, 50])) for job_id in chosen]), 2.0)
        else:
            auditor.forgetting(chosen)
            await lane.run(store.forget(chosen), 2.0)

    async def _end(self, lane: Any, job_id: UUID, reason: Reason) -> None:
        from unstuck.app import commands  # the application is above the engine: only people need it

        world = self._world
        draw: Callable[[], UUID] = world.ids(f"operator at {world.loop.now}")
        world.auditor.cancel_wanted(job_id)
        command = commands.cancel(world.ground.store, job_id, draw, reason)
        await world.follow(lane, command)
