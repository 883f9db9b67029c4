"""The workload: jobs drawn by the seed, handlers that do what was drawn for them, and their clients.

What an attempt does depends on the seed, the job and how often the job has been started, and on nothing
else; so a job misbehaves the same way whichever worker gets it. Handlers return, raise, ask for a retry,
a snooze or a cancel, hang until they are cancelled, or do not listen when they are. From the fifth start
on, and after the storm, they simply return, so that every job can end.

The clients are processes too, on lanes like everybody's. They use the commands of the application, as
users do, and insist until the store has answered.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from tests.simulation.loop import PROCESS
from unstuck.engine.context import current
from unstuck.engine.handler import Kind
from unstuck.model.errors import BadArguments, Cancel, JobNotFound, Retry, Snooze, StoreError
from unstuck.model.ids import uuid7
from unstuck.model.job import NewJob, Policy
from unstuck.model.moments import moment
from unstuck.storage.plan import ContinueWith, Mode, Plan, Requests

if TYPE_CHECKING:
    from tests.simulation.world import World

R = TypeVar("R")

SECOND = 1_000_000
FOLLOWS = 1000
"""A follow-up of job 7 is job 1007."""
BURST = 5000
"""The first of many quick jobs that come at once."""
STARTS_DRAWN = 4
JOINS = ("", "", "", "", "", "", "committed", "undone")
"""Where transactions exist: how a client enqueues, by itself or in one that it commits or undoes first."""
TASKS = ("work", "quick", "rare", "alone")
"""`alone` runs in a process of its own."""


@dataclass(frozen=True)
class Act:
    """What one attempt does: for how long, how it ends, and what it does when it is cancelled."""

    seconds: float
    ending: str
    after: float = 0.0
    stubborn_seconds: float = 0.0
    talks: bool = False


@dataclass(frozen=True)
class Errand:
    """One job of the workload: what is enqueued, when, when somebody wants to cancel it, and what is enqueued
    with it, all or none."""

    number: int
    at: float
    new: NewJob
    cancel_at: float | None = None
    also: tuple[NewJob, ...] = ()


@dataclass
class Workload:
    """All jobs of a world."""

    seed: int
    epoch_us: int = 0
    errands: list[Errand] = field(default_factory=list)
    numbers: dict[UUID, int] = field(default_factory=dict)
    timeouts: dict[int, bool] = field(default_factory=dict)

    @classmethod
    def draw(
        cls, seed: int, count: int, burst: int, until: float, skipped: frozenset[int], epoch_us: int = 0
    ) -> Workload:
        """`count` jobs of all kinds, and `burst` quick ones at the same moment; the store's clock begins at `epoch_us`."""
        workload = cls(seed, epoch_us)
        for number in range(count):
            dice = random.Random(f"job {number} of {seed}")
            errand = workload._errand(number, dice, until)
            if number not in skipped:
                workload.errands.append(errand)
        workload._burst(burst, until, skipped)
        return workload

    def _burst(self, burst: int, until: float, skipped: frozenset[int]) -> None:
        dice = random.Random(f"burst of {self.seed}")
        at, together = dice.uniform(0.5, until), dice.choice([1, 7, 20, 60])
        numbers = [number for number in range(BURST, BURST + burst) if number - BURST not in skipped]
        for start in range(0, len(numbers), together):
            jobs = []
            for number in numbers[start : start + together]:
                new = NewJob(
                    id=uuid7(int(at * 1000), dice.randbytes(10)),
                    queue="default",
                    task="quick",
                    args=json.dumps({"number": number}),
                )
                self.numbers[new.id] = number
                jobs.append(new)
            self.errands.append(Errand(numbers[start], at, jobs[0], also=tuple(jobs[1:])))

    @cached_property
    def size(self) -> int:
        """How many jobs clients enqueue."""
        return sum(1 + len(errand.also) for errand in self.errands)

    def _errand(self, number: int, dice: random.Random, until: float) -> Errand:
        at = dice.uniform(0.5, until)
        new = self._job(number, dice, at)
        cancel_at = at + 10 ** dice.uniform(-1.5, 1.0) if dice.random() < 0.15 else None
        return Errand(number, at, new, cancel_at)

    def _job(self, number: int, dice: random.Random, at: float) -> NewJob:
        delay = dice.uniform(0.01, 8.0) if dice.random() < 0.25 else None
        due_at = None
        if delay is not None and dice.random() < 0.3:
            due_at = moment(self.epoch_us + int((at + delay) * SECOND))
        expires = (delay or 0.0) + 10 ** dice.uniform(-0.5, 1.0) if dice.random() < 0.15 else None
        timeout = 10 ** dice.uniform(-0.5, 0.7) if dice.random() < 0.3 else None
        follows: tuple[NewJob, ...] = ()
        if number < FOLLOWS and dice.random() < 0.2:
            follows = (self._job(number + FOLLOWS, dice, at),)
        new = NewJob(
            id=uuid7(int(at * 1000), dice.randbytes(10)),
            queue=dice.choice(["default", "default", "mail"]),
            task=dice.choice(["work", "work", "work", "quick", "quick", "rare", "alone"]),
            args=json.dumps({"number": number} if dice.random() < 0.96 else {"number": number, "bad": True}),
            priority=dice.choice([0, 0, 0, 5, -5]),
            delay_us=None if delay is None or due_at is not None else int(delay * SECOND),
            due_at=due_at,
            expires_in_us=None if expires is None else int(expires * SECOND),
            timeout_us=None if timeout is None else int(timeout * SECOND),
            policy=Policy(
                tries=dice.choice([1, 2, 3, 5, 5]),
                backoff_base_us=int(dice.uniform(0.05, 1.0) * SECOND),
                backoff_factor=dice.choice([1.0, 2.0, 2.0, 3.5]),
                backoff_cap_us=4 * SECOND,
                backoff_jitter=dice.choice([0.0, 0.25, 1.0]),
                keep_succeeded_us=dice.choice([3600, 7 * 86_400]) * SECOND,
                keep_other_us=dice.choice([3600, 30 * 86_400]) * SECOND,
            ),
            labels={"customer": str(number)} if dice.random() < 0.1 else {},
            then=follows,
        )
        self.numbers[new.id] = number
        self.timeouts[number] = timeout is not None
        return new

    def act(self, number: int, start: int, task: str) -> Act:
        """What the start-th start (from 1) of this job does."""
        dice = random.Random(f"start {start} of job {number} of {self.seed}")
        if number >= BURST:
            return Act(dice.choice([0.0, 0.0, 0.001]), "return")
        if start > STARTS_DRAWN:
            return Act(dice.uniform(0.0, 0.1), "return")
        seconds = dice.uniform(2.0, 12.0) if dice.random() < 0.3 else 10 ** dice.uniform(-2.0, 0.5)
        if task == "quick":
            seconds = dice.choice([0.0, 0.001])
        endings = ["return"] * 6 + ["raise"] * 2 + ["never again", "retry", "snooze", "cancel", "exit", "die"]
        if self.timeouts[number]:
            endings += ["hang", "hang"]
        stubborn = 10 ** dice.uniform(-1.0, 1.0) if dice.random() < 0.1 else 0.0
        return Act(
            seconds, dice.choice(endings), 10 ** dice.uniform(-1.0, 0.5), stubborn, dice.random() < 0.2
        )


