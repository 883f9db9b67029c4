"""A keeper on trial: its promises as methods, in one colour, with a clock that the test moves.

`trial.claim(worker, "q", ["t"], 5)` runs the plan that `store.claim(…)` returns, blocking, awaiting or
through a lane, as the run's colour has it; the test does not know which. `elapse` lets time pass
without waiting for it. `together` runs plans at once, each on a connection of its own.

Where a store's clock cannot be injected, time also passes by itself, so moments are compared within
`slack_seconds`, and tests speak in minutes and hours.
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from unstuck.model.ids import uuid7
from unstuck.model.job import ClaimedJob, ErrorInfo, Job, NewJob
from unstuck.model.verdict import Answer, Settled, Verdict
from unstuck.model.worker import NewWorker
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Lane, Plan

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LEASE = 10 * MINUTE
_milliseconds = count(time.time_ns() // 1_000_000)
RECOVERING = (
    "recovering",
    "owner_missing",
    "owner_ended_and_not_recovered",
    "lapsed_worker_not_ended",
    "lease_longer_than_allowed",
    "alarm_overdue",
    "timeout_overdue",
)
BOOM = ErrorInfo("Boom", "it went wrong", "a traceback")


class Ground(ABC):
    """One store of one engine, opened for one test."""

    slack_seconds = 0.0
    examples = 5
    """How many random histories it is compared with the oracle on."""

    keeper: Keeper

    @abstractmethod
    def elapse(self, us: int) -> None:
        """Let this much time pass for the store."""

    def sql(self, text: str) -> None:
        """Run raw SQL, `{jobs}` standing for the table of jobs, and so on."""
        pytest.skip("this keeper has no SQL that could get around its promises")

    def forget_worker(self, worker_id: UUID) -> None:
        """Remove a worker's row, which no promise does while it owns something."""
        self.sql(f"DELETE FROM {{workers}} WHERE id = '{worker_id}'")

    def refusal(self) -> type[Exception]:
        """What the engine raises when a constraint refuses a row."""
        pytest.skip("this keeper has no constraints beside its promises")

    @abstractmethod
    def empty(self) -> None:
        """Make the store as if it had just been opened."""

    def keep_events(self) -> None:
        """Turn the event log on, with nothing in it."""
        self.empty()
        self.keeper.migrator.keep_events(True)

    def close(self, house: House) -> None:
        """Give everything back."""
        house.close_keeper(self.keeper)


class House:
    """What the trials of one process share: a loop, and keepers that are dear to open."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self._keepers: dict[str, Keeper] = {}

    def keeper(self, url: str, make: Callable[[], Keeper]) -> Keeper:
        """The keeper for this URL, made when it is asked for first."""
        if url not in self._keepers:
            self._keepers[url] = make()
        return self._keepers[url]

    def close_keeper(self, keeper: Keeper) -> None:
        """Close a keeper in both colours."""
        self.runner.run(keeper.aclose())
        keeper.close()

    def close(self) -> None:
        """Close everything."""
        for keeper in self._keepers.values():
            self.close_keeper(keeper)
        self.runner.close()


class Clock:
    """A clock that stands still until a test moves it; it begins at the real time."""

    def __init__(self) -> None:
        self.now_us = time.time_ns() // 1_000

    def __call__(self) -> int:
        return self.now_us


class Trial:
    """What a test sees of a keeper. Promises of the store are methods by their own names."""

    def __init__(self, ground: Ground, colour: str, house: House):
        self.ground = ground
        self.house = house
        self.keeper = ground.keeper
        self.store = ground.keeper.store
        self.colour = colour
        self._lanes: list[Lane] = []

    def __getattr__(self, promise: str) -> Callable[..., Any]:
        make = getattr(self.store, promise)
        return lambda *args, **kwargs: self.do(make(*args, **kwargs))

    def do(self, plan: Plan[Any]) -> Any:
        """Run one plan in the colour of this trial."""
        if self.colour == "blocking":
            return self.keeper.run(plan)
        if self.colour == "async":
            return self.house.runner.run(self.keeper.arun(plan))
        return self.house.runner.run(self._lane(0).run(plan, deadline=30.0))

    def _lane(self, number: int) -> Lane:
        while len(self._lanes) <= number:
            self._lanes.append(self.keeper.lane(f"trial {len(self._lanes)}"))
        return self._lanes[number]

    def together(self, *plans: Plan[Any]) -> list[Any]:
        """Run these plans at once, each on a connection of its own; answers, or what was raised."""
        if self.colour == "blocking":
            return self._in_threads(plans)
        return self.house.runner.run(self._in_tasks(plans))

    def elapse(self, us: int) -> None:
        """Let time pass for the store."""
        self.ground.elapse(us)

    def seconds_to(self, at: datetime | None) -> Any:
        """How far a moment lies ahead of the store's now, to be compared with `==`."""
        assert at is not None
        assert at.utcoffset() == timedelta(0)
        now_us = self.now_us()
        away = (at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1) - now_us / SECOND
        return pytest.approx(away, abs=self.ground.slack_seconds + 0.0005)

    def now_us(self) -> int:
        """The store's now in microseconds."""
        return int(self.meta()["now_us"])

    # What tests prepare again and again

    def add(self, **options: Any) -> UUID:
        """Insert a job and give its id."""
        job = new_job(**options)
        (inserted,) = self.insert([job])
        assert inserted.created
        return job.id

    def add_worker(self, **options: Any) -> UUID:
        """Register a worker and give its id."""
        worker = new_worker(**options)
        self.register(worker)
        return worker.id

    def take(self, worker_id: UUID, queue: str = "q", tasks: Sequence[str] = ("t",)) -> ClaimedJob:
        """Claim exactly one job."""
        (job,) = self.claim(worker_id, queue, tasks, 1)
        return job

    def start(self, worker_id: UUID, **options: Any) -> ClaimedJob:
        """Insert a job and claim it."""
        job = new_job(**options)
        self.insert([job])
        claimed = self.take(worker_id, job.queue, [job.task])
        assert claimed.id == job.id, "another job stood before it in line"
        return claimed

    def row(self, job_id: UUID) -> Job:
        """The whole row of a job that is there."""
        job = self.get(job_id)
        assert job is not None
        return job

    def worker(self, worker_id: UUID) -> Any:
        """The row of one worker, ended or not."""
        (found,) = [worker for worker in self.workers(include_ended=True) if worker.id == worker_id]
        return found

    def end(self, verdict: Verdict) -> Answer:
        """Settle one verdict and give the answer."""
        (settled,) = self.settle([verdict])
        assert isinstance(settled, Settled)
        assert settled.verdict == verdict
        return settled.answer

    def broken(self) -> dict[str, list[str]]:
        """The invariants that do not hold, but for those that say that a sweep has work to do."""
        return {name: ids for name, ids in self.offenders().items() if ids and name not in RECOVERING}

    def close(self) -> None:
        """Close what this trial opened, the ground included."""
        for lane in self._lanes:
            self.house.runner.run(lane.aclose())
        self.ground.close(self.house)

    def _in_threads(self, plans: Sequence[Plan[Any]]) -> list[Any]:
        barrier = threading.Barrier(len(plans))

        def one(plan: Plan[Any]) -> Any:
            self.keeper.run(self.store.meta())
            barrier.wait(30)
            try:
                return self.keeper.run(plan)
            except Exception as error:
                return error

        with ThreadPoolExecutor(len(plans)) as threads:
            return list(threads.map(one, plans))

    async def _in_tasks(self, plans: Sequence[Plan[Any]]) -> list[Any]:
        if self.colour == "async":
            return await asyncio.gather(*map(self.keeper.arun, plans), return_exceptions=True)
        runs = [self._lane(number).run(plan, deadline=30.0) for number, plan in enumerate(plans)]
        return await asyncio.gather(*runs, return_exceptions=True)


def new_id() -> UUID:
    """A new id, larger than all before it."""
    return uuid7(next(_milliseconds))


def new_job(**options: Any) -> NewJob:
    """A job of task "t" in queue "q", unless the test says otherwise."""
    plain: dict[str, Any] = {"id": new_id(), "queue": "q", "task": "t", "args": '{"n":1}'}
    return NewJob(**plain | options)


def new_worker(**options: Any) -> NewWorker:
    """A worker of queue "q" that knows task "t", with a lease of ten minutes."""
    plain: dict[str, Any] = {
        "id": new_id(),
        "kind": "child",
        "supervisor_id": None,
        "host": "host",
        "pid": 7,
        "lease_us": LEASE,
        "queues": ("q",),
        "tasks": ("t",),
    }
    return NewWorker(**plain | options)


def answers(settled: Sequence[Settled]) -> list[Answer]:
    """Only the answers."""
    return [each.answer for each in settled]
