"""`ctx.settling`: effects and ending in one transaction, on SQLite; PostgreSQL has its own file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.app.hand import Hand
from unstuck import App, BadTransaction, Cancel, LostOwnership, NoCurrentJob, State, Task
from unstuck.engine.concluding import error_info, of_lost_settling
from unstuck.model.job import ClaimedJob
from unstuck.model.verdict import Answer
from unstuck.rules.judging import failed, handed_back


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with App(f"sqlite:///{tmp_path}/jobs.db") as app:
        app.jobs()
        yield app


@pytest.fixture
def hand(app: App) -> Hand:
    return Hand(app)


@pytest.fixture
def connection(app: App) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(app.url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("CREATE TABLE effects (id integer)")
    yield connection
    connection.close()


@pytest.fixture
def task(app: App) -> Task[[], int, int]:
    @app.task(name="t")
    def t() -> int:
        return 1

    @app.task(name="after")
    def after() -> None: ...

    return t


def effects(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM effects").fetchone()[0])


def settled(
    hand: Hand, claimed: ClaimedJob, connection: sqlite3.Connection, ending: str, result: int = 42
) -> None:
    context = hand.context(claimed)
    connection.execute("BEGIN IMMEDIATE")
    try:
        with context.settling(tx=connection, result=result) as same:
            assert same is context
            connection.execute("INSERT INTO effects VALUES (1)")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    assert context.is_settled
    connection.execute(ending)
    # What the engine does when the handler returns, under the same verdict id.
    assert context.verdict_id is not None
    answer = hand.settle(of_lost_settling(claimed, context.verdict_id, hand.id, 0.5))
    assert answer is (Answer.ALREADY if ending == "COMMIT" else Answer.ACCEPTED)


def test_both_or_neither(
    app: App, hand: Hand, task: Task[[], int, int], connection: sqlite3.Connection
) -> None:
    job = task.enqueue()
    settled(hand, hand.claim(), connection, "COMMIT")
    assert (job.result(), effects(connection)) == (42, 1)
    other = task.enqueue()
    settled(hand, hand.claim(), connection, "ROLLBACK")
    # Rolled back in silence: the effects are not there, so neither is the success.
    assert (other.refresh().state, effects(connection)) == (State.SCHEDULED, 1)


def test_follow_ups_and_results_that_cannot_be_kept(
    app: App, hand: Hand, task: Task[[], int, int], connection: sqlite3.Connection
) -> None:
    task.using(then=app.tasks["after"].spec()).enqueue()
    settled(hand, hand.claim(), connection, "COMMIT", result=float("nan"))  # type: ignore[arg-type]
    assert [job.snapshot.state for job in app.jobs(task="after") if job.snapshot] == [State.READY]


def test_an_exception_inside_settles_nothing(
    hand: Hand, task: Task[[], int, int], connection: sqlite3.Connection
) -> None:
    job = task.enqueue()
    context = hand.context(hand.claim())
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(OSError), context.settling(tx=connection):
        raise OSError
    connection.execute("COMMIT")
    assert (job.refresh().state, context.is_settled) == (State.RUNNING, False)


def test_a_lost_attempt_rolls_back(
    hand: Hand, task: Task[[], int, int], connection: sqlite3.Connection
) -> None:
    job = task.enqueue()
    first = hand.claim()
    assert hand.settle(handed_back(first, job.id, hand.id, started=True)) is Answer.ACCEPTED
    second = hand.claim()
    assert second.fence > first.fence
    with pytest.raises(LostOwnership, match="no longer owns"):
        settled(hand, first, connection, "COMMIT")
    assert (effects(connection), job.refresh().state) == (0, State.RUNNING)
    settled(hand, second, connection, "COMMIT")
    assert (effects(connection), job.result()) == (1, 42)


def test_one_attempt_has_one_settling(
    hand: Hand, task: Task[[], int, int], connection: sqlite3.Connection
) -> None:
    task.enqueue()
    context = hand.context(hand.claim())
    for number in (1, 2):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO effects VALUES (1)")
        if number == 1:
            with context.settling(tx=connection):
                pass
            connection.execute("COMMIT")
        else:
            with (
                pytest.raises(LostOwnership, match="has been settled before"),
                context.settling(tx=connection),
            ):
                pass
            connection.execute("ROLLBACK")
    assert effects(connection) == 1


def test_a_request_to_cancel_wins(
    hand: Hand, task: Task[[], int, int], connection: sqlite3.Connection
) -> None:
    job = task.enqueue()
    claimed = hand.claim()
    job.cancel()
    with pytest.raises(Cancel):
        settled(hand, claimed, connection, "COMMIT")
    assert (effects(connection), job.refresh().state) == (0, State.RUNNING)


def test_a_commit_that_failed_leaves_the_attempt_to_its_own_ending(
    hand: Hand, task: Task[[], int, int], connection: sqlite3.Connection
) -> None:
    job = task.enqueue()
    claimed = hand.claim()
    context = hand.context(claimed)
    connection.execute("BEGIN IMMEDIATE")
    with context.settling(tx=connection, result=1):
        connection.execute("INSERT INTO effects VALUES (1)")
    connection.execute("ROLLBACK")
    assert context.verdict_id is not None
    ending = failed(claimed, context.verdict_id, hand.id, error_info(OSError("commit failed")), 0.5)
    assert hand.settle(ending) is Answer.ACCEPTED
    assert (job.refresh().state, effects(connection)) == (State.SCHEDULED, 0)


def test_refused_before_any_effect(
    hand: Hand, task: Task[[], int, int], connection: sqlite3.Connection
) -> None:
    task.enqueue()
    claimed = hand.claim()
    context = hand.context(claimed)
    with pytest.raises(BadTransaction, match="outside a transaction"), context.settling(tx=connection):
        raise AssertionError("must not be entered")
    with pytest.raises(NoCurrentJob):
        type(context)(claimed, hand.id).settling(tx=connection)


def test_with_sqlalchemy(
    app: App, hand: Hand, task: Task[[], int, int], connection: sqlite3.Connection
) -> None:
    job = task.enqueue()
    context = hand.context(hand.claim())
    engine = sa.create_engine(app.url)
    with Session(engine) as session, session.begin(), context.settling(tx=session, result=7):
        session.execute(sa.text("INSERT INTO effects VALUES (1)"))
    engine.dispose()
    assert (job.result(), effects(connection)) == (7, 1)
