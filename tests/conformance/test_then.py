"""Effects through the door: follow-up jobs inserted with the ending, exactly once, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.trying import BOOM, HOUR, SECOND, Trial, new_id, new_job
from unstuck.model.effects import Insert
from unstuck.model.job import Policy
from unstuck.model.states import State
from unstuck.model.verdict import Answer
from unstuck.rules import judging, rescuing


def test_a_follow_up_is_inserted_with_the_ending(trial: Trial) -> None:
    worker = trial.add_worker()
    after = new_job(queue="after", task="follow", args='{"x":1}', labels={"a": "b"}, timeout_us=SECOND)
    job = trial.start(worker, then=(after,))
    assert trial.get(after.id) is None
    assert trial.end(judging.succeeded(job, new_id(), worker, None)) is Answer.ACCEPTED
    row = trial.row(after.id)
    assert row.state is State.READY
    for name in ("queue", "task", "args", "labels", "timeout_us", "policy"):
        assert getattr(row, name) == getattr(after, name), name


def test_its_delay_counts_from_the_ending(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=100 * HOUR)
    after = new_job(delay_us=HOUR)
    job = trial.start(worker, then=(after,))
    trial.elapse(50 * HOUR)
    trial.end(judging.succeeded(job, new_id(), worker, None))
    row = trial.row(after.id)
    assert row.state is State.SCHEDULED
    assert trial.seconds_to(row.wake_at) == 3600


def test_a_repeated_verdict_inserts_it_once(trial: Trial) -> None:
    worker = trial.add_worker()
    after = new_job(queue="after")
    job = trial.start(worker, then=(after,))
    verdict = judging.succeeded(job, new_id(), worker, None)
    assert [trial.end(verdict) for _ in range(3)] == [Answer.ACCEPTED, Answer.ALREADY, Answer.ALREADY]
    assert {info.name: info.counts for info in trial.queues()} == {
        "after": {State.READY: 1},
        "q": {State.SUCCEEDED: 1},
    }


def test_a_repeated_verdict_does_not_bring_back_a_follow_up_that_is_gone(trial: Trial) -> None:
    worker = trial.add_worker()
    after = new_job(queue="after", policy=Policy(keep_succeeded_us=0))
    job = trial.start(worker, then=(after,))
    verdict = judging.succeeded(job, new_id(), worker, None)
    trial.end(verdict)
    trial.end(judging.succeeded(trial.take(worker, "after"), new_id(), worker, None))
    trial.elapse(SECOND)
    assert trial.prune(10) == 1
    assert trial.end(verdict) is Answer.ALREADY
    assert trial.get(after.id) is None


def test_a_refused_verdict_inserts_nothing(trial: Trial) -> None:
    worker = trial.add_worker()
    after = new_job()
    job = trial.start(worker, then=(after,))
    trial.end(rescuing.lost(job, new_id(), worker, "host gone"))
    assert trial.end(judging.succeeded(job, new_id(), worker, None)) is Answer.REFUSED
    assert trial.get(after.id) is None


def test_a_job_asked_to_cancel_ends_without_effects(trial: Trial) -> None:
    worker = trial.add_worker()
    after = new_job()
    job = trial.start(worker, then=(after,))
    trial.ask_cancel([job.id])
    assert trial.end(judging.succeeded(job, new_id(), worker, None)) is Answer.CANCELLED
    assert trial.get(after.id) is None


def test_a_failure_inserts_nothing(trial: Trial) -> None:
    worker = trial.add_worker()
    after = new_job()
    job = trial.start(worker, then=(after,))
    trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5, may_retry=False))
    assert trial.get(after.id) is None


def test_a_chain_goes_on_link_by_link(trial: Trial) -> None:
    worker = trial.add_worker()
    third = new_job(args='{"n":3}')
    second = new_job(args='{"n":2}', then=(third,))
    job = trial.start(worker, then=(second,))
    for _ in range(3):
        trial.end(judging.succeeded(job, new_id(), worker, None))
        job = next(iter(trial.claim(worker, "q", ["t"], 1)), None)
    assert job is None
    assert trial.row(third.id).state is State.SUCCEEDED
    assert trial.queues()[0].counts == {State.SUCCEEDED: 3}


def test_several_follow_ups_of_several_endings_in_one_call(trial: Trial) -> None:
    worker = trial.add_worker()
    afters = [(new_job(queue="after"), new_job(queue="after")) for _ in range(3)]
    jobs = [trial.start(worker, then=pair) for pair in afters]
    plain = trial.start(worker)
    verdicts = [judging.succeeded(job, new_id(), worker, None) for job in (*jobs, plain)]
    assert all(each.answer is Answer.ACCEPTED for each in trial.settle(verdicts))
    assert [trial.row(after.id).state for pair in afters for after in pair] == [State.READY] * 6


def test_an_ending_is_not_undone_for_a_follow_up_whose_id_is_taken(trial: Trial) -> None:
    worker = trial.add_worker()
    taken, free = new_job(queue="after", args="{}"), new_job(queue="after")
    job = trial.start(worker, then=(new_job(id=taken.id, args='{"other":true}'), free))
    trial.insert([taken])
    assert trial.end(judging.succeeded(job, new_id(), worker, None)) is Answer.ACCEPTED
    assert trial.row(taken.id).args == "{}"
    assert trial.row(free.id).state is State.READY


def test_an_ending_whose_follow_up_cannot_be_inserted_is_not_recorded(trial: Trial) -> None:
    refusal = trial.ground.refusal()
    worker = trial.add_worker()
    job = trial.start(worker)
    good = judging.succeeded(job, new_id(), worker, "1")
    nowhere: Any = None
    with pytest.raises(refusal):
        trial.end(good._replace(effects=(Insert((new_job(), new_job(queue=nowhere))),)))
    row = trial.row(job.id)
    assert (row.state, row.verdict_id, row.worker_id) == (State.RUNNING, None, worker)
    assert trial.end(good) is Answer.ACCEPTED
