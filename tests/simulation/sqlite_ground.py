"""A world on a real SQLite file: each wire is a real connection, and one more only looks.

The file lies in memory where the system allows, and nothing waits for a disk: processes die here, machines do
not. Where a connection would wait for the lock it gives up at once, because waiting is the world's business, in
virtual time. The one that looks reads a few columns of all rows when something was committed, and whole rows
only where those differ.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.simulation.ground import Ground, Rows, SeenWorker
from tests.simulation.lane import Connection
from unstuck.model.errors import StoreConflict
from unstuck.storage.event_log import turn_on
from unstuck.storage.plan import Plan, run
from unstuck.storage.protocol import Filter
from unstuck.storage.sqlite.connection import SqliteConnection
from unstuck.storage.sqlite.dialect import SqliteDialect
from unstuck.storage.sqlite.keeper import SqliteKeeper

GLANCE_AT_JOBS = (
    "SELECT id, state, generation, fence, verdict_id, worker_id, failures, crashes, losses, handbacks,"
    " snoozes, cancel_asked_at, wake_at, finished_at FROM unstuck_jobs ORDER BY rowid"
)
GLANCE_AT_WORKERS = "SELECT id, lease_until, ended_at, reason FROM unstuck_workers"


def come_again(seconds: float) -> None:
    """Where a connection would wait for the lock: waiting is the world's business, in virtual time."""
    raise StoreConflict("the file is locked by another connection")


class Lent(SqliteConnection):
    """A real connection that goes back to the others when its wire is cut: opening one costs as much as fifty
    statements, and who gets it next finds nothing of the one before, because a cut wire has rolled back."""

    def __init__(self, path: Path, dialect: SqliteDialect, idle: list[Lent]):
        super().__init__(path, dialect, sleep=come_again)
        self._idle = idle

    def close(self) -> None:
        if self.is_at_rest:
            self._idle.append(self)
        else:
            self.end()

    def end(self) -> None:
        """Close it in earnest."""
        super().close()


@cache
def new_file() -> bytes:
    """What a store is that was just made; the same for every world, since all begin at the same moment."""
    with tempfile.TemporaryDirectory(prefix="unstuck-world-") as folder:
        path = Path(folder) / "jobs.db"
        SqliteKeeper(path, clock=lambda: 0).open().close()
        return path.read_bytes()


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
        self._all: list[Lent] = []
        self._idle: list[Lent] = []
        try:
            keeper.path.write_bytes(new_file())
            self._eye = self._open()
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        self._is_closed = False
        self._version = -1
        self._glances: list[tuple[Any, ...]] = []
        self._jobs: dict[UUID, Any] = {}
        self._workers: dict[UUID, Any] = {}
        self._seen: dict[str, tuple[Any, SeenWorker]] = {}

    def connect(self) -> Connection:
        return self._idle.pop() if self._idle else self._open()

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
        for connection in self._all:
            connection.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _see_jobs(self) -> dict[UUID, Any]:
        """All jobs, in the order in which they came; only those whose row shows a difference are read whole."""
        seen, before = self._eye._raw.execute(GLANCE_AT_JOBS).fetchall(), self._glances
        self._glances = seen
        others = [(row, old) for row, old in zip(seen, before, strict=False) if row != old]
        changed = [UUID(row[0]) for row, _ in others] + [UUID(row[0]) for row in seen[len(before) :]]
        kept = self._jobs
        if len(seen) < len(before) or any(row[0] != old[0] for row, old in others):
            there = {UUID(row[0]) for row in seen}
            kept = {job_id: job for job_id, job in kept.items() if job_id in there}
        if not changed:
            return kept
        which = Filter(ids=tuple(changed), limit=len(changed) + 1)
        return kept | {job.id: job for job in run(self._eye, self.store.find(which))}

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

    def _open(self) -> Lent:
        connection = Lent(self._folder / "jobs.db", self._dialect, self._idle)
        connection._raw.execute("PRAGMA synchronous = OFF")  # processes die here, machines do not
        self._all.append(connection)
        return connection
