"""The tables of the memory keeper: dicts of frozen rows, and the clock they are judged by.

A row is the noun itself (`Job`, `Worker`, …), never changed, only replaced; so a copy of a dict is a
snapshot of a table, and a step that fails is undone by putting the dicts back. What a reader sees
computed (how long a lease still runs, how many jobs a worker runs) is filled in at the reading, in
`workers`, and stands at its default in the row.

Order is always that of a key or of insertion, never that of a set: the same calls with the same clock
give the same answers in every process, which is what makes this keeper an oracle and lets a simulated
world be repeated from its seed. It is not an oracle of isolation: two steps never overlap here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from itertools import repeat
from operator import attrgetter, call
from typing import Any, TypeVar
from uuid import UUID

from unstuck.model.audit import AuditEntry
from unstuck.model.job import PRIORITY_STEP_US, Attempt, ClaimedJob, Job, LogLine
from unstuck.model.notice import Kind, Notice
from unstuck.model.states import State
from unstuck.model.worker import Worker
from unstuck.storage.memory.recording import EventLog, Recorded
from unstuck.storage.protocol import QueueInfo

R = TypeVar("R")


class JobTable(dict[UUID, Job]):
    """Jobs by id, and of each state, so that whoever asks for the few that wait does not read all that ended."""

    def __init__(self) -> None:
        super().__init__()
        self.tell: Callable[[UUID, Job | None, Job | None], None] | None = None
        self._states: dict[State, dict[UUID, Job]] = {state: {} for state in State}

    def of(self, *states: State) -> list[Job]:
        """Those in one of these states, in no promised order, yet always the same."""
        return [job for state in states for job in self._states[state].values()]

    def __setitem__(self, job_id: UUID, job: Job) -> None:
        before = self.get(job_id)
        if before is not None and before.state is not job.state:
            del self._states[before.state][job_id]
        self._states[job.state][job_id] = job
        super().__setitem__(job_id, job)
        if self.tell is not None:
            self.tell(job_id, before, job)

    def __delitem__(self, job_id: UUID) -> None:
        before = self[job_id]
        del self._states[before.state][job_id]
        super().__delitem__(job_id)
        if self.tell is not None:
            self.tell(job_id, before, None)

    def restore(self, rows: dict[UUID, Job]) -> None:
        """Make it what a copy says."""
        for jobs in self._states.values():
            jobs.clear()
        self.clear()
        for job_id, job in rows.items():
            self[job_id] = job


class MemoryTables:
    """Everything that a memory store holds. `clock` answers the store's now in microseconds."""

    def __init__(self, clock: Callable[[], int], instance: str = "memory"):
        self.clock = clock
        self.instance = instance
        self.lock = threading.RLock()
        self.jobs = JobTable()
        self.attempts: dict[tuple[UUID, int], Attempt] = {}
        self.logs: dict[tuple[UUID, int, int], LogLine] = {}
        self.workers: dict[UUID, Worker] = {}
        self.worker_tasks: dict[UUID, tuple[str, ...]] = {}
        self.queues: dict[str, QueueInfo] = {}
        self.notices: dict[tuple[Kind, str], Notice] = {}
        self.audit: dict[UUID, AuditEntry] = {}
        self.event_log: EventLog | None = None
        self._is_logged = False

    def keep_events(self, is_on: bool) -> bool:
        """Write a line for every change from now on, or no more; False where nothing was to be done."""
        with self.lock:
            if is_on is self._is_logged:
                return False
            self._is_logged = is_on
            if not is_on:
                self.jobs.tell, self.workers, self.queues = None, dict(self.workers), dict(self.queues)
                return True
            log = self.event_log = self.event_log or EventLog(self.clock)
            for kind, table in (("job", self.jobs), ("worker", self.workers), ("queue", self.queues)):
                for key, row in table.items():
                    log.found(kind, key, row)
            self.jobs.tell = log.tell_job
            self.workers = Recorded(self.workers, log.tell_worker)
            self.queues = Recorded(self.queues, log.tell_queue)
            return True

    def in_one_step(self, apply: Callable[[MemoryTables], R]) -> R:
        """The answer of `apply`, alone with the tables; if it raises, they are left as they were."""
        with self.lock:
            jobs, tables = self.jobs.copy(), self._tables()
            before = [table.copy() for table in tables]
            lines = self.event_log.length if self.event_log else 0
            try:
                return apply(self)
            except BaseException:
                self.jobs.restore(jobs)
                for table, rows in zip(tables, before, strict=True):
                    table.clear()
                    table.update(rows)
                if self.event_log:
                    self.event_log.forget_behind(lines)
                raise

    def change(self, job: Job, **columns: Any) -> Job:
        """Replace these columns of a job's row."""
        changed = job_with(job, columns)
        self.jobs[job.id] = changed
        return changed

    def step_us(self, queue: str) -> int:
        """The head start of one step of priority in this queue."""
        row = self.queues.get(queue)
        return PRIORITY_STEP_US if row is None else row.step_us

    def is_paused(self, queue: str) -> bool:
        """Whether the queue's row says that nothing is claimed from it."""
        row = self.queues.get(queue)
        return row is not None and row.paused_at is not None

    def living(self) -> list[Worker]:
        """The rows of workers that have not ended, in the order in which they came."""
        return [worker for worker in self.workers.values() if worker.ended_at is None]

    def known_tasks(self) -> frozenset[str]:
        """The tasks that at least one living worker knows."""
        return frozenset(name for worker in self.living() for name in self.worker_tasks[worker.id])

    def _tables(self) -> list[dict[Any, Any]]:
        return [
            self.attempts,
            self.logs,
            self.workers,
            self.worker_tasks,
            self.queues,
            self.notices,
            self.audit,
        ]


