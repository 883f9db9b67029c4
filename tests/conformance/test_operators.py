"""What operators ask: cancel, revive, priority, queues and their pause."""

from __future__ import annotations

import pytest

from tests.conformance.trying import BOOM, HOUR, MINUTE, SECOND, Trial, new_id, new_job
from unstuck.model.job import PRIORITY_STEP_US, STRICT_STEP_US
from unstuck.model.states import Reason, State
from unstuck.model.verdict import Answer
from unstuck.rules import judging, rescuing


def test_a_running_job_is_asked_to_cancel_once_and_the_asking_is_kept(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    assert trial.ask_cancel([job.id]) == 1
    row = trial.row(job.id)
    assert row.state is State.RUNNING
    assert trial.seconds_to(row.cancel_asked_at) == 0
    assert trial.seconds_to(row.wake_at) == 0
    assert trial.ask_cancel([job.id]) == 0
    assert trial.row(job.id) == row


@pytest.mark.parametrize("state", [State.READY, State.SCHEDULED, State.WAITING, State.SUCCEEDED])
def test_a_job_that_does_not_run_is_not_asked(trial: Trial, state: State) -> None:
    worker = trial.add_worker()
    job_id = trial.add(delay_us=HOUR if state is State.SCHEDULED else None)
    if state is State.WAITING:
        trial.park([(trial.row(job_id), Reason.NO_HANDLER, HOUR)])
    if state is State.SUCCEEDED:
        trial.end(judging.succeeded(trial.take(worker), new_id(), worker, None))
    before = trial.row(job_id)
    assert trial.ask_cancel([job_id, new_id()]) == 0
    assert trial.ask_cancel([]) == 0
    assert trial.row(job_id) == before


def test_the_next_attempt_is_not_asked_what_the_last_one_was(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.ask_cancel([job.id])
    trial.end(judging.cancelled(job, new_id(), worker))
    trial.revive([job.id])
    again = trial.take(worker)
    assert trial.row(job.id).cancel_asked_at is None
    trial.end(judging.succeeded(again, new_id(), worker, None))
    assert trial.row(job.id).state is State.SUCCEEDED


def test_an_ended_job_is_revived_as_a_new_generation_at_the_end_of_the_line(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, priority=2)
    trial.write_progress([(job.id, job.fence, "[1,2,null]")])
    trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5, may_retry=False))
    trial.elapse(MINUTE)
    assert trial.revive([job.id]) == [job.id]
    row = trial.row(job.id)
    assert (row.state, row.generation, row.reason) == (State.READY, 2, None)
    assert row.line == pytest.approx(
        trial.now_us() - 2 * PRIORITY_STEP_US, abs=trial.ground.slack_seconds * SECOND
    )
    assert (row.failures, row.crashes, row.losses, row.handbacks, row.snoozes) == (0, 0, 0, 0, 0)
    assert (row.wake_at, row.expires_at, row.finished_at, row.keep_until) == (None,) * 4
    assert (row.result, row.error, row.cancel_asked_at, row.progress) == (None,) * 4
    assert row.args == job.args


def test_the_fence_goes_on_rising_after_a_revival(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.end(judging.succeeded(job, new_id(), worker, "1"))
    trial.revive([job.id])
    again = trial.take(worker)
    assert (again.fence, again.generation, again.attempt) == (2, 2, 1)
    assert not trial.settle([judging.succeeded(job, new_id(), worker, "late")])[0].is_recorded


def test_an_expired_job_that_is_revived_does_not_expire_again(trial: Trial) -> None:
    job_id = trial.add(expires_in_us=MINUTE)
    trial.elapse(HOUR)
    trial.end(judging.ended_by_request(trial.row(job_id), new_id(), Reason.EXPIRED))
    trial.revive([job_id])
    assert trial.expired(10) == []
    assert trial.take(trial.add_worker()).id == job_id


def test_who_saw_a_job_expire_before_it_was_revived_does_not_end_it_again(trial: Trial) -> None:
    """Two sweeps see the same; a job that never ran has one fence for all its lives."""
    job_id = trial.add(expires_in_us=MINUTE)
    trial.elapse(HOUR)
    seen = trial.row(job_id)
    trial.end(judging.ended_by_request(seen, new_id(), Reason.EXPIRED))
    trial.revive([job_id])
    assert trial.end(judging.ended_by_request(seen, new_id(), Reason.EXPIRED)) is Answer.REFUSED
    assert trial.row(job_id).state is State.READY


def test_only_ended_jobs_are_revived(trial: Trial) -> None:
    worker = trial.add_worker()
    ended = trial.start(worker)
    trial.end(rescuing.crashed(ended, new_id(), worker, {}))
    running = trial.start(worker)
    done = trial.start(worker)
    trial.end(judging.succeeded(done, new_id(), worker, None))
    scheduled = trial.add(delay_us=HOUR)
    assert trial.revive([running.id, scheduled, new_id(), done.id, ended.id]) == [done.id]
    assert trial.revive([]) == []
    assert trial.row(running.id).state is State.RUNNING
    assert trial.row(scheduled).state is State.SCHEDULED


def test_the_history_of_a_revived_job_stays(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5, may_retry=False))
    trial.revive([job.id])
    trial.end(judging.failed(trial.take(worker), new_id(), worker, BOOM, 0.5, may_retry=False))
    assert [(row.fence, row.attempt) for row in trial.attempts(job.id)] == [(1, 1), (2, 1)]


def test_a_new_priority_moves_a_job_in_line_by_the_difference(trial: Trial) -> None:
    trial.set_queue("slow", step_us=7)
    jobs = [new_job(), new_job(delay_us=HOUR), new_job(queue="slow", priority=5)]
    trial.insert(jobs)
    before = [trial.row(job.id).line for job in jobs]
    assert trial.set_priority([(jobs[0].id, 3), (jobs[1].id, -2), (jobs[2].id, 2)]) == 3
    rows = [trial.row(job.id) for job in jobs]
    assert [row.priority for row in rows] == [3, -2, 2]
    moved = [row.line - line for row, line in zip(rows, before, strict=True)]
    assert moved == [-3 * PRIORITY_STEP_US, 2 * PRIORITY_STEP_US, 3 * 7]


def test_the_priority_of_running_and_ended_jobs_stays(trial: Trial) -> None:
    worker = trial.add_worker()
    done, running = trial.start(worker), trial.start(worker)
    trial.end(judging.succeeded(done, new_id(), worker, None))
    before = [trial.row(job.id) for job in (done, running)]
    assert trial.set_priority([(done.id, 9), (running.id, 9), (new_id(), 9)]) == 0
    assert trial.set_priority([]) == 0
    assert [trial.row(job.id) for job in (done, running)] == before


def test_a_job_put_first_runs_first(trial: Trial) -> None:
    first, second = trial.add(), trial.add()
    trial.set_priority([(second, 100)])
    assert [job.id for job in trial.claim(trial.add_worker(), "q", ["t"], 5)] == [second, first]


def test_a_queue_gets_its_row_where_needed_and_keeps_what_is_not_given(trial: Trial) -> None:
    info = trial.set_queue("mail")
    assert (info.name, info.step_us, info.paused_at) == ("mail", PRIORITY_STEP_US, None)
    assert trial.seconds_to(trial.set_queue("mail", paused=True).paused_at) == 0
    info = trial.set_queue("mail", step_us=STRICT_STEP_US)
    assert info.step_us == STRICT_STEP_US
    assert info.paused_at is not None
    info = trial.set_queue("mail", paused=False)
    assert (info.step_us, info.paused_at) == (STRICT_STEP_US, None)


def test_the_first_moment_of_a_pause_is_kept(trial: Trial) -> None:
    trial.set_queue("q", paused=True)
    trial.elapse(MINUTE)
    assert trial.seconds_to(trial.set_queue("q", paused=True).paused_at) == -60


def test_a_queue_answers_with_its_counts(trial: Trial) -> None:
    trial.start(trial.add_worker())
    trial.add()
    trial.add(queue="other")
    assert trial.set_queue("q", paused=True).counts == {State.RUNNING: 1, State.READY: 1}


def test_a_strict_queue_runs_the_larger_number_first_however_old_the_other(trial: Trial) -> None:
    trial.set_queue("q", step_us=STRICT_STEP_US)
    worker = trial.add_worker(lease_us=10**15)
    old = trial.add(priority=-100)
    trial.elapse(5 * 365 * 24 * HOUR)
    urgent = trial.add(priority=100)
    assert [job.id for job in trial.claim(worker, "q", ["t"], 5)] == [urgent, old]


def test_jobs_that_run_go_on_in_a_paused_queue(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.set_queue("q", paused=True)
    assert trial.settle([judging.succeeded(job, new_id(), worker, None)])[0].is_recorded
