"""The stores that a world can stand on: memory tables, and a real SQLite file.

A ground gives connections to the wires and shows the auditor the rows after each write. On SQLite each
wire is a real connection, and the rows are read by one more that only looks.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.simulation.lane import Connection
from unstuck.model.errors import StoreConflict
from unstuck.storage.event_log import turn_on
from unstuck.storage.memory import MemoryConnection, MemoryStore, MemoryTables
from unstuck.storage.plan import Plan, run
from unstuck.storage.protocol import Filter, Store
from unstuck.storage.sqlite.connection import SqliteConnection
from unstuck.storage.sqlite.keeper import SqliteKeeper

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GLANCE_AT_JOBS = (
    "SELECT id, state, generation, fence, verdict_id, worker_id, failures, crashes, losses, handbacks,"
    " snoozes, cancel_asked_at, wake_at, finished_at FROM unstuck_jobs"
)
GLANCE_AT_WORKERS = "SELECT id, lease_until, ended_at, reason FROM unstuck_workers"
Rows = tuple[Mapping[UUID, Any], Mapping[UUID, Any]]


class Ground(ABC):
    """One store of one engine."""

    engine: str
    store: Store
    is_sql = True
    is_serial = True
    """Whether writes follow each other, so that none can commit after one that forbids it."""

    @abstractmethod
    def connect(self) -> Connection:
        """One more connection."""

    @abstractmethod
    def rows(self) -> Rows:
        """Jobs and workers by id, as committed; a row that has not changed is the same object."""

    def keep_events(self) -> bool:
        """Let the store keep its event log from now on; False where this ground cannot."""
        return False

    def read(self, plan: Plan[Any]) -> Any:
        """Run a plan that reads, besides everything: no wire, no weather."""
        raise NotImplementedError

    def lock(self) -> Callable[[], None]:
        """Somebody else takes the lock for writing, if it is free; answers what lets go of it."""
        return lambda: None

    def moment(self, us: int) -> datetime:
        """Microseconds since the epoch as the rows spell them."""
        return EPOCH + timedelta(microseconds=us)

    @abstractmethod
    def close(self) -> None:
        """Give everything back."""


class MemoryGround(Ground):
    """Tables in memory; a step is its own transaction."""

    engine = "memory"
    is_sql = False

    def __init__(self, clock: Callable[[], int]):
        self._tables = MemoryTables(clock, instance="simulated")
        self._connection = MemoryConnection(self._tables)
        self.store = MemoryStore()

    def connect(self) -> Connection:
        return self._connection

    def keep_events(self) -> bool:
        return self._tables.keep_events(True)

    def read(self, plan: Plan[Any]) -> Any:
        return run(self._connection, plan)

    def rows(self) -> Rows:
        return self._tables.jobs, self._tables.workers

    def close(self) -> None:
        """Nothing to give back: the tables go with the world."""


def come_again(seconds: float) -> None:
    """Where a connection would wait for the lock: waiting is the world's business, in virtual time."""
    raise StoreConflict("the file is locked by another connection")


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """What the auditor wants to know of a worker's row."""

    id: UUID
    lease_until: datetime
    ended_at: datetime | None
    reason: str | None


class SqliteGround(Ground):
    """A real file, in memory where the system allows, with one more connection that only looks."""

    engine = "sqlite"

    def __init__(self, clock: Callable[[], int]):
        fast = Path("/dev/shm")
        folder = tempfile.mkdtemp(prefix="unstuck-world-", dir=fast if fast.is_dir() else None)
        self._folder = Path(folder)
        keeper = SqliteKeeper(self._folder / "jobs.db", clock=clock)
        self._dialect = keeper.dialect
        self.store = keeper.store
        try:
            keeper.open().close()
            self._eye = self._open()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        self._is_closed = False
        self._version = -1
        self._glances: dict[str, tuple[Any, ...]] = {}
        self._jobs: dict[UUID, Any] = {}
        self._workers: dict[UUID, Any] = {}
        self._seen: dict[str, tuple[Any, SeenWorker]] = {}

    def connect(self) -> Connection:
        return self._open()

    def keep_events(self) -> bool:
        return run(self._eye, turn_on(self._dialect))

    def read(self, plan: Plan[Any]) -> Any:
        return run(self._eye, plan)

    def lock(self) -> Callable[[], None]:
        other = self._open()
        try:
            other._raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            other.close()
            return lambda: None

        def let_go() -> None:
            if not self._is_closed:
                other._raw.execute("ROLLBACK")
                other.close()

        return let_go

    def rows(self) -> Rows:
        version = self._eye._raw.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            self._jobs = self._see_jobs()
            self._workers = self._see_workers()
        return self._jobs, self._workers

    def close(self) -> None:
        self._is_closed = True
        self._eye.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _see_jobs(self) -> dict[UUID, Any]:
        """All jobs; only those whose row shows a difference are read whole."""
        seen = {row[0]: row for row in self._eye._raw.execute(GLANCE_AT_JOBS)}
        changed = [UUID(each) for each, row in seen.items() if self._glances.get(each) != row]
        self._glances = seen
        which = Filter(ids=tuple(changed), limit=len(changed) + 1)
        read = {job.id: job for job in run(self._eye, self.store.find(which))} if changed else {}
        kept = {job_id: job for job_id, job in self._jobs.items() if str(job_id) in seen}
        return kept | read

    def _see_workers(self) -> dict[UUID, Any]:
        workers = {}
        for row in self._eye._raw.execute(GLANCE_AT_WORKERS):
            before = self._seen.get(row[0])
            if before is None or before[0] != row:
                name, lease_until, ended_at, reason = row
                ended = None if ended_at is None else self.moment(ended_at)
                before = self._seen[name] = (
                    row,
                    SeenWorker(UUID(name), self.moment(lease_until), ended, reason),
                )
            workers[before[1].id] = before[1]
        return workers

    def _open(self) -> SqliteConnection:
        connection = SqliteConnection(self._folder / "jobs.db", self._dialect, sleep=come_again)
        connection._raw.execute("PRAGMA synchronous = OFF")  # processes die here, machines do not
        return connection


def open_ground(world: str, clock: Callable[[], int]) -> Ground:
    """The ground of that name."""
    if world == "memory":
        return MemoryGround(clock)
    if world == "sqlite":
        return SqliteGround(clock)
    raise ValueError(f"there is no world {world!r}, only memory and sqlite")
