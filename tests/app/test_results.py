"""What `result()` says of every way to end, what `cancel` does, and what `explain` and `health` see."""

from __future__ import annotations

import pytest

from tests.app.hand import Hand
from unstuck import App, Backoff, Cancel, JobCancelled, JobFailed, ResultNotKept, State
from unstuck.model.states import Reason
from unstuck.rules.judging import ended_by_request


def test_the_stored_words_of_a_failure(app: App, hand: Hand) -> None:
    @app.task(name="t", tries=1)
    def t() -> None:
        raise ValueError("no such order: 7")

    job = t.enqueue()
    hand.work()
    with pytest.raises(JobFailed) as raised:
        job.result()
    failed = raised.value
    assert (failed.type, failed.text, failed.reason) == ("ValueError", "no such order: 7", "tries_exhausted")
    assert "raise ValueError" in failed.traceback
    assert str(failed) == f"job {job.id} (t) failed (tries_exhausted): ValueError: no such order: 7"
    assert (
        "It failed for good" in job.explain()
        and "at attempt 1: ValueError: no such order: 7" in job.explain()
    )


def test_never_and_only(app: App, hand: Hand) -> None:
    @app.task(name="t", backoff=Backoff(never=(KeyError,), only=(LookupError,)))
    def t(kind: str) -> None:
        raise {"key": KeyError, "index": IndexError, "os": OSError}[kind]("x")

    outcomes = {}
    for kind in ("key", "index", "os"):
        job = t.enqueue(kind)
        hand.work()
        outcomes[kind] = job.refresh().state
    assert outcomes == {"key": State.FAILED, "index": State.SCHEDULED, "os": State.FAILED}


@pytest.mark.parametrize("value", [object(), {1, object()}, float("nan"), "\ud800", "\0", "x" * 300_000])
def test_a_result_that_cannot_be_kept_is_no_failure(app: App, hand: Hand, value: object) -> None:
    ran = []

    @app.task(name="t")
    def t() -> object:
        ran.append(1)
        return value

    job = t.enqueue()
    hand.work()
    with pytest.raises(ResultNotKept, match=rf"job {job.id} \(t\) succeeded, but the result"):
        job.result()
    assert (job.refresh().state, ran) == (State.SUCCEEDED, [1])


def test_results_as_the_function_says(app: App, hand: Hand) -> None:
    @app.task(name="pair")
    def pair() -> tuple[int, str]:
        return 1, "a"

    @app.task(name="liar")
    def liar() -> int:
        return "not a number"  # type: ignore[return-value]

    @app.task(name="nothing")
    def nothing() -> None: ...

    jobs = [pair.enqueue(), liar.enqueue(), nothing.enqueue()]
    for _ in jobs:
        hand.work()
    assert [job.result() for job in jobs] == [(1, "a"), "not a number", None]


def test_cancelling(app: App, hand: Hand) -> None:
    @app.task(name="t")
    def t() -> None:
        raise Cancel("not needed any more")

    ready, scheduled, running, ended = t.enqueue(), t.using(delay="1h").enqueue(), t.enqueue(), t.enqueue()
    assert scheduled.cancel() and ready.cancel() and ready.cancel()
    with pytest.raises(JobCancelled) as raised:
        ready.result()
    assert raised.value.reason == "cancelled"
    claimed = hand.claim()
    assert claimed.id == running.id
    assert running.cancel()
    assert running.refresh().cancel_asked_at is not None
    assert "it was asked to cancel" in running.explain()
    hand.work()
    with pytest.raises(JobCancelled, match="was cancelled \\(cancelled\\): not needed any more"):
        ended.result()
    assert ended.cancel()


def test_cancelling_what_succeeded_says_no(app: App, hand: Hand) -> None:
    @app.task(name="t")
    def t() -> int:
        return 1

    job = t.enqueue()
    hand.work()
    assert not job.cancel()
    assert job.result() == 1
    assert job.explain().startswith("It succeeded ")


def test_expired_and_deleted_are_told_apart(app: App) -> None:
    @app.task(name="t")
    def t() -> None: ...

    job = t.using(expires="1h").enqueue()
    app.keeper.run(app.store.settle([ended_by_request(job.refresh(), job.id, Reason.EXPIRED)]))
    with pytest.raises(JobCancelled) as raised:
        job.result()
    assert raised.value.reason == "expired"


def test_explain_says_what_is_missing(app: App) -> None:
    @app.task(name="t", queue="mail")
    def t() -> None: ...

    job = t.enqueue()
    assert "no live worker serves the queue 'mail'" in job.explain()
    hand = Hand(app, "mail")
    blocker = t.using(priority=5).enqueue()
    assert hand.claim().id == blocker.id
    assert "waits its turn in the queue 'mail'" in job.explain()
    assert blocker.explain().startswith("Attempt 1 was claimed ")
    app.keeper.run(app.store.set_queue("mail", paused=True))
    assert "the queue 'mail' is paused" in job.explain()
    assert "It is due in 59m" in t.using(delay="1h").enqueue().explain()


def test_explain_names_a_task_that_nobody_knows(app: App) -> None:
    @app.task(name="t")
    def t() -> None: ...

    hand = Hand(app)
    t.enqueue()
    hand.work()

    @app.task(name="later")
    def later() -> None: ...

    assert "no live worker knows the task 'later'" in later.enqueue().explain()


def test_health(app: App) -> None:
    @app.task(name="t")
    def t() -> None: ...

    assert app.health().ok
    t.enqueue()
    health = app.health()
    assert (health.ok, health.workers) == (False, 0)
    assert health.problems == ("the queue 'default' has due jobs and no live worker",)
    assert health.store == app.keeper.url_shown
    hand = Hand(app)
    hand.claim()
    assert app.health().workers == 1 and app.health().ok


def test_health_of_a_store_that_does_not_answer() -> None:
    health = App("sqlite:////no/such/folder/jobs.db").health()
    assert not health.ok and "the store does not answer" in health.problems[0]
