"""The store away, frozen or locked under load: nobody dies of it, nothing is counted, work goes on after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from tests.processes import tasks
from tests.processes.crew import PATIENCE, Boss, Crew
from tests.processes.pace import Pace
from tests.processes.stores import Shelf, locked
from tests.processes.waiting import until
from tests.processes.witness import Witness
from tests.servers.postgres import PostgresServer
from unstuck.engine.env import boottime
from unstuck.model.states import State

BACK = 30.0
"""Seconds after its return within which work goes on."""


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLite where a test locks a file, else a server of the test's own."""
    if "private_postgres" in request.fixturenames:
        return str(request.getfixturevalue("private_postgres").create_database())
    return f"sqlite:///{tmp_path / 'jobs.db'}"


def load(count: int) -> list[UUID]:
    """Short jobs of both kinds."""
    short = [job.id for job in tasks.app.enqueue_many([tasks.nap.spec(0.3) for _ in range(count)])]
    return short + [job.id for job in tasks.app.enqueue_many([tasks.doze.spec(0.3) for _ in range(count)])]


def spend(seconds: float) -> None:
    """Let an outage last: here time itself is the fact."""
    end = boottime() + seconds
    until(lambda: boottime() >= end, seconds + 1.0, "the outage has lasted")


@contextmanager
def goes_on(witness: Witness, what: str) -> Iterator[None]:
    """Work starts again soon after the body, which brings the store back as its last act."""
    yield
    back = boottime()
    until(lambda: [w for w in witness.starts() if w.at > back], BACK, f"jobs start after {what}")
    first = min(word.at for word in witness.starts() if word.at > back)
    print(f"seconds until jobs started again after {what}: {first - back:.2f}")


def nothing_was_counted(crew: Crew, shelf: Shelf, witness: Witness, expected: list[UUID], boss: Boss) -> None:
    for job in crew.account(shelf, expected).values():
        assert (job.state, job.failures, job.crashes, job.losses) == (State.SUCCEEDED, 0, 0, 0)
    assert not witness.overlaps()
    assert boss.process.poll() is None, "the supervisor is still the same"


def test_a_server_that_goes_away(
    crew: Crew, shelf: Shelf, witness: Witness, private_postgres: PostgresServer, pace: Pace
) -> None:
    boss = crew.started(shelf, "--threads", "4", "--concurrency", "5", processes=2)
    children = boss.children()
    long = [tasks.doze.enqueue(2 * pace.lease).id, tasks.doze.enqueue(2 * pace.lease).id]
    jobs = [*long, *load(300)]
    until(lambda: len(witness.words("end")) > 50, PATIENCE, "the load is on")

    with goes_on(witness, "2 s without a server"):
        private_postgres.stop()
        spend(2.0)
        private_postgres.start()
    with goes_on(witness, "3 leases without a server"):
        private_postgres.stop()
        spend(3 * pace.lease)
        private_postgres.start()
    with goes_on(witness, "a server that stood still for 2 leases"):
        private_postgres.pause()
        spend(2 * pace.lease)
        private_postgres.resume()
    until(shelf.is_over, 2 * PATIENCE, "everything has ended")
    nothing_was_counted(crew, shelf, witness, jobs, boss)
    assert boss.children() == children, "the children are still the same"


def test_a_write_lock_held_by_somebody_else(crew: Crew, shelf: Shelf, witness: Witness, pace: Pace) -> None:
    """A stall, not a partition: handlers go on, nothing new starts, nobody is declared lost."""
    boss = crew.started(shelf, "--threads", "4", "--concurrency", "5", processes=2)
    children = boss.children()
    long = [
        tasks.doze.enqueue(3 * pace.lease + pace(3.0)).id,
        tasks.nap.enqueue(3 * pace.lease + pace(3.0)).id,
    ]
    jobs = [*long, *load(100)]
    until(lambda: len(witness.words("end")) > 50, PATIENCE, "the load is on")

    with goes_on(witness, "3 leases of a lock"), locked(shelf.url):
        spend(3 * pace.lease)
    until(shelf.is_over, 2 * PATIENCE, "everything has ended")
    nothing_was_counted(crew, shelf, witness, jobs, boss)
    assert boss.children() == children, "the children are still the same"
    assert all(len(witness.starts(job_id)) == 1 for job_id in jobs)
    assert not [worker for worker in shelf.workers().values() if worker.ended_at]
