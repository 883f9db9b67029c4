"""A store that real processes share: where it is, and what a test reads from it. Engines are named here only."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TypeVar
from uuid import UUID

import pytest

from unstuck.model.errors import StoreUnavailable
from unstuck.model.job import Job
from unstuck.model.states import State
from unstuck.model.worker import Worker
from unstuck.storage.opening import Keeper, open_keeper
from unstuck.storage.plan import Plan
from unstuck.storage.protocol import Filter, Store

R = TypeVar("R")

CONNECTIONS = 8
"""How many connections a client keeps, each of which an outage may have broken."""


class Shelf:
    """One migrated, empty store under test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keeper: Keeper = open_keeper(url)
        self.keeper.migrator.apply()
        self.store: Store = self.keeper.store

    def run(self, plan: Plan[R]) -> R:
        """The answer to a plan that reads; a connection that an outage has broken is not the test's business."""
        for _ in range(CONNECTIONS):
            with suppress(StoreUnavailable):
                return self.keeper.run(plan)
        return self.keeper.run(plan)

    def job(self, job_id: UUID) -> Job:
        job = self.run(self.store.get(job_id))
        assert job is not None, f"job {job_id} is lost"
        return job

    def jobs(self) -> dict[UUID, Job]:
        """Every job, in pages."""
        found: dict[UUID, Job] = {}
        after: UUID | None = None
        while page := self.run(self.store.find(Filter(after=after, limit=5000))):
            found |= {job.id: job for job in page}
            after = page[-1].id
        return found

    def counts(self) -> Mapping[State, int]:
        """How many jobs stand where."""
        counts: Counter[State] = Counter()
        for (_, state), number in self.run(self.store.tally(Filter())).items():
            counts[state] += number
        return counts

    def is_over(self) -> bool:
        """Whether every job has ended."""
        counts = self.counts()
        return bool(counts) and not any(
            counts[state] for state in (State.READY, State.RUNNING, State.SCHEDULED, State.WAITING)
        )

    def workers(self, include_ended: bool = True) -> dict[UUID, Worker]:
        return {worker.id: worker for worker in self.run(self.store.workers(include_ended))}

    def children(self) -> list[Worker]:
        """The living children."""
        return [worker for worker in self.workers(include_ended=False).values() if worker.kind == "child"]

    def owned(self, worker_id: UUID) -> set[UUID]:
        """What a worker runs, as the store sees it."""
        return {job.id for job in self.run(self.store.owned(worker_id))}

    def offenders(self) -> Mapping[str, list[str]]:
        return {name: ids for name, ids in self.run(self.store.offenders()).items() if ids}

    def is_free(self) -> bool:
        """Whether nobody holds what all others need in order to write."""
        return IS_FREE[self.keeper.engine](self.url)

    def close(self) -> None:
        self.keeper.close()


def _sqlite(request: pytest.FixtureRequest) -> str:
    return f"sqlite:///{request.getfixturevalue('tmp_path') / 'jobs.db'}"


def _postgres(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("postgres_url"))


ENGINES: dict[str, Callable[[pytest.FixtureRequest], str]] = {"sqlite": _sqlite, "postgres": _postgres}


def _has_no_writer(url: str) -> bool:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0.2, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE").execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


IS_FREE: dict[str, Callable[[str], bool]] = {"sqlite": _has_no_writer, "postgres": lambda url: True}
"""On PostgreSQL the locks of a stopped client are of single rows, and the server ends its transaction."""


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(url: str) -> Iterator[None]:
    """The write lock of an SQLite file, held by a process of its own."""
    command = [sys.executable, "-c", HOLDER, url.removeprefix("sqlite:///")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield
