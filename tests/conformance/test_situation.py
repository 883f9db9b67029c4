"""situation: a job with all that decides about it, in one snapshot."""

from __future__ import annotations

from tests.conformance.trying import HOUR, MINUTE, Trial, new_id
from unstuck.model.notice import Finding, Kind
from unstuck.rules import judging


def test_a_job_that_is_not_there_has_none(trial: Trial) -> None:
    assert trial.situation(new_id()) is None


def test_a_ready_job_with_who_could_run_it_and_who_is_before_it(trial: Trial) -> None:
    knowing, other = trial.add_worker(), trial.add_worker(tasks=("other",))
    gone = trial.add_worker()
    trial.end_worker(gone, "stopped")
    trial.add()
    trial.add(queue="elsewhere")
    trial.add(expires_in_us=MINUTE)
    job_id = trial.add()
    behind = trial.add()
    trial.set_queue("q", paused=True, actor="ann")
    trial.keep_notices([Finding(Kind.UNATTENDED, "q", "too long")], [Kind.UNATTENDED.value])
    seen = trial.situation(job_id)
    assert seen.job == trial.row(job_id)
    assert seen.ahead == 2
    assert seen.knowing == {knowing}
    assert {worker.id for worker in seen.workers} == {knowing, other}
    assert seen.owner is None
    assert (seen.queue.name, seen.queue.paused_by) == ("q", "ann")
    assert trial.seconds_to(seen.queue.paused_at) == 0
    assert [notice.subject for notice in seen.notices] == ["q"]
    trial.elapse(HOUR)
    assert trial.situation(job_id).ahead == 1, "who has expired stands before nobody"
    assert trial.situation(behind).ahead == 2


def test_a_running_job_with_its_owner_ended_or_not(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    assert trial.situation(job.id).owner.id == worker
    trial.end_worker(worker, "lapsed")
    seen = trial.situation(job.id)
    assert (seen.owner.id, seen.owner.reason, seen.workers) == (worker, "lapsed", [])
    trial.end(judging.handed_back(job, new_id(), worker, started=False))


def test_who_knows_a_task_and_what_lags(trial: Trial) -> None:
    worker = trial.add_worker(tasks=("a", "b"))
    trial.add_worker(tasks=("b",))
    known = trial.knowing(["a", "b", "c"])
    assert known["a"] == {worker}
    assert len(known["b"]) == 2
    assert known["c"] == frozenset()
    parked, late = trial.add(task="c"), trial.add(delay_us=MINUTE)
    trial.park([(trial.row(parked), judging.Reason.NO_HANDLER, HOUR)])
    trial.elapse(2 * MINUTE)
    lag = trial.lagging(MINUTE // 2)
    assert lag.parked == {("q", "c"): 1}
    assert list(lag.overdue) == ["q"]
    assert lag.overdue["q"][0] == 1
    assert trial.lagging(MINUTE * 3).overdue == {}
    assert trial.row(late).state.value == "scheduled"
