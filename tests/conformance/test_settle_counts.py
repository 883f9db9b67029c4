"""What a job remembers of its endings: counts, words, its place in line."""

from __future__ import annotations

from dataclasses import replace

from tests.conformance.endings import SIMPLE, WAYS
from tests.conformance.trying import BOOM, HOUR, SECOND, Trial, new_id
from unstuck.model.job import ErrorInfo
from unstuck.model.states import Reason, State
from unstuck.rules import judging, rescuing


def test_the_last_try_ends_the_job_as_failed(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=10 * HOUR)
    job_id = trial.add(policy=SIMPLE)
    for _ in range(3):
        trial.end(judging.failed(trial.take(worker), new_id(), worker, BOOM, 0.5))
        trial.elapse(HOUR)
        trial.promote(1)
    row = trial.row(job_id)
    assert (row.state, row.reason, row.failures) == (State.FAILED, Reason.TRIES_EXHAUSTED, 3)
    assert [each.attempt for each in trial.attempts(job_id)] == [1, 2, 3]
    assert [each.fence for each in trial.attempts(job_id)] == [1, 2, 3]


def test_crashes_failures_and_losses_are_counted_apart(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=100 * HOUR)
    job_id = trial.add()
    for way in ("crashed", "retry", "lost", "snoozed", "put_off", "handed_back"):
        trial.end(WAYS[way](trial.take(worker), worker))
        trial.elapse(2 * HOUR)
        trial.promote(1)
    row = trial.row(job_id)
    assert (row.failures, row.crashes, row.losses, row.handbacks, row.snoozes) == (1, 1, 1, 2, 1)
    assert row.attempt == 4


def test_snoozes_count_in_a_row_and_begin_again_after_a_failure(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=100 * HOUR)
    job_id = trial.add()
    seen = []
    for way in ("snoozed", "snoozed", "handed_back", "retry", "snoozed"):
        trial.end(WAYS[way](trial.take(worker), worker))
        trial.elapse(2 * HOUR)
        trial.promote(1)
        seen.append(trial.row(job_id).snoozes)
    assert seen == [1, 2, 2, 0, 1]


def test_a_hand_back_keeps_the_place_in_line(trial: Trial) -> None:
    worker = trial.add_worker()
    first = trial.start(worker)
    trial.elapse(SECOND)
    second = trial.add()
    trial.end(judging.handed_back(first, new_id(), worker, started=True))
    assert [job.id for job in trial.claim(worker, "q", ["t"], 5)] == [first.id, second]


def test_a_success_after_a_failure_carries_no_error(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, policy=replace(SIMPLE, backoff_base_us=0))
    trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5))
    trial.elapse(SECOND)
    trial.promote(1)
    assert trial.row(job.id).error == BOOM
    trial.end(judging.succeeded(trial.take(worker), new_id(), worker, "1"))
    row = trial.row(job.id)
    assert (row.state, row.error, row.result, row.failures) == (State.SUCCEEDED, None, "1", 1)


def test_words_and_details_are_kept_to_the_letter(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    error = ErrorInfo("Größe'\"", "line 1\nline 2 \\ ; -- 世界 🙂", 'File "<x>", line 1\n\t…')
    detail = {"exit": -11, "peak": 1.5, "nested": {"a": [1, None, True]}, "ü": "'"}
    trial.end(judging.failed(job, new_id(), worker, error, 0.5)._replace(detail=detail))
    (row,) = trial.attempts(job.id)
    assert (row.error, row.detail) == (error, detail)
    assert trial.row(job.id).error == error


def test_refused_endings_are_counted_for_their_worker(trial: Trial) -> None:
    slow = trial.add_worker()
    for _ in range(2):
        late = trial.start(slow)
        trial.end(rescuing.lost(late, new_id(), slow, "host gone"))
        trial.end(judging.succeeded(late, new_id(), slow, None))
    assert trial.worker(slow).late_endings == 2
