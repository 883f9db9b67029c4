"""What follows an ending under the worker's eyes: one legal verdict for each way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.making import JOB_ID, VERDICT_ID, WORKER_ID, claimed, job
from unstuck.model.effects import Insert
from unstuck.model.errors import IllegalTransition
from unstuck.model.job import DEFAULT_POLICY, ErrorInfo, NewJob, Policy
from unstuck.model.states import Event, Reason, State
from unstuck.model.verdict import Counts, Outcome, Verdict
from unstuck.rules import judging
from unstuck.rules.retrying import SNOOZES_IN_A_ROW, SUSPECT_DELAY_US

BOOM = ErrorInfo("Boom", "it went wrong")
FLAT = Policy(tries=3, backoff_base_us=7, backoff_jitter=0.0)


def test_a_success_is_kept_a_week_and_writes_no_attempt() -> None:
    verdict = judging.succeeded(claimed(), VERDICT_ID, WORKER_ID, "1")
    assert (verdict.id, verdict.job_id, verdict.fence, verdict.source) == (
        VERDICT_ID,
        JOB_ID,
        4,
        State.RUNNING,
    )
    assert (verdict.target, verdict.result, verdict.error) == (State.SUCCEEDED, "1", None)
    assert (verdict.keep_us, verdict.outcome, verdict.effects) == (7 * 86_400 * 10**6, None, ())
    assert verdict.counts == Counts()


def test_a_success_says_by_position_what_it_would_by_name() -> None:
    job = claimed(failures=1)
    assert judging.succeeded(job, VERDICT_ID, WORKER_ID, "1", "no") == Verdict(
        id=VERDICT_ID,
        job_id=job.id,
        fence=job.fence,
        event=Event.SUCCEED,
        keep_us=job.policy.keep_succeeded_us,
        result="1",
        error=ErrorInfo("ResultNotKept", "no"),
        attempt=2,
        worker_id=WORKER_ID,
    )


def test_a_success_inserts_what_was_to_follow() -> None:
    after = NewJob(JOB_ID, "q", "t", "{}")
    verdict = judging.succeeded(claimed(then=(after,)), VERDICT_ID, WORKER_ID, None)
    assert verdict.effects == (Insert((after,)),)


def test_a_result_that_cannot_be_kept_does_not_undo_the_success() -> None:
    verdict = judging.succeeded(claimed(), VERDICT_ID, WORKER_ID, None, "too large")
    assert verdict.target is State.SUCCEEDED
    assert verdict.error == ErrorInfo("ResultNotKept", "too large")


@pytest.mark.parametrize(("failures", "event"), [(0, Event.RETRY), (1, Event.RETRY), (2, Event.FAIL)])
def test_a_failure_is_retried_while_tries_are_left(failures: int, event: Event) -> None:
    verdict = judging.failed(claimed(failures=failures, policy=FLAT), VERDICT_ID, WORKER_ID, BOOM, 0.5)
    assert verdict.event is event
    assert verdict.counts == Counts(failures=1, snoozes=None)
    assert (verdict.error, verdict.outcome, verdict.attempt) == (BOOM, Outcome.FAILED, failures + 1)
    if event is Event.RETRY:
        assert (verdict.delay_us, verdict.keep_us, verdict.reason) == (7 * 2**failures, None, Reason.RETRYING)
    else:
        assert verdict.reason is Reason.TRIES_EXHAUSTED
        assert (verdict.delay_us, verdict.keep_us) == (None, 30 * 86_400 * 10**6)


def test_one_try_is_no_retry() -> None:
    only = claimed(policy=replace(FLAT, tries=1))
    assert judging.failed(only, VERDICT_ID, WORKER_ID, BOOM, 0.5).event is Event.FAIL


def test_crashes_and_losses_use_up_no_tries() -> None:
    tried = claimed(crashes=2, losses=9, policy=FLAT)
    assert judging.failed(tried, VERDICT_ID, WORKER_ID, BOOM, 0.5).event is Event.RETRY


def test_a_failure_that_may_not_be_retried_ends_the_job() -> None:
    verdict = judging.failed(claimed(), VERDICT_ID, WORKER_ID, BOOM, 0.5, may_retry=False)
    assert (verdict.event, verdict.reason) == (Event.FAIL, Reason.NOT_RETRIED)
    verdict = judging.failed(
        claimed(), VERDICT_ID, WORKER_ID, BOOM, 0.5, may_retry=False, reason=Reason.UNDECODABLE
    )
    assert verdict.reason is Reason.UNDECODABLE


@pytest.mark.parametrize("after_us", [0, 5])
def test_a_task_may_name_its_own_delay(after_us: int) -> None:
    assert judging.failed(claimed(), VERDICT_ID, WORKER_ID, BOOM, 0.5, after_us=after_us).delay_us == after_us


def test_a_timeout_is_a_counted_failure_whose_last_one_is_called_so() -> None:
    first = judging.timed_out(claimed(policy=FLAT), VERDICT_ID, WORKER_ID, BOOM, 0.5)
    assert (first.event, first.outcome, first.counts.failures) == (Event.RETRY, Outcome.TIMED_OUT, 1)
    last = judging.timed_out(claimed(failures=2, policy=FLAT), VERDICT_ID, WORKER_ID, BOOM, 0.5)
    assert (last.event, last.reason) == (Event.FAIL, Reason.TIMEOUT)


def test_a_snooze_counts_nothing_but_itself() -> None:
    verdict = judging.snoozed(claimed(), VERDICT_ID, WORKER_ID, 99)
    assert (verdict.target, verdict.delay_us, verdict.counts) == (State.SCHEDULED, 99, Counts(snoozes=1))


@pytest.mark.parametrize("snoozes", [SNOOZES_IN_A_ROW - 1, SNOOZES_IN_A_ROW])
def test_the_thousand_and_first_snooze_in_a_row_is_the_end(snoozes: int) -> None:
    verdict = judging.snoozed(claimed(snoozes=snoozes), VERDICT_ID, WORKER_ID, 99)
    if snoozes < SNOOZES_IN_A_ROW:
        assert verdict.event is Event.SNOOZE
    else:
        assert (verdict.event, verdict.reason) == (Event.FAIL, Reason.SNOOZE_LIMIT)


@pytest.mark.parametrize("started", [True, False])
def test_a_hand_back_counts_against_nobody(started: bool) -> None:
    verdict = judging.handed_back(claimed(), VERDICT_ID, WORKER_ID, started=started, why="stop")
    assert (verdict.target, verdict.counts) == (State.READY, Counts(handbacks=1))
    assert verdict.started is started
    assert verdict.outcome == (Outcome.HANDED_BACK if started else None)
    assert verdict.detail == {"why": "stop"}


def test_a_suspect_without_a_place_is_put_off_unstarted() -> None:
    verdict = judging.put_off(claimed(), VERDICT_ID, WORKER_ID)
    assert (verdict.target, verdict.delay_us, verdict.reason) == (
        State.SCHEDULED,
        SUSPECT_DELAY_US,
        Reason.SUSPECT,
    )
    assert (verdict.started, verdict.outcome) == (False, None)


def test_a_cancelled_attempt_says_why() -> None:
    verdict = judging.cancelled(claimed(), VERDICT_ID, WORKER_ID, "changed my mind")
    assert (verdict.target, verdict.reason) == (State.CANCELLED, Reason.CANCELLED)
    assert verdict.error == ErrorInfo("Cancel", "changed my mind")
    assert judging.cancelled(claimed(), VERDICT_ID, WORKER_ID).error is None


@pytest.mark.parametrize("state", [State.READY, State.SCHEDULED, State.WAITING])
@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.EXPIRED, Reason.DELETED, Reason.PURGED])
def test_a_job_that_does_not_run_is_ended_by_request(state: State, reason: Reason) -> None:
    verdict = judging.ended_by_request(job(state=state), VERDICT_ID, reason)
    assert (verdict.source, verdict.target, verdict.reason) == (state, State.CANCELLED, reason)
    assert (verdict.outcome, verdict.started, verdict.worker_id) == (None, False, None)
    kept = 0 if reason in (Reason.DELETED, Reason.PURGED) else DEFAULT_POLICY.keep_other_us
    assert verdict.keep_us == kept


def test_an_ended_job_cannot_be_ended_by_request() -> None:
    with pytest.raises(IllegalTransition):
        _ = judging.ended_by_request(job(state=State.FAILED), VERDICT_ID, Reason.CANCELLED).target
