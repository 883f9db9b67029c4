"""What a job may do with its store in a process of its own, where every suspect runs: all that it may elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app import alone
from tests.app.hand import Hand
from tests.processes.crew import children_of, command_of, is_alive
from unstuck import Job, State
from unstuck.engine.handler import Kind
from unstuck.engine.isolating import Isolating
from unstuck.engine.run import Run
from unstuck.model.states import Event
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


def isolated_ones() -> list[int]:
    """The living processes of isolated attempts; this process may have others, such as servers."""
    found = [pid for pid in children_of(os.getpid()) if is_alive(pid)]
    return [pid for pid in found if "unstuck.engine.isolated" in command_of(pid)]


def begun(job: Job[object], hand: Hand) -> tuple[Isolating, Run]:
    """Its attempt claimed, and ready to run in a process of its own."""
    claimed = hand.claim()
    assert claimed.id == job.id
    context = hand.context(claimed)
    assert context.verdict_id is not None
    handler = alone.app.handlers[claimed.task]
    run = Run(claimed, handler, Kind.ISOLATED, 0, context.verdict_id, context, 0.0)
    return Isolating(APPLICATION, hand.id, random.Random(1), alone.app.url), run


def ran(job: Job[object]) -> tuple[Verdict, Answer]:
    """One attempt in a process of its own, settled as a worker does."""
    hand = Hand(alone.app)
    isolating, run = begun(job, hand)
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


def test_what_it_said_before_it_was_stopped_counts(path: str, tmp_path: Path) -> None:
    """The worker stood still while it returned, and hears of the ending and of the timeout in one moment."""
    go = tmp_path / "go"
    isolating, run = begun(alone.wait_for.enqueue(str(go)), Hand(alone.app))

    async def stand_still_until_it_is_over() -> Verdict:
        attempt = asyncio.ensure_future(isolating.run(run))
        while not run.context.take_lines():  # noqa: ASYNC110 - another process says so
            await asyncio.sleep(0.01)
        (pid,) = isolated_ones()
        go.touch()
        while is_alive(pid):
            time.sleep(0.01)  # noqa: ASYNC251 - the loop is what stands still
        attempt.cancel()
        return await attempt

    verdict = asyncio.run(stand_still_until_it_is_over())
    assert (verdict.event, verdict.result) == (Event.SUCCEED, "7")


def test_what_had_said_nothing_when_it_was_stopped_is_stopped(path: str, tmp_path: Path) -> None:
    isolating, run = begun(alone.wait_for.enqueue(str(tmp_path / "never")), Hand(alone.app))

    async def stop_it() -> None:
        attempt = asyncio.ensure_future(isolating.run(run))
        while not run.context.take_lines():  # noqa: ASYNC110 - another process says so
            await asyncio.sleep(0.01)
        attempt.cancel()
        await attempt

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stop_it())
    assert not isolated_ones()
