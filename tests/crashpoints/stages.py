"""The stores on which operations are struck: real engines, a clock that stands until it is moved, a trail.

SQLite is a file in memory, copied from a template for each point. PostgreSQL is one database of a server
whose fsync is off (processes die here, machines do not), emptied for each point; its clock is a function
in the database. In both a trigger, which knows nothing of the product, writes down every change of a
job's row: the *trail*, from which nobody can hide a second ending.

`hand` is the test's own connection: it prepares, looks and cleans up, and no fault ever reaches it. What
it sees is what has been committed; that is how the sweep knows what a request has changed for good.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, TypeVar
from uuid import UUID

from tests.crashpoints.striking import Fuse
from unstuck.model.ids import uuid7
from unstuck.model.job import ClaimedJob, Job, NewJob
from unstuck.model.worker import NewWorker
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Plan
from unstuck.storage.protocol import Store
from unstuck.storage.sql.library import TABLES

R = TypeVar("R")

BEGAN_US = 1_767_225_600_000_000
SECOND = 1_000_000
LEASE = 3 * SECOND
"""The lease of the workers that are on stage when the operation begins."""

WATCHED = tuple(table for table in TABLES if table not in ("meta", "migrations"))
TRAIL = "id, generation, fence, state, verdict_id"
JSON_COLUMNS = ("options", "labels", "report", "detail", "error", "queues", "progress")

Content = dict[str, list[dict[str, Any]]]


class Stage(ABC):
    """One store, and what the test does to it by its own hand."""

    engine: str
    store: Store
    now_us: int

    def __init__(self) -> None:
        self._ids = 0

    @abstractmethod
    def fresh(self) -> None:
        """Make the store empty, its clock at the beginning."""

    @abstractmethod
    def ask(self, plan: Plan[R]) -> R:
        """Run a plan by the test's own hand."""

    @abstractmethod
    def content(self) -> Content:
        """All committed rows of all tables."""

    @abstractmethod
    def trail(self) -> list[dict[str, Any]]:
        """Every change of a job's row since the beginning, in order: `was` is the row's state before."""

    @abstractmethod
    def count(self, text: str) -> int:
        """The number that a statement answers; `{jobs}` stands for the table, and so on."""

    @abstractmethod
    def is_at_rest(self) -> bool:
        """Whether nobody has left a transaction open, and so a lock in the way of others."""

    @abstractmethod
    def at(self, us: int) -> None:
        """Set the store's clock."""

    @abstractmethod
    def keeper(self, fuse: Fuse | None) -> Keeper:
        """The store as one process sees it, all its wires over the fuse."""

    @abstractmethod
    def caller(self, fuse: Fuse | None) -> Any:
        """A blocking connection of the user's own, outside a transaction."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back."""

    async def acaller(self, fuse: Fuse | None) -> Any:
        """An async one, where the engine has such."""
        raise NotImplementedError

    def bare(self) -> None:
        """Make the store one that has no tables yet."""
        raise NotImplementedError

    def elapse(self, us: int) -> None:
        """Let time pass for the store."""
        self.at(self.now_us + us)

    # What scenarios prepare again and again; ids are the same each time

    def id(self) -> UUID:
        """The next id, the same in every run."""
        self._ids += 1
        return uuid7(1_700_000_000_000 + self._ids, bytes(10))

    def new_job(self, **options: Any) -> NewJob:
        """A job of task "t" in queue "q", unless the scenario says otherwise."""
        plain: dict[str, Any] = {"id": self.id(), "queue": "q", "task": "t", "args": '{"n":1}'}
        return NewJob(**plain | options)

    def job(self, **options: Any) -> Job:
        """Insert such a job; its row."""
        new = self.new_job(**options)
        self.ask(self.store.insert([new]))
        return self.row(new.id)

    def row(self, job_id: UUID) -> Job:
        """The row of a job that is there."""
        found = self.ask(self.store.get(job_id))
        assert found is not None
        return found

    def new_worker(self, **options: Any) -> NewWorker:
        """A worker that serves queue "q"."""
        plain: dict[str, Any] = {
            "id": self.id(), "kind": "child", "supervisor_id": None, "host": "host", "pid": 7,
            "lease_us": LEASE, "queues": ("q",), "tasks": ("t",),
        }  # fmt: skip
        return NewWorker(**plain | options)

    def worker(self, **options: Any) -> UUID:
        """Register such a worker."""
        new = self.new_worker(**options)
        self.ask(self.store.register(new))
        return new.id

    def start(self, worker_id: UUID, **options: Any) -> ClaimedJob:
        """Insert a job and claim it."""
        job = self.job(**options)
        (claimed,) = self.ask(self.store.claim(worker_id, job.queue, [job.task], 1))
        assert claimed.id == job.id
        return claimed


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows in an order that every engine agrees on."""
    for row in rows:
        for column in JSON_COLUMNS:
            if isinstance(row.get(column), str):
                row[column] = json.dumps(json.loads(row[column]), sort_keys=True)
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def bare_content(there: list[str], facts: list[Any]) -> Content:
    """What a store is made of whose tables come and go: their names, and what it says of itself."""
    return {
        "made of": [{"name": name} for name in sorted(there)],
        "facts": [{"fact": f"{name} {value}"} for name, value in sorted(facts)],
    }


BARE_META = (
    "SELECT name, value FROM unstuck_meta WHERE name <> 'instance'"
    " UNION ALL SELECT 'step', CAST(number AS text) FROM unstuck_migrations"
)
