"""The workload: jobs drawn by the seed, handlers that do what was drawn for them, and their clients.

What an attempt does depends on the seed, the job and how often the job has been started, and on nothing
else; so a job misbehaves the same way whichever worker gets it. Handlers return, raise, ask for a retry,
a snooze or a cancel, hang until they are cancelled, or do not listen when they are. From the fifth start
on, and after the storm, they simply return, so that every job can end; what runs when the storm ends is over soon after.

Who enqueues all this are the `clients`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.simulation.insiders import settle_inside
from tests.simulation.loop import PROCESS
from unstuck.engine.context import Context, current
from unstuck.engine.handler import Kind
from unstuck.model.errors import BadArguments, Cancel, Retry, Snooze
from unstuck.model.ids import uuid7
from unstuck.model.job import NewJob, Policy
from unstuck.model.moments import moment

if TYPE_CHECKING:
    from tests.simulation.world import World

SECOND = 1_000_000
FOLLOWS = 1000
"""A follow-up of job 7 is job 1007."""
BURST = 5000
"""The first of many quick jobs that come at once."""
STARTS_DRAWN = 4
DELAY_MIN, DELAY_MAX = 1.0, 8.0
"""Between these seconds is how late a delayed job is due at most."""
LAST_SECONDS = 0.2
"""For how long a handler still works when the storm is over: nothing can be learned by waiting for it then."""
TASKS = ("work", "quick", "rare", "alone", "plain")
"""`alone` runs in a process of its own, `plain` in a thread."""
ASKS_EVERY = 0.3
"""Seconds between two looks of a thread whether it should stop."""


@dataclass(frozen=True)
class Act:
    """What one attempt does: for how long, how it ends, and what it does when it is cancelled."""

    seconds: float
    ending: str
    after: float = 0.0
    stubborn_seconds: float = 0.0
    talks: bool = False
    holds: float | None = None
    """Where it settles inside a transaction of its own: for how long that stays open before its ending."""
    listens: bool = False
    """In a thread: whether it ever asks if it should stop."""


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
        new = self._job(number, dice, at, until)
        cancel_at = at + 10 ** dice.uniform(-1.5, 1.0) if dice.random() < 0.15 else None
        return Errand(number, at, new, cancel_at)

    def _job(self, number: int, dice: random.Random, at: float, until: float) -> NewJob:
        # Due while there is still weather: a world that is healed would only wait for it.
        latest = min(DELAY_MAX, max(DELAY_MIN, until - at))
        delay = dice.uniform(0.01, latest) if dice.random() < 0.25 else None
        due_at = None
        if delay is not None and dice.random() < 0.3:
            due_at = moment(self.epoch_us + int((at + delay) * SECOND))
        expires = (delay or 0.0) + 10 ** dice.uniform(-0.5, 1.0) if dice.random() < 0.15 else None
        timeout = 10 ** dice.uniform(-0.5, 0.7) if dice.random() < 0.3 else None
        follows: tuple[NewJob, ...] = ()
        if number < FOLLOWS and dice.random() < 0.2:
            follows = (self._job(number + FOLLOWS, dice, at, until),)
        is_bad = dice.random() >= 0.96
        new = NewJob(
            id=uuid7(int(at * 1000), dice.randbytes(10)),
            queue=dice.choice(["default", "default", "mail"]),
            task=dice.choice(["work", "work", "work", "quick", "quick", "rare", "alone", "plain"]),
            args=json.dumps({"number": number} | ({"bad": True} if is_bad else {})),
            priority=dice.choice([0, 0, 0, 5, -5]),
            delay_us=None if delay is None or due_at is not None else int(delay * SECOND),
            due_at=due_at,
            expires_in_us=None if expires is None else int(expires * SECOND),
            timeout_us=None if timeout is None else int(timeout * SECOND),
            policy=Policy(
                tries=dice.choice([1, 2]) if is_bad else dice.choice([1, 2, 3, 5, 5]),
                backoff_base_us=int(dice.uniform(0.05, 1.0) * SECOND),
                backoff_factor=dice.choice([1.0, 2.0, 2.0, 3.5]),
                backoff_cap_us=2 * SECOND,
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
        ending, after, talks = (
            dice.choice(endings),
            10 ** dice.uniform(-1.0, 0.5),
            dice.random() < 0.2,
        )
        holds = dice.choice([0.0, 0.0, 10 ** dice.uniform(-2.0, 0.0)]) if dice.random() < 0.4 else None
        holds = holds if ending == "return" else None
        return Act(seconds, ending, after, stubborn, talks, holds, dice.random() < 0.6)


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
        self.kind = {"alone": Kind.ISOLATED, "plain": Kind.PLAIN}.get(name, Kind.ASYNC)
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

    @property
    def function(self) -> Callable[..., Any]:
        """What runs: a coroutine's function, or one for a thread."""
        return self._in_thread if self.kind is Kind.PLAIN else self._on_loop

    def _begin(self, number: int) -> Act:
        world, context = self._world, current()
        start = world.auditor.started(context.id, context.fence, PROCESS.get())
        act = world.workload.act(number, start, self.name)
        left = max(0.0, world.weather.over_at - world.loop.now) + LAST_SECONDS
        if world.is_healed:
            act = Act(min(act.seconds, left), "return")
        elif left < max(act.seconds, act.stubborn_seconds):
            stubborn = min(act.stubborn_seconds, left)
            act = replace(act, seconds=min(act.seconds, left), stubborn_seconds=stubborn)
        if act.talks:
            context.log(f"start {start}")
        return act

    async def _on_loop(self, number: int) -> str:
        world, context, process = self._world, current(), PROCESS.get()
        act, said, ending = self._begin(number), words(number, context.fence), "stopped"
        try:
            await self._pass(act, context)
            if act.ending == "die":
                world.crew.crash()
                await asyncio.Event().wait()
            if act.holds is not None and world.ground.is_sql and process.worker is process:
                ending = "unsettled"
                await settle_inside(world, process, context, said, act.holds)
            ending = act.ending
            return finish(act, said)
        finally:
            if not world.is_over:
                world.auditor.ended(context.id, context.fence, ending)

    async def _pass(self, act: Act, context: Context) -> None:
        try:
            if act.ending == "hang":
                await asyncio.Event().wait()
            if act.talks:
                for part in range(4):
                    await asyncio.sleep(act.seconds / 4)
                    context.progress(part, 4)
            else:
                await asyncio.sleep(act.seconds)
        except asyncio.CancelledError:
            if not self._world.is_over:
                self._world.auditor.stopped(context.id, context.fence)
            if not act.stubborn_seconds or self._world.is_over:
                raise
            await asyncio.sleep(act.stubborn_seconds)
            if act.ending == "hang":
                raise

    def _in_thread(self, number: int) -> str:
        """Nobody can stop it: it asks whether it should, if it is one of those who ask, and then returns."""
        world, context = self._world, current()
        act, said, ending = self._begin(number), words(number, context.fence), "stopped"
        try:
            left = 1e9 if act.ending == "hang" else act.seconds
            while left > 0.0 and not (act.listens and context.cancelled):
                world.threads.pass_time(min(left, ASKS_EVERY))
                left -= ASKS_EVERY
                if act.talks:
                    context.progress(left)
            if left > 0.0:
                world.threads.pass_time(act.stubborn_seconds)
                ending = "return"
                return said
            if act.ending == "die":
                world.crew.crash()
                world.threads.wait()
            ending = act.ending
            return finish(act, said)
        finally:
            if not world.is_over:
                world.auditor.ended(context.id, context.fence, ending)


def finish(act: Act, said: str) -> str:
    """End as it was drawn."""
    if act.ending == "raise":
        raise ValueError(said)
    if act.ending == "exit":
        raise SystemExit(said)
    if act.ending == "never again":
        raise NeverAgain(said)
    if act.ending == "retry":
        raise Retry(said, after=act.after)
    if act.ending == "snooze":
        raise Snooze(act.after)
    if act.ending == "cancel":
        raise Cancel(said)
    return said
