"""settle: the one way a job changes after its claim; fenced, repeatable, with everything that follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conformance.endings import SIMPLE, WAYS
from tests.conformance.trying import (
    BOOM,
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    SECOND,
    Trial,
    answers,
    new_id,
    new_job,
)
from unstuck.model.states import FINAL, Reason, State
from unstuck.model.verdict import Answer, Outcome
from unstuck.rules import judging, rescuing


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_accepted_verdict_moves_the_row_to_its_target(trial: Trial, way: str) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, policy=SIMPLE)
    before = trial.row(job.id)
    verdict = WAYS[way](job, worker)
    assert trial.end(verdict) is Answer.ACCEPTED
    row = trial.row(job.id)
    assert (row.state, row.reason) == (verdict.target, verdict.reason)
    assert (row.worker_id, row.verdict_id, row.fence) == (None, verdict.id, job.fence)
    assert (row.line, row.queue, row.priority, row.generation) == (before.line, "q", 0, 1)
    counts = verdict.counts
    assert (row.failures, row.crashes, row.losses) == (counts.failures, counts.crashes, counts.losses)
    assert (row.handbacks, row.snoozes) == (counts.handbacks, counts.snoozes or 0)
    assert (row.result, row.error) == (verdict.result, verdict.error)


def test_the_alarm_follows_the_target(trial: Trial, way: str) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, policy=SIMPLE, timeout_us=MINUTE)
    verdict = WAYS[way](job, worker)
    trial.end(verdict)
    row = trial.row(job.id)
    if row.state is State.SCHEDULED:
        assert trial.seconds_to(row.wake_at) == verdict.delay_us / SECOND
    else:
        assert row.wake_at is None


def test_an_ended_job_is_kept_as_long_as_its_verdict_says(trial: Trial, way: str) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, policy=replace(SIMPLE, keep_succeeded_us=HOUR, keep_other_us=2 * HOUR))
    verdict = WAYS[way](job, worker)
    trial.end(verdict)
    row = trial.row(job.id)
    if row.state in FINAL:
        assert trial.seconds_to(row.finished_at) == 0
        assert trial.seconds_to(row.keep_until) == (3600 if row.state is State.SUCCEEDED else 7200)
    else:
        assert (row.finished_at, row.keep_until) == (None, None)


def test_an_accepted_verdict_with_an_outcome_writes_that_row(trial: Trial, way: str) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, policy=SIMPLE)
    verdict = WAYS[way](job, worker)
    trial.end(verdict)
    rows = trial.attempts(job.id)
    if verdict.outcome is None:
        assert rows == []
        return
    (row,) = rows
    assert (row.job_id, row.fence, row.attempt, row.worker_id) == (job.id, 1, 1, worker)
    assert (row.outcome, row.reason, row.error) == (verdict.outcome, verdict.reason, verdict.error)
    assert row.detail == verdict.detail
    assert (row.late_at, row.late_wanted) == (None, None)
    assert trial.seconds_to(row.started_at) == 0
    assert trial.seconds_to(row.ended_at) == 0


def test_a_verdict_that_the_row_already_carries_is_answered_already(trial: Trial, way: str) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, policy=SIMPLE)
    verdict = WAYS[way](job, worker)
    trial.end(verdict)
    before, rows = trial.row(job.id), trial.attempts(job.id)
    assert trial.end(verdict) is Answer.ALREADY
    assert trial.row(job.id) == before
    assert trial.attempts(job.id) == rows


def test_a_verdict_under_an_old_fence_is_refused_and_changes_nothing(trial: Trial, way: str) -> None:
    slow, quick = trial.add_worker(), trial.add_worker()
    late = trial.start(slow, policy=SIMPLE)
    trial.end(rescuing.lost(late, new_id(), slow, "host gone"))
    trial.elapse(SECOND)
    trial.promote(1)
    trial.take(quick)
    before = trial.row(late.id)
    assert trial.end(WAYS[way](late, slow)) is Answer.REFUSED
    assert trial.row(late.id) == before


def test_a_refused_ending_stamps_what_it_wanted_on_its_attempt(trial: Trial, way: str) -> None:
    slow, quick = trial.add_worker(), trial.add_worker()
    late = trial.start(slow, policy=SIMPLE)
    trial.end(rescuing.lost(late, new_id(), slow, "host gone"))
    trial.elapse(SECOND)
    trial.promote(1)
    trial.take(quick)
    trial.end(WAYS[way](late, slow))
    (row,) = trial.attempts(late.id)
    assert row.outcome == Outcome.LOST
    if way in ("crashed", "lost"):
        assert row.late_at is None, "who rescues an orphan second is no owner that came late"
    else:
        assert trial.seconds_to(row.late_at) == 0
        assert row.late_wanted


def test_an_ending_asked_to_cancel_ends_as_cancelled_whatever_it_says(trial: Trial, way: str) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, policy=replace(SIMPLE, keep_other_us=HOUR))
    trial.ask_cancel([job.id])
    verdict = WAYS[way](job, worker)
    expected = Answer.ACCEPTED if way == "cancelled" else Answer.CANCELLED
    assert trial.end(verdict) is expected
    row = trial.row(job.id)
    assert (row.state, row.reason) == (State.CANCELLED, Reason.CANCELLED)
    assert (row.worker_id, row.wake_at, row.result) == (None, None, None)
    assert row.verdict_id == verdict.id
    assert trial.seconds_to(row.finished_at) == 0
    assert trial.seconds_to(row.keep_until) == 3600
    assert trial.end(verdict) is Answer.ALREADY


@pytest.mark.parametrize("prepare", [State.READY, State.SCHEDULED, State.WAITING])
@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.EXPIRED, Reason.DELETED])
def test_a_job_that_does_not_run_is_ended_by_the_same_door(
    trial: Trial, prepare: State, reason: Reason
) -> None:
    expires_in_us = DAY if reason is Reason.EXPIRED else None
    job_id = trial.add(delay_us=HOUR if prepare is State.SCHEDULED else None, expires_in_us=expires_in_us)
    if prepare is State.WAITING:
        trial.park([(trial.row(job_id), Reason.NO_HANDLER, HOUR)])
    verdict = judging.ended_by_request(trial.row(job_id), new_id(), reason)
    assert trial.end(verdict) is Answer.ACCEPTED
    row = trial.row(job_id)
    assert (row.state, row.reason, row.wake_at) == (State.CANCELLED, reason, None)
    assert trial.seconds_to(row.keep_until) == (0 if reason is Reason.DELETED else 30 * DAY / SECOND)
    assert trial.attempts(job_id) == []
    assert trial.end(verdict) is Answer.ALREADY


def test_a_request_judged_before_the_claim_is_refused_after_it(trial: Trial) -> None:
    worker, job_id = trial.add_worker(), trial.add()
    verdict = judging.ended_by_request(trial.row(job_id), new_id(), Reason.CANCELLED)
    trial.take(worker)
    assert trial.end(verdict) is Answer.REFUSED
    assert trial.row(job_id).state is State.RUNNING
    assert trial.attempts(job_id) == []


def test_a_request_judged_before_a_hand_back_is_refused_after_it(trial: Trial) -> None:
    worker, job_id = trial.add_worker(), trial.add()
    verdict = judging.ended_by_request(trial.row(job_id), new_id(), Reason.CANCELLED)
    trial.end(judging.handed_back(trial.take(worker), new_id(), worker, started=False))
    assert trial.row(job_id).state is State.READY
    assert trial.end(verdict) is Answer.REFUSED


def test_a_verdict_of_a_job_that_is_not_there_is_refused(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)._replace(id=new_id())
    assert trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5)) is Answer.REFUSED
    assert trial.attempts(job.id) == []


def test_another_verdict_after_the_ending_is_refused(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.end(judging.succeeded(job, new_id(), worker, "1"))
    before = trial.row(job.id)
    assert trial.end(judging.succeeded(job, new_id(), worker, "2")) is Answer.REFUSED
    assert trial.row(job.id) == before


def test_a_repeated_verdict_is_known_after_the_job_runs_again(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    verdict = judging.handed_back(job, new_id(), worker, started=True)
    trial.end(verdict)
    trial.take(worker)
    before = trial.row(job.id)
    assert trial.end(verdict) is Answer.ALREADY
    assert trial.row(job.id) == before
    assert trial.attempts(job.id)[0].late_at is None


def test_a_repeated_verdict_is_known_after_the_next_attempt_has_ended_too(trial: Trial) -> None:
    """An answer may be lost for longer than the next attempt takes: it was no late ending."""
    worker = trial.add_worker()
    job = trial.start(worker)
    first = judging.handed_back(job, new_id(), worker, started=True)
    trial.end(first)
    again = trial.take(worker)
    trial.end(judging.succeeded(again, new_id(), worker, "2"))
    before = trial.row(job.id)
    assert trial.end(first) is Answer.ALREADY
    assert trial.row(job.id) == before
    assert trial.attempts(job.id)[0].late_at is None


def test_a_repeated_verdict_does_not_end_a_job_revived_since(trial: Trial) -> None:
    job_id = trial.add()
    verdict = judging.ended_by_request(trial.row(job_id), new_id(), Reason.CANCELLED)
    trial.end(verdict)
    trial.revive([job_id])
    assert trial.end(verdict) in (Answer.ALREADY, Answer.REFUSED)
    assert trial.row(job_id).state is State.READY


def test_answers_come_in_the_order_given_each_by_its_own_guards(trial: Trial) -> None:
    worker = trial.add_worker()
    jobs = [trial.start(worker, policy=SIMPLE) for _ in range(6)]
    repeated = judging.succeeded(jobs[1], new_id(), worker, None)
    trial.end(repeated)
    trial.end(judging.succeeded(jobs[2], new_id(), worker, None))
    trial.ask_cancel([jobs[3].id])
    verdicts = [
        judging.failed(jobs[5], new_id(), worker, BOOM, 0.5),
        judging.succeeded(jobs[0], new_id(), worker, "0"),
        repeated,
        judging.succeeded(jobs[2], new_id(), worker, "2"),
        judging.succeeded(jobs[3], new_id(), worker, "3"),
        judging.succeeded(jobs[4], new_id(), worker, "4"),
    ]
    settled = trial.settle(verdicts)
    assert [each.verdict for each in settled] == verdicts
    assert answers(settled) == [
        Answer.ACCEPTED,
        Answer.ACCEPTED,
        Answer.ALREADY,
        Answer.REFUSED,
        Answer.CANCELLED,
        Answer.ACCEPTED,
    ]
    assert [trial.row(job.id).result for job in jobs] == ["0", None, None, None, "4", None]


def test_of_two_verdicts_for_one_attempt_in_one_call_one_is_recorded(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    pair = [judging.succeeded(job, new_id(), worker, text) for text in ("1", "2")]
    settled = trial.settle(pair)
    assert sorted(answers(settled)) == [Answer.ACCEPTED, Answer.REFUSED]
    accepted = next(each for each in settled if each.answer is Answer.ACCEPTED)
    row = trial.row(job.id)
    assert (row.verdict_id, row.result) == (accepted.verdict.id, accepted.verdict.result)


def test_one_verdict_twice_in_one_call_is_recorded_once(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, policy=SIMPLE)
    verdict = judging.failed(job, new_id(), worker, BOOM, 0.5)
    assert all(each.is_recorded for each in trial.settle([verdict, verdict]))
    assert trial.row(job.id).failures == 1
    assert len(trial.attempts(job.id)) == 1


def test_no_verdicts_are_no_work(trial: Trial) -> None:
    assert trial.settle([]) == []


def test_many_verdicts_at_once_are_all_recorded(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.insert([new_job() for _ in range(500)])
    jobs = trial.claim(worker, "q", ["t"], 500)
    verdicts = [judging.succeeded(job, new_id(), worker, str(job.line)) for job in jobs]
    assert answers(trial.settle(verdicts)) == [Answer.ACCEPTED] * 500
    assert trial.queues()[0].counts == {State.SUCCEEDED: 500}


def test_an_expiry_no_longer_applies_once_the_handler_may_have_run(trial: Trial, way: str) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, expires_in_us=HOUR)
    verdict = WAYS[way](job, worker)
    trial.end(verdict)
    row = trial.row(job.id)
    if row.state not in FINAL:
        assert (row.expires_at is None) is verdict.started
    if row.state is State.READY:
        assert row.wake_at == row.expires_at


def test_a_success_settled_before_the_request_to_cancel_stands(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.end(judging.succeeded(job, new_id(), worker, "1"))
    assert trial.ask_cancel([job.id]) == 0
    assert trial.row(job.id).state is State.SUCCEEDED


def test_the_owner_may_end_its_attempt_after_its_lease_as_long_as_nobody_took_it(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.elapse(2 * LEASE)
    assert trial.end(judging.succeeded(job, new_id(), worker, None)) is Answer.ACCEPTED


def test_a_verdict_may_come_from_somebody_else_than_the_owner(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    assert trial.end(rescuing.lost(job, new_id(), None, "unknown")) is Answer.ACCEPTED
    assert trial.attempts(job.id)[0].worker_id is None


def test_verdicts_of_all_kinds_in_one_call(trial: Trial) -> None:
    worker = trial.add_worker()
    jobs = {way: trial.start(worker, policy=SIMPLE) for way in WAYS}
    verdicts = [WAYS[way](job, worker) for way, job in jobs.items()]
    assert answers(trial.settle(verdicts)) == [Answer.ACCEPTED] * len(verdicts)
    for verdict in verdicts:
        row = trial.row(verdict.job_id)
        assert (row.state, row.verdict_id) == (verdict.target, verdict.id)
