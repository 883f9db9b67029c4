"""survey, unhandled, waiting_unhandled, park and wake: jobs that nobody can take are in plain sight."""

from __future__ import annotations

import pytest

from tests.conformance.trying import HOUR, MINUTE, SECOND, Trial, new_job, new_worker
from unstuck.model.errors import IllegalTransition
from unstuck.model.notice import Finding, Kind
from unstuck.model.states import Reason, State


def test_parking_moves_a_ready_job_to_waiting_with_an_alarm(trial: Trial) -> None:
    job_id = trial.add(priority=3)
    before = trial.row(job_id)
    assert trial.park([(before, Reason.NO_HANDLER, HOUR)]) == 1
    row = trial.row(job_id)
    assert (row.state, row.reason, row.line, row.fence) == (
        State.WAITING,
        Reason.NO_HANDLER,
        before.line,
        before.fence,
    )
    assert trial.seconds_to(row.wake_at) == 3600


def test_a_waiting_job_can_be_parked_anew(trial: Trial) -> None:
    job_id = trial.add()
    trial.park([(trial.row(job_id), Reason.NO_HANDLER, MINUTE)])
    assert trial.park([(trial.row(job_id), Reason.NO_HANDLER, HOUR)]) == 1
    assert trial.seconds_to(trial.row(job_id).wake_at) == 3600


def test_a_job_that_moved_since_it_was_read_is_not_parked(trial: Trial) -> None:
    worker, job_id = trial.add_worker(), trial.add()
    stale = trial.row(job_id)
    trial.take(worker)
    other = trial.add()
    assert trial.park([(stale, Reason.NO_HANDLER, HOUR), (trial.row(other), Reason.NO_HANDLER, HOUR)]) == 1
    assert trial.row(job_id).state is State.RUNNING
    assert trial.park([]) == 0


def test_a_running_job_cannot_be_parked(trial: Trial) -> None:
    job = trial.start(trial.add_worker())
    with pytest.raises(IllegalTransition):
        trial.park([(trial.row(job.id), Reason.NO_HANDLER, HOUR)])


def test_waking_makes_a_waiting_job_ready_in_its_old_place(trial: Trial) -> None:
    job_id = trial.add(expires_in_us=HOUR)
    line = trial.row(job_id).line
    trial.park([(trial.row(job_id), Reason.NO_HANDLER, MINUTE)])
    assert trial.wake([trial.row(job_id)]) == 1
    row = trial.row(job_id)
    assert (row.state, row.line, row.wake_at) == (State.READY, line, row.expires_at)
    assert trial.take(trial.add_worker()).id == job_id


def test_a_job_that_moved_since_it_was_read_is_not_woken(trial: Trial) -> None:
    job_id = trial.add()
    trial.park([(trial.row(job_id), Reason.NO_HANDLER, MINUTE)])
    stale = trial.row(job_id)
    trial.wake([stale])
    trial.take(trial.add_worker())
    assert trial.wake([stale]) == 0
    assert trial.row(job_id).state is State.RUNNING
    assert trial.wake([]) == 0


def test_a_parked_job_is_not_claimed(trial: Trial) -> None:
    worker, job_id = trial.add_worker(), trial.add()
    trial.park([(trial.row(job_id), Reason.NO_HANDLER, MINUTE)])
    trial.elapse(2 * MINUTE)
    assert trial.claim(worker, "q", ["t"], 5) == []


def test_unhandled_are_old_ready_jobs_whose_task_no_living_worker_knows(trial: Trial) -> None:
    gone = trial.add_worker(tasks=("left",))
    trial.end_worker(gone, "stopped")
    trial.add_worker(lease_us=10 * HOUR, tasks=("t",))
    strange, left = trial.add(task="strange"), trial.add(task="left")
    trial.add()
    trial.add(task="strange", queue="elsewhere")
    trial.elapse(HOUR)
    trial.add(task="strange")
    assert sorted(job.id for job in trial.unhandled("q", MINUTE, 10)) == sorted([strange, left])
    assert len(trial.unhandled("q", MINUTE, 1)) == 1
    assert trial.unhandled("q", 2 * HOUR, 10) == []


def test_waiting_unhandled_are_those_whose_alarm_has_passed_and_whether_they_are_known_now(
    trial: Trial,
) -> None:
    ids = {task: trial.add(task=task) for task in ("strange", "known", "later")}
    # The worker is there before: registering would wake its jobs by itself.
    trial.add_worker(lease_us=10 * HOUR, tasks=("known",))
    for task, job_id in ids.items():
        trial.park([(trial.row(job_id), Reason.NO_HANDLER, 2 * HOUR if task == "later" else MINUTE)])
    other = trial.add()
    trial.park([(trial.row(other), Reason.SUSPECT, MINUTE)])
    assert trial.waiting_unhandled(10) == []
    trial.elapse(HOUR)
    found = {job.id: known for job, known in trial.waiting_unhandled(10)}
    assert found == {ids["strange"]: False, ids["known"]: True}
    assert len(trial.waiting_unhandled(1)) == 1


def test_who_registers_again_because_an_answer_was_lost_wakes_what_waits(trial: Trial) -> None:
    worker = new_worker()
    trial.register(worker)
    job_id = trial.add()
    trial.park([(trial.row(job_id), Reason.NO_HANDLER, HOUR)])
    trial.register(worker)
    assert trial.row(job_id).state is State.READY


def test_the_survey_shows_queues_with_due_ready_jobs(trial: Trial) -> None:
    trial.add(queue="old", task="a")
    trial.elapse(HOUR)
    trial.insert([new_job(queue="old", task="b"), new_job(queue="young")])
    trial.add(queue="later", delay_us=HOUR)
    trial.set_queue("young", paused=True)
    heads = {head.queue: head for head in trial.survey().heads}
    assert sorted(heads) == ["old", "young"]
    slack = trial.ground.slack_seconds * SECOND
    assert heads["old"].oldest_us == pytest.approx(HOUR, abs=slack)
    assert heads["young"].oldest_us == pytest.approx(0, abs=slack)
    assert (heads["old"].is_paused, heads["young"].is_paused) == (False, True)
    assert "a" in heads["old"].tasks
    assert heads["young"].tasks == {"t"}


def test_the_survey_shows_workers_tasks_and_notices(trial: Trial) -> None:
    living = trial.add_worker(tasks=("t", "u"))
    trial.end_worker(trial.add_worker(tasks=("gone",)), "stopped")
    trial.keep_notices([Finding(Kind.NO_WORKER, "q", "nobody")], [Kind.NO_WORKER])
    survey = trial.survey()
    assert [worker.id for worker in survey.workers] == [living]
    assert survey.known_tasks == {"t", "u"}
    assert [notice.subject for notice in survey.notices] == ["q"]
    now_us = trial.now_us()
    assert survey.now_us == pytest.approx(now_us, abs=trial.ground.slack_seconds * SECOND)


def test_the_survey_of_an_empty_store_is_empty(trial: Trial) -> None:
    survey = trial.survey()
    assert (list(survey.heads), list(survey.workers), list(survey.notices)) == ([], [], [])
    assert survey.known_tasks == frozenset()


def test_who_registers_reads_no_further_than_such_alarms_lie(trial: Trial) -> None:
    near, far = trial.add(), trial.add()
    trial.park([(trial.row(near), Reason.NO_HANDLER, HOUR), (trial.row(far), Reason.NO_HANDLER, 3 * HOUR)])
    trial.register(new_worker())
    assert (trial.row(near).state, trial.row(far).state) == (State.READY, State.WAITING)
