"""What tasks and handles see of an app: a store that can be asked, and the ways to ask it.

Behind the face of `App` stands this one object, shared by every task, spec and handle of the app. It
performs commands in either colour, inserts jobs (in a transaction of its own, in one that callers share, or in
one of the caller's)
and reads results as the types that the tasks promise. `use` points all of them at another store at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec

from unstuck.app import commands
from unstuck.app.grouping import Group
from unstuck.app.handle import Job
from unstuck.app.identity import Ids
from unstuck.app.joining import Joined, join
from unstuck.model.alike import Alike, is_rising
from unstuck.model.errors import IdConflict
from unstuck.model.job import Inserted, NewJob
from unstuck.model.job import Job as Snapshot
from unstuck.storage.opening import Keeper
from unstuck.storage.protocol import Store

if TYPE_CHECKING:
    from unstuck.app.task import Task

R = TypeVar("R")

_id, _created = attrgetter("id"), attrgetter("created")

log = logging.getLogger("unstuck")


class Client:
    """One store, asked in both colours. `draw` makes ids."""

    def __init__(self, keeper: Keeper, draw: Callable[[], UUID]):
        self.keeper = keeper
        self.draw = draw
        self.tasks: dict[str, Task[..., Any, Any]] = {}
        self._watch = commands.QueueWatch(log.warning)
        self._groups: WeakKeyDictionary[asyncio.AbstractEventLoop, Group] = WeakKeyDictionary()

    @property
    def store(self) -> Store:
        """The store's promises."""
        return self.keeper.store

    def draw_many(self, count: int) -> tuple[Sequence[UUID], bool]:
        """So many ids, as `draw` would make them, and whether each is larger than the one before it."""
        if isinstance(self.draw, Ids):
            return self.draw.later(count), True
        drawn = [self.draw() for _ in range(count)]
        return drawn, is_rising(drawn)

    def use(self, keeper: Keeper) -> None:
        """Ask another store from now on."""
        self.keeper.close()
        self.keeper = keeper

    def do(self, command: commands.Command[R]) -> R:
        """Perform a command, blocking."""
        return commands.perform(self.keeper, command)

    async def ado(self, command: commands.Command[R]) -> R:
        """Perform a command, awaiting."""
        return await commands.aperform(self.keeper, command)

    def join(self, tx: Any) -> Joined:
        """What runs plans inside the caller's transaction. Raises BadTransaction."""
        return join(tx, self.keeper)

    def enqueue(self, jobs: Sequence[NewJob], tx: Any) -> list[Job[Any]]:
        """Insert jobs, all or none."""
        jobs, made = self._making(jobs)
        if tx is None:
            return self._handles(self.do(commands.enqueue(self.store, jobs, self._watch)), made)
        joined = self.join(tx)
        answers = joined.run(self.store.insert(jobs))
        self._hint_after(joined, jobs)
        return self._handles(answers, made)

    async def aenqueue_one(self, job: NewJob) -> Job[Any]:
        """Insert a job under an id that was drawn for it, in one commit with others who do so now."""
        answer = await self._group().insert(job)
        return Job(self, answer.id, created=answer.created)

    async def aenqueue(self, jobs: Sequence[NewJob], tx: Any) -> list[Job[Any]]:
        """The async twin of `enqueue`."""
        jobs, made = self._making(jobs)
        if tx is None:
            return self._handles(await self.ado(commands.enqueue(self.store, jobs, self._watch)), made)
        joined = self.join(tx)
        answers = await joined.arun(self.store.insert(jobs))
        self._hint_after(joined, jobs)
        return self._handles(answers, made)

    def result_of(self, job: Snapshot) -> Any:
        """The result of a job, as the type its task says, or plain JSON where the task is not known here."""
        if job.result is None:
            return None
        task = self.tasks.get(job.task)
        return msgspec.json.decode(job.result) if task is None else task.decode_result(job.result)

    def _group(self) -> Group:
        loop = asyncio.get_running_loop()
        group = self._groups.get(loop)
        if group is None:
            group = self._groups[loop] = Group(self._together, self._alone)
        return group

    async def _together(self, jobs: Sequence[NewJob]) -> list[Inserted | IdConflict]:
        return await self.ado(commands.enqueue_each(self.store, jobs, self._watch))

    async def _alone(self, job: NewJob) -> Inserted:
        (answer,) = await self.ado(commands.enqueue(self.store, [job], self._watch))
        return answer

    def _hint_after(self, joined: Joined, jobs: Sequence[NewJob]) -> None:
        queues = commands.due_queues(jobs)
        if queues:
            joined.after_commit(lambda: self.keeper.hint(queues))

    def _making(self, jobs: Sequence[NewJob]) -> tuple[Sequence[NewJob], list[Job[Any]]]:
        """The jobs, and where their handles will stand if they were made while the store was busy with them."""
        made: list[Job[Any]] = []
        if not isinstance(jobs, Alike):
            return jobs, made

        def make() -> None:
            made[:] = Job.of(self, jobs.ids)

        return replace(jobs, meanwhile=make), made

    def _handles(self, answers: Sequence[Inserted], made: list[Job[Any]]) -> list[Job[Any]]:
        if all(map(_created, answers)):
            return made or Job.of(self, map(_id, answers))
        return [Job(self, job_id, created=created) for job_id, created in answers]
