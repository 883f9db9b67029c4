"""What a job may do with its store in a process of its own, where every suspect runs: all that it may elsewhere."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app import alone
from tests.app.hand import Hand
from unstuck import Job, State
from unstuck.engine.handler import Kind
from unstuck.engine.isolating import Isolating
from unstuck.engine.run import Run
from unstuck.model.verdict import Answer, Verdict

APPLICATION = "tests.app.alone:app"


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "jobs.db"
    alone.app.use_url(f"sqlite:///{path}")
    alone.app.jobs()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE effects (id integer)")
    yield str(path)
    alone.app.close()


def ran(job: Job[object]) -> tuple[Verdict, Answer]:
    """One attempt in a process of its own, settled as a worker does."""
    hand = Hand(alone.app)
    claimed = hand.claim()
    assert claimed.id == job.id
    context = hand.context(claimed)
    assert context.verdict_id is not None
    handler = alone.app.handlers[claimed.task]
    run = Run(claimed, handler, Kind.ISOLATED, 0, context.verdict_id, context, 0.0)
    isolating = Isolating(APPLICATION, hand.id, random.Random(1), alone.app.url)
    verdict = asyncio.run(isolating.run(run))
    return verdict, hand.settle(verdict)


def effects(path: str) -> int:
    with sqlite3.connect(path) as connection:
        return int(connection.execute("SELECT count(*) FROM effects").fetchone()[0])


def test_effects_and_ending_are_one_transaction_in_a_process_of_its_own(path: str) -> None:
    job = alone.settle.enqueue(path)
    _, answer = ran(job)
    assert answer is Answer.ALREADY, "the attempt had ended where its effects were committed"
    assert (job.refresh().state, job.result(), effects(path)) == (State.SUCCEEDED, 42, 1)


def test_what_a_process_of_its_own_never_commits_is_a_failed_attempt(path: str) -> None:
    job = alone.settle_and_forget.enqueue(path)
    verdict, answer = ran(job)
    assert answer is Answer.ACCEPTED
    assert verdict.error is not None and verdict.error.type == "SettlingNotCommitted"
    assert (job.refresh().state, effects(path)) == (State.SCHEDULED, 0)


def test_a_process_of_its_own_means_the_store_of_its_worker(path: str) -> None:
    verdict, answer = ran(alone.ask_for_more.enqueue())
    assert answer is Answer.ACCEPTED
    assert verdict.result is not None
    assert alone.app.job(json.loads(verdict.result)).refresh().state is State.READY
