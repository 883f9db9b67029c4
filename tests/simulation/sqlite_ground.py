"""A world on a real SQLite file: each wire is a real connection, and one more only looks.

The file lies in memory where the system allows, and nothing waits for a disk: processes die here, machines do
not. Where a connection would wait for the lock it gives up at once, because waiting is the world's business, in
virtual time. The one that looks reads, when something was committed, the rows that somebody has written: triggers
take note of them.
"""

from __future__ import annotations

import atexit
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

GLANCE_AT_WORKERS = "SELECT id, lease_until, ended_at, reason FROM unstuck_workers"
KEPT = ("unstuck_meta", "unstuck_migrations")
NOTES = """
CREATE TABLE world_changes (number INTEGER PRIMARY KEY, id TEXT NOT NULL);
CREATE TRIGGER world_inserted AFTER INSERT ON unstuck_jobs BEGIN INSERT INTO world_changes (id) VALUES (NEW.id); END;
CREATE TRIGGER world_updated AFTER UPDATE ON unstuck_jobs BEGIN INSERT INTO world_changes (id) VALUES (NEW.id); END;
CREATE TRIGGER world_deleted AFTER DELETE ON unstuck_jobs BEGIN INSERT INTO world_changes (id) VALUES (OLD.id); END;
"""
"""Which rows have changed, so that only these are read after each commit; undone with what it tells of."""


def come_again(seconds: float) -> None:
    """Where a connection would wait for the lock: waiting is the world's business, in virtual time."""
    raise StoreConflict("the file is locked by another connection")


class Lent(SqliteConnection):
    """A real connection that goes back to the others when its wire is cut: opening one costs as much as fifty
    statements, and each statement that it has not seen before as much as ten. Who gets it next finds nothing of the one
    before, because a cut wire has rolled back."""

    def __init__(self, stand: Stand):
        super().__init__(stand.path, stand.dialect, sleep=come_again)
        self._stand = stand

    def close(self) -> None:
        self._stand.take_back(self)

    def end(self) -> None:
        """Close it in earnest."""
        super().close()


class Stand:
    """A file for many worlds, one after the other: each begins with its tables empty, and finds connections open that
    know all statements. One world at a time."""

    def __init__(self, *, is_logged: bool):
        fast = Path("/dev/shm")
        folder = tempfile.mkdtemp(prefix="unstuck-world-", dir=fast if fast.is_dir() else None)
        self.path = Path(folder) / "jobs.db"
        try:
            keeper = SqliteKeeper(self.path, clock=lambda: 0)
            keeper.open().close()
            self.dialect, self.store = keeper.dialect, keeper.store
            self._idle: list[Lent] = []
            self._out: dict[Lent, None] = {}
            self.eye = self._open()
            if is_logged:
                run(self.eye, turn_on(self.dialect))
            self.eye._raw.executescript(NOTES)
            tables = self.eye._raw.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            )
            # The notes come last, and what is logged before them: to empty the other tables is told there too.
            last = ("unstuck_events", "world_changes")
            names = sorted(
                (name for (name,) in tables if name not in KEPT), key=lambda name: (name in last, name)
            )
            self._emptying = [f"DELETE FROM {name}" for name in names]
        except BaseException:
            shutil.rmtree(folder)
            raise
        atexit.register(self.close)  # for whoever runs worlds by hand

    def begin(self, clock: Callable[[], int]) -> None:
        """Nothing is left of the world before; this one's clock is that, and its statements are spelled anew."""
        self.dialect = self.eye.dialect = SqliteDialect(clock=clock)
        for text in ("BEGIN IMMEDIATE", *self._emptying, "COMMIT"):
            self.eye._raw.execute(text)

    def lend(self) -> Lent:
        """A connection at rest."""
        connection = self._idle.pop() if self._idle else self._open()
        connection.dialect = self.dialect
        self._out[connection] = None
        return connection

    def take_back(self, connection: Lent) -> None:
        """It is not needed any more."""
        if connection in self._out:
            del self._out[connection]
            if connection.is_at_rest:
                self._idle.append(connection)
            else:
                connection.end()

    def rest(self) -> None:
        """The world is over: whatever it still holds is given back."""
        for connection in list(self._out):
            connection.close()

    def close(self) -> None:
        """The file goes."""
        atexit.unregister(self.close)
        self.rest()
        for connection in (*self._idle, self.eye):
            connection.end()
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def _open(self) -> Lent:
        connection = Lent(self)
        connection._raw.execute("PRAGMA synchronous = OFF")  # processes die here, machines do not
        return connection


@cache
def stand(*, is_logged: bool) -> Stand:
    """The stand of this process, with an event log or without one."""
    made = _stands[is_logged] = Stand(is_logged=is_logged)
    return made


_stands: dict[bool, Stand] = {}


def leave_stands() -> None:
    """Give the files back, if there are any."""
    for made in _stands.values():
        made.close()
    _stands.clear()
    stand.cache_clear()


class SqliteGround(Ground):
    """A real file, in memory where the system allows, with one more connection that only looks."""

    engine = "sqlite"

    def __init__(self, clock: Callable[[], int]):
        self._clock = clock
        self._begin(stand(is_logged=False))

    def _begin(self, place: Stand) -> None:
        self._stand, self._eye, self.store = place, place.eye, place.store
        place.begin(self._clock)
        self._version = self._noted = 0
        self._jobs: dict[UUID, Any] = {}
        self._workers: dict[UUID, Any] = {}
        self._seen: dict[str, tuple[Any, SeenWorker]] = {}

    def connect(self) -> Connection:
        return self._stand.lend()

    def keep_events(self) -> bool:
        self._begin(stand(is_logged=True))
        return True

    def read(self, plan: Plan[Any]) -> Any:
        return run(self._eye, plan)

    def lock(self) -> Callable[[], None]:
        other = self._stand.lend()
        try:
            other._raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            other.close()
            return lambda: None

        def let_go() -> None:
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
        self._stand.rest()

    def _see_jobs(self) -> dict[UUID, Any]:
        """All jobs, in the order in which they came; only those are read that somebody has written."""
        text = "SELECT number, id FROM world_changes WHERE number > ? ORDER BY number"
        notes = self._eye._raw.execute(text, (self._noted,)).fetchall()
        if not notes:
            return self._jobs
        self._noted = notes[-1][0]
        changed = dict.fromkeys(UUID(name) for _, name in notes)
        which = Filter(ids=tuple(changed), limit=len(changed) + 1)
        found = {job.id: job for job in run(self._eye, self.store.find(which))}
        jobs = self._jobs | found
        for job_id in changed:
            if job_id not in found:
                jobs.pop(job_id, None)
        return jobs

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
