"""promote and expired: what the alarms of jobs are for."""

from __future__ import annotations

from tests.conformance.trying import BOOM, HOUR, MINUTE, Trial, new_id, new_job
from unstuck.model.states import Reason, State
from unstuck.model.verdict import Answer
from unstuck.rules import judging


def test_a_job_that_is_due_becomes_ready_and_keeps_its_line(trial: Trial) -> None:
    job_id = trial.add(delay_us=MINUTE, priority=4)
    line = trial.row(job_id).line
    trial.elapse(HOUR)
    assert trial.promote(10) == {"": 1, "q": line}
    row = trial.row(job_id)
    assert (row.state, row.line, row.wake_at) == (State.READY, line, None)


def test_a_job_that_is_not_due_stays(trial: Trial) -> None:
    job_id = trial.add(delay_us=HOUR)
    assert trial.promote(10) == {"": 0}
    assert trial.row(job_id).state is State.SCHEDULED


def test_the_answer_is_the_lowest_line_per_queue_and_how_many(trial: Trial) -> None:
    jobs = [new_job(queue=queue, delay_us=MINUTE, priority=n) for queue in "ab" for n in (1, 2, 0)]
    trial.insert(jobs)
    trial.elapse(HOUR)
    rows = [trial.row(job.id) for job in jobs]
    lowest = {queue: min(row.line for row in rows if row.queue == queue) for queue in "ab"}
    assert trial.promote(100) == lowest | {"": 6}


def test_at_most_limit_are_promoted_at_once(trial: Trial) -> None:
    trial.insert([new_job(delay_us=MINUTE) for _ in range(5)])
    trial.elapse(HOUR)
    assert [trial.promote(2)[""] for _ in range(4)] == [2, 2, 1, 0]


def test_those_due_first_are_promoted_first(trial: Trial) -> None:
    later, sooner = trial.add(delay_us=2 * MINUTE, priority=90), trial.add(delay_us=MINUTE)
    trial.elapse(HOUR)
    trial.promote(1)
    assert [trial.row(each).state for each in (later, sooner)] == [State.SCHEDULED, State.READY]


def test_a_promoted_job_has_its_expiry_as_alarm(trial: Trial) -> None:
    job_id = trial.add(delay_us=MINUTE, expires_in_us=2 * HOUR)
    trial.elapse(HOUR)
    trial.promote(1)
    row = trial.row(job_id)
    assert row.wake_at == row.expires_at
    assert trial.seconds_to(row.wake_at) == 3600


def test_a_retried_job_comes_back_when_its_back_off_is_over(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=10 * HOUR)
    job = trial.start(worker)
    line = trial.row(job.id).line
    trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5, after_us=MINUTE))
    assert trial.promote(10) == {"": 0}
    trial.elapse(2 * MINUTE)
    assert trial.promote(10) == {"": 1, "q": line}


def test_jobs_whose_expiry_has_passed_are_not_promoted(trial: Trial) -> None:
    job_id = trial.add(delay_us=MINUTE, expires_in_us=2 * MINUTE)
    trial.elapse(HOUR)
    assert trial.promote(10) == {"": 0}
    assert [job.id for job in trial.expired(10)] == [job_id]


def test_jobs_that_are_only_waiting_are_not_promoted(trial: Trial) -> None:
    job_id = trial.add()
    trial.park([(trial.row(job_id), Reason.NO_HANDLER, MINUTE)])
    trial.elapse(HOUR)
    assert trial.promote(10) == {"": 0}


def test_expired_names_what_has_not_started_in_time(trial: Trial) -> None:
    ready = trial.add(expires_in_us=MINUTE)
    scheduled = trial.add(delay_us=MINUTE, expires_in_us=2 * MINUTE)
    waiting = trial.add(expires_in_us=3 * MINUTE)
    trial.park([(trial.row(waiting), Reason.NO_HANDLER, MINUTE)])
    trial.add(expires_in_us=2 * HOUR)
    trial.add()
    assert trial.expired(10) == []
    trial.elapse(HOUR)
    found = trial.expired(10)
    assert sorted(job.id for job in found) == sorted([ready, scheduled, waiting])
    assert found == [trial.row(job.id) for job in found]
    assert len(trial.expired(2)) == 2


def test_a_running_job_does_not_expire(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.start(worker, expires_in_us=MINUTE)
    trial.elapse(HOUR)
    assert trial.expired(10) == []


def test_an_expired_job_is_settled_as_expired_and_found_no_more(trial: Trial) -> None:
    trial.add(expires_in_us=MINUTE)
    trial.elapse(HOUR)
    (job,) = trial.expired(10)
    assert trial.end(judging.ended_by_request(job, new_id(), Reason.EXPIRED)) is Answer.ACCEPTED
    assert (trial.row(job.id).state, trial.row(job.id).reason) == (State.CANCELLED, Reason.EXPIRED)
    assert trial.expired(10) == []


def test_a_job_that_was_started_once_does_not_expire_any_more(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, expires_in_us=MINUTE)
    trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5))
    trial.elapse(HOUR)
    assert trial.expired(10) == []
    assert trial.promote(10)[""] == 1


def test_a_job_handed_back_unstarted_still_expires(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker, expires_in_us=MINUTE)
    trial.end(judging.handed_back(job, new_id(), worker, started=False))
    trial.elapse(HOUR)
    assert [each.id for each in trial.expired(10)] == [job.id]