def replacing(kind: type[R]) -> Callable[[R, Mapping[str, Any]], R]:
    """`dataclasses.replace` for rows that change often, which have slots: five times as fast."""
    names = tuple(field.name for field in fields(kind))  # type: ignore[arg-type]
    places = {name: place for place, name in enumerate(names)}
    read = attrgetter(*names)
    setters = [vars(kind)[name].__set__ for name in names]
    apply: Any = call  # what it takes is beyond a type checker's words for it

    def with_columns(row: R, columns: Mapping[str, Any]) -> R:
        values = list(read(row))
        for name, value in columns.items():
            values[places[name]] = value
        new = object.__new__(kind)
        deque[None](
            map(apply, setters, repeat(new), values), maxlen=0
        )  # its own __init__ takes twice as long
        return new

    return with_columns


job_with = replacing(Job)
worker_with = replacing(Worker)


def in_line(jobs: Iterable[Job]) -> list[Job]:
    """These jobs in the order in which they are claimed."""
    return sorted(jobs, key=lambda job: (job.line, job.id))


def by_id(jobs: Iterable[Job]) -> list[Job]:
    """These jobs in the order of their ids, which is that of their creation."""
    return sorted(jobs, key=lambda job: job.id.int)


def is_expired(job: Job, now: datetime) -> bool:
    """Whether the job has an expiry and it has passed."""
    return job.expires_at is not None and job.expires_at <= now


def sooner(alarm: datetime, expires_at: datetime | None) -> datetime:
    """The alarm, or the expiry where that comes first: no alarm lies behind an expiry."""
    return alarm if expires_at is None else min(alarm, expires_at)


def is_ready(job: Job, now: datetime) -> bool:
    """Whether a worker may take the job now, its queue's pause aside."""
    return job.state is State.READY and not is_expired(job, now)


def claimed(job: Job) -> ClaimedJob:
    """The narrow row that a worker receives."""
    return ClaimedJob(
        id=job.id,
        fence=job.fence,
        generation=job.generation,
        queue=job.queue,
        task=job.task,
        line=job.line,
        args=job.args,
        codec=job.codec,
        timeout_us=job.timeout_us,
        failures=job.failures,
        crashes=job.crashes,
        losses=job.losses,
        snoozes=job.snoozes,
        policy=job.policy,
        then=job.then,
    )