class NeverAgain(Exception):
    """A failure that its task does not want to be retried."""


def words(number: int, fence: int) -> str:
    """What the attempt under this fence returns or complains of; tells whose ending a row carries."""
    return f"job {number} under fence {fence}"


class Script:
    """A handler, as the engine wants one, that plays what was drawn."""

    interrupt_threads = False

    def __init__(self, name: str, world: World):
        self.name = name
        self.kind = Kind.ISOLATED if name == "alone" else Kind.ASYNC
        self.names = (name,)
        self._world = world

    def decode(self, args: str) -> dict[str, Any]:
        arguments: dict[str, Any] = json.loads(args)
        if "bad" in arguments:
            raise BadArguments(f"{args} has an argument too many")
        return arguments

    def encode(self, result: Any) -> tuple[str | None, str]:
        return json.dumps(result), ""

    def may_retry(self, error: BaseException) -> bool:
        return not isinstance(error, NeverAgain)

    async def function(self, number: int) -> str:
        world, context, process = self._world, current(), PROCESS.get()
        witness = world.auditor
        job_id, fence = context.id, context.fence
        start = witness.started(job_id, fence, process)
        act = world.workload.act(number, start, self.name)
        if world.is_healed:
            act = Act(min(act.seconds, 0.2), "return")
        ending = "stopped"
        try:
            if act.talks:
                context.log(f"start {start}")
            await self._pass(act, witness.stopped, job_id, fence)
            if act.ending == "die":
                world.crew.crash()
                await asyncio.Event().wait()
            ending = act.ending
            said = words(number, fence)
            if ending == "raise":
                raise ValueError(said)
            if ending == "exit":
                raise SystemExit(said)
            if ending == "never again":
                raise NeverAgain(said)
            if ending == "retry":
                raise Retry(said, after=act.after)
            if ending == "snooze":
                raise Snooze(act.after)
            if ending == "cancel":
                raise Cancel(said)
            return said
        finally:
            if not world.is_over:
                witness.ended(job_id, fence, ending)

    async def _pass(self, act: Act, stopped: Callable[..., None], job_id: UUID, fence: int) -> None:
        try:
            if act.ending == "hang":
                await asyncio.Event().wait()
            if act.talks:
                for part in range(4):
                    await asyncio.sleep(act.seconds / 4)
                    current().progress(part, 4)
            else:
                await asyncio.sleep(act.seconds)
        except asyncio.CancelledError:
            if not self._world.is_over:
                stopped(job_id, fence)
            if not act.stubborn_seconds or self._world.is_over:
                raise
            await asyncio.sleep(act.stubborn_seconds)
            if act.ending == "hang":
                raise


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
        from unstuck.app.commands import (
            QueueWatch,
        )  # the application is above the engine: only clients need it

        self._watch = QueueWatch(lambda warning: None, world.loop.time)
        self._lanes = {
            "enqueue": world.lane(PROCESS.get(), "enqueue"),
            "cancel": world.lane(PROCESS.get(), "cancel"),
        }

    async def run(self) -> None:
        await asyncio.gather(*(self._go(errand) for errand in self._world.workload.errands))

    async def _go(self, errand: Errand) -> None:
        from unstuck.app import commands

        world, new, clock = self._world, errand.new, self._world.loop.time
        jobs = [new, *errand.also]
        await asyncio.sleep(errand.at)
        dice = random.Random(f"transaction of job {errand.number} of {world.scenario.seed}")
        joins = dice.choice(JOINS) if world.ground.is_sql else ""
        if joins == "undone":
            # Nobody has wanted them yet: if one of them appears, it came from nowhere.
            with suppress(Undone, StoreError):
                await self._lanes["enqueue"].run(joined(world.server_store.insert(jobs), undo=True), 2.0)
        for job in jobs:
            world.auditor.wanted(job)
        if joins == "committed":
            await self._insist("enqueue", lambda: commands.ask(joined(world.server_store.insert(jobs))))
        else:
            await self._insist(
                "enqueue", lambda: commands.enqueue(world.server_store, jobs, self._watch, clock=clock)
            )
        for job in jobs:
            world.auditor.acknowledged(job)
        if errand.cancel_at is not None:
            await asyncio.sleep(max(0.0, errand.cancel_at - errand.at))
            world.auditor.cancel_wanted(new.id)
            draw = world.ids(f"canceller of job {errand.number}")
            await self._insist("cancel", lambda: commands.cancel(world.server_store, new.id, draw))

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
    from unstuck.app.commands import Hint, Pause

    try:
        wish = next(command)
        while True:
            try:
                answer: Any = None
                if isinstance(wish, Plan):
                    answer = await lane.run(wish, 2.0)
                elif isinstance(wish, Pause):
                    await asyncio.sleep(wish.seconds)
                elif isinstance(wish, Hint):
                    world.hint(wish.queues)
            except StoreError as error:
                wish = command.throw(error)
            else:
                wish = command.send(answer)
    except StopIteration as stop:
        return stop.value
    finally:
        command.close()
