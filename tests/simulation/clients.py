"""Clients: who enqueues and cancels, with the commands of the application, until the store has answered.

They are processes like everybody, on lanes like everybody's. A client enqueues in one of the ways that users
have: by itself; sharing a commit with whoever else enqueues at that moment (`Group`, the production one); or,
where transactions exist, inside one of its own, which it commits, or undoes first. Now and then somebody uses
the id of another job for something else, in the middle of such a group: he is refused, and nobody else is.
Only what the store has acknowledged binds anybody.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from tests.simulation.loop import PROCESS
from tests.simulation.workload import Errand
from unstuck.model.errors import IdConflict, JobNotFound, StoreError
from unstuck.model.job import Inserted, NewJob
from unstuck.storage.plan import ContinueWith, Mode, Plan, Requests

if TYPE_CHECKING:
    from tests.simulation.world import World

R = TypeVar("R")

WAYS = ("", "", "", "", "grouped", "grouped", "grouped", "grouped", "committed", "undone")
"""How a job is enqueued; the last two where transactions exist."""
MISTAKEN = 0.2
"""How likely the id of a job that went in a group is used again for another one."""


class Undone(Exception):
    """A client has thought better of its transaction."""


def joined(plan: Plan[R], *, undo: bool = False) -> Plan[R]:
    """This operation inside a transaction of a client's own, which is committed, or undone; no hint is sent."""

    def start() -> Requests[R]:
        inner = plan
        while True:
            try:
                answer: R = yield from inner.start()
            except ContinueWith as more:
                inner = more.plan
            else:
                break
        if undo:
            raise Undone
        return answer

    return Plan(plan.name, Mode.TRANSACTION, start)


class Client:
    """Enqueues and cancels, each errand in a task of its own, until the store has answered."""

    def __init__(self, world: World):
        self._world = world
        # The application is above the engine: only clients need it.
        from unstuck.app.commands import QueueWatch
        from unstuck.app.grouping import Group

        self._watch = QueueWatch(lambda warning: None, world.loop.time)
        self._lanes = {name: world.lane(PROCESS.get(), name) for name in ("enqueue", "group", "cancel")}
        self._group = Group(self._together, self._alone)

    async def run(self) -> None:
        await asyncio.gather(*(self._go(errand) for errand in self._world.workload.errands))

    async def _go(self, errand: Errand) -> None:
        from unstuck.app import commands

        world, new = self._world, errand.new
        await asyncio.sleep(errand.at)
        dice = random.Random(f"way of job {errand.number} of {world.scenario.seed}")
        way = dice.choice(WAYS)
        is_mistaken = dice.random() < MISTAKEN
        if way == "grouped":
            await asyncio.gather(*(self._go_together(job, is_mistaken) for job in [new, *errand.also]))
        else:
            await self._enqueue([new, *errand.also], way if world.ground.is_sql else "")
        if errand.cancel_at is not None:
            await asyncio.sleep(max(0.0, errand.cancel_at - errand.at))
            world.auditor.cancel_wanted(new.id)
            draw = world.ids(f"canceller of job {errand.number}")
            await self._insist("cancel", lambda: commands.cancel(world.server_store, new.id, draw))

    async def _enqueue(self, jobs: Sequence[NewJob], way: str) -> None:
        """All or none."""
        from unstuck.app import commands

        world, clock = self._world, self._world.loop.time
        if way == "undone":
            # Nobody has wanted them yet: if one of them appears, it came from nowhere.
            with suppress(Undone, StoreError):
                await self._lanes["enqueue"].run(joined(world.server_store.insert(jobs), undo=True), 2.0)
        for job in jobs:
            world.auditor.wanted(job)
        if way == "committed":
            answers = await self._insist(
                "enqueue", lambda: commands.ask(joined(world.server_store.insert(jobs)))
            )
        else:
            answers = await self._insist(
                "enqueue", lambda: commands.enqueue(world.server_store, jobs, self._watch, clock=clock)
            )
        for job, answer in zip(jobs, answers, strict=True):
            world.auditor.acknowledged(job, is_new=answer.created)

    async def _go_together(self, job: NewJob, is_mistaken: bool) -> None:
        """In one commit with others; by itself where their group failed."""
        auditor, pause = self._world.auditor, 0.3
        auditor.wanted(job)
        while True:
            try:
                answer = await self._group.insert(job)
                break
            except IdConflict:
                return auditor.mistaken(job, "is refused under its own id")
            except StoreError:
                await asyncio.sleep(pause)
                pause = min(1.5 * pause, 1.5)
        auditor.acknowledged(job, is_new=answer.created)
        # An id that the store was told to forget would begin a second life, under the same fences.
        if is_mistaken and job.id not in auditor.seen.forgotten:
            other = replace(job, task="work" if job.task == "quick" else "quick")
            with suppress(StoreError):
                try:
                    await self._group.insert(other)
                except IdConflict:
                    return
                auditor.mistaken(job, "its id was taken for another one")

    async def _together(self, jobs: Sequence[NewJob]) -> Sequence[Inserted | IdConflict]:
        from unstuck.app import commands

        command = commands.enqueue_each(self._world.server_store, jobs, self._watch)
        answers: list[Inserted | IdConflict] = await follow(self._world, self._lanes["group"], command)
        return answers

    async def _alone(self, job: NewJob) -> Inserted:
        from unstuck.app import commands

        world = self._world
        command = commands.enqueue(world.server_store, [job], self._watch, clock=world.loop.time)
        answers: list[Inserted] = await follow(world, self._lanes["enqueue"], command)
        return answers[0]

    async def _insist(self, lane: str, command: Callable[[], Any]) -> Any:
        pause = 0.3
        while True:
            try:
                return await follow(self._world, self._lanes[lane], command())
            except JobNotFound:
                return None
            except StoreError:
                await asyncio.sleep(pause)
                pause = min(1.5 * pause, 1.5)


async def follow(world: World, lane: Any, command: Any) -> Any:
    """Fulfil a command's wishes over this lane; `app.commands.aperform`, in this world."""
    from unstuck.app.commands import Pause, Telling

    try:
        wish = next(command)
        while True:
            try:
                answer: Any = None
                if isinstance(wish, Plan):
                    answer = await lane.run(wish, 2.0)
                elif isinstance(wish, Pause):
                    await asyncio.sleep(wish.seconds)
                elif isinstance(wish, Telling):
                    answer = await lane.run(wish.plan, 2.0)
                    if wish.queues:
                        world.hint(wish.queues)
            except StoreError as error:
                wish = command.throw(error)
            else:
                wish = command.send(answer)
    except StopIteration as stop:
        return stop.value
    finally:
        command.close()
