"""A store with a little of everything in it, all of it sound, and a hand that can break any row.

What the promises would refuse is written in raw SQL on a connection that minds no CHECK: SQLite is told to
ignore them, on PostgreSQL they are dropped and put back (the rows that break them stay, so they are put back
as constraints for new rows only where the test says so).
"""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

import psycopg

from unstuck.doctor.examining import diagnose
from unstuck.doctor.finding import Check, Diagnosis, Status
from unstuck.doctor.looking import Limits
from unstuck.doctor.repairing import Repairing
from unstuck.model.ids import uuid7
from unstuck.model.job import ClaimedJob, ErrorInfo, NewJob
from unstuck.model.worker import NewWorker
from unstuck.rules import judging
from unstuck.storage.opening import Keeper
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.sqlite.keeper import SqliteKeeper

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
LEASE = 10 * MINUTE
LIMITS = Limits(portion=2)
"""Small portions, so that every walk has more than one."""


class Patient(ABC):
    """A store under examination. The jobs in it are named by what they are: "ready", "running" …"""

    keeper: Keeper

    def __init__(self) -> None:
        self.jobs: dict[str, UUID] = {}
        self.worker = self.work()

    def people(self) -> None:
        """A job in every state, and a worker that has been there for hours."""
        self.jobs["failed"] = self.claim_one().id
        failed = self.owned(self.jobs["failed"])
        self.run(self.store.write_logs([(failed.id, failed.fence, 1, "a line")]))
        error = ErrorInfo("ValueError", "no")
        self.run(
            self.store.settle([judging.failed(failed, uuid7(), self.worker, error, 0.5, may_retry=False)])
        )
        done = self.claim_one()
        self.run(self.store.settle([judging.succeeded(done, uuid7(), self.worker, "1")]))
        self.jobs["succeeded"] = done.id
        again = self.claim_one(task="again")
        later = judging.failed(again, uuid7(), self.worker, error, 0.5, after_us=HOUR)
        self.run(self.store.settle([later]))
        self.jobs["retrying"] = again.id
        self.jobs["running"] = self.claim_one(timeout_us=HOUR).id
        self.jobs["scheduled"] = self.add(delay_us=HOUR)
        self.jobs["expiring"] = self.add(expires_in_us=HOUR)
        self.jobs["ready"] = self.add()
        self.sql(f"UPDATE unstuck_workers SET started_at = {self.ago('started_at', 3 * HOUR)}")

    @property
    def store(self) -> Any:
        """The promises."""
        return self.keeper.store

    def run(self, plan: Any) -> Any:
        """Run a plan."""
        return self.keeper.run(plan)

    def add(self, **options: Any) -> UUID:
        """Insert a job."""
        plain: dict[str, Any] = {"id": uuid7(), "queue": "q", "task": "t", "args": '{"n":1}'}
        (inserted,) = self.run(self.store.insert([NewJob(**plain | options)]))
        return inserted.id  # type: ignore[no-any-return]

    def work(self, **options: Any) -> UUID:
        """Register a worker."""
        plain: dict[str, Any] = {
            "id": uuid7(),
            "kind": "solo",
            "supervisor_id": None,
            "host": "here",
            "pid": 1,
            "lease_us": LEASE,
            "queues": ("q",),
            "tasks": ("t", "again"),
        }
        worker = NewWorker(**plain | options)
        self.run(self.store.register(worker))
        return worker.id

    def claim_one(self, **options: Any) -> ClaimedJob:
        """Insert a job and claim it."""
        self.add(**options)
        (job,) = self.run(self.store.claim(self.worker, "q", [options.get("task", "t")], 1))
        return job  # type: ignore[no-any-return]

    def owned(self, job_id: UUID) -> ClaimedJob:
        """A running attempt, as its owner sees it."""
        (job,) = [job for job in self.run(self.store.owned(self.worker)) if job.id == job_id]
        return job  # type: ignore[no-any-return]

    def diagnose(self, limits: Limits = LIMITS) -> Diagnosis:
        """Everything that the doctor finds."""
        return diagnose(self.keeper, limits)

    def repair(self) -> Diagnosis:
        """The same after repairs."""
        return diagnose(self.keeper, LIMITS, lambda looking: Repairing(looking, "someone@here", uuid7).run())

    def hurt(self, name: str) -> UUID:
        """The id of one of the jobs."""
        return self.jobs[name]

    @abstractmethod
    def sql(self, text: str) -> None:
        """Run one raw statement that no CHECK can refuse."""

    @abstractmethod
    def ago(self, column: str, us: int) -> str:
        """The SQL of a moment so long before that in the column, or so long after where it is negative."""

    @abstractmethod
    def past(self, us: int) -> str:
        """The SQL of a moment so long ago."""

    def close(self) -> None:
        """Give everything back."""
        self.keeper.close()


class SqlitePatient(Patient):
    def __init__(self, keeper: SqliteKeeper) -> None:
        self.keeper = keeper
        self.path = keeper.path
        super().__init__()

    def sql(self, text: str) -> None:
        with sqlite3.connect(self.path) as raw:
            raw.execute("PRAGMA ignore_check_constraints = ON")
            raw.execute(text)
        raw.close()

    def ago(self, column: str, us: int) -> str:
        return f"{column} - {us}"

    def past(self, us: int) -> str:
        return str(time.time_ns() // 1000 - us)


class PostgresPatient(Patient):
    def __init__(self, keeper: PostgresKeeper) -> None:
        self.keeper = keeper
        self.url = keeper.address.conninfo
        keeper.migrator.apply()
        super().__init__()

    def sql(self, text: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as raw:
            for table in ("jobs", "workers"):
                check = f"ALTER TABLE unstuck_{table} DROP CONSTRAINT unstuck_{table}_attended"
                raw.execute(check.encode())
            raw.execute(text.encode())
            for table in ("jobs", "workers"):
                back = f"ALTER TABLE unstuck_{table} ADD CONSTRAINT unstuck_{table}_attended CHECK (true)"
                raw.execute(back.encode())

    def ago(self, column: str, us: int) -> str:
        return f"{column} - interval '{us} microseconds'"

    def past(self, us: int) -> str:
        return f"statement_timestamp() - interval '{us} microseconds'"


def check(found: Diagnosis, name: str) -> Check:
    """The check of this name."""
    (one,) = [check for check in found.checks if check.name == name]
    return one


def troubles(found: Diagnosis) -> dict[str, Status]:
    """The checks that are not fine."""
    return {one.name: one.status for one in found.checks if one.status is not Status.OK}
