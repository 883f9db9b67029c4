"""orphans: running jobs whose worker has ended; a fact that never changes back."""

from __future__ import annotations

from tests.conformance.trying import LEASE, SECOND, Trial, new_id
from unstuck.model.states import State
from unstuck.model.verdict import Answer
from unstuck.rules import judging, rescuing


def test_a_running_job_of_an_ended_worker_is_an_orphan_with_that_worker(trial: Trial) -> None:
    worker, alive = trial.add_worker(host="gone"), trial.add_worker()
    jobs = [trial.start(worker) for _ in range(2)]
    trial.start(alive)
    assert trial.orphans(10) == []
    trial.end_worker(worker, "killed")
    found = sorted(trial.orphans(10), key=lambda pair: pair[0].id)
    assert [job for job, _ in found] == jobs
    assert all((owner.id, owner.host, owner.reason) == (worker, "gone", "killed") for _, owner in found)
    assert all(owner.ended_at is not None for _, owner in found)


def test_a_lapsed_worker_makes_orphans_only_when_it_is_declared_over(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.elapse(2 * LEASE)
    assert trial.orphans(10, include_missing=True) == []
    trial.end_lapsed()
    assert [each for each, _ in trial.orphans(10)] == [job]


def test_at_most_limit_are_answered(trial: Trial) -> None:
    worker = trial.add_worker()
    for _ in range(3):
        trial.start(worker)
    trial.end_worker(worker, "killed")
    assert len(trial.orphans(2)) == 2


def test_a_job_of_a_worker_without_a_row_is_found_where_asked(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.ground.forget_worker(worker)
    assert trial.orphans(10) == []
    assert trial.orphans(10, include_missing=True) == [(job, None)]
    trial.end(rescuing.lost(job, new_id(), None, "no worker"))


def test_a_rescued_orphan_is_one_no_more(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.end_worker(worker, "killed")
    ((orphan, owner),) = trial.orphans(10)
    assert trial.end(rescuing.lost(orphan, new_id(), owner.id, "killed")) is Answer.ACCEPTED
    assert trial.orphans(10, include_missing=True) == []
    assert trial.row(job.id).state is State.SCHEDULED
    trial.elapse(SECOND)
    trial.promote(1)
    assert trial.take(trial.add_worker()).losses == 1


def test_an_orphan_that_its_worker_ended_meanwhile_is_not_rescued(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.end_worker(worker, "killed")
    ((orphan, _),) = trial.orphans(10)
    assert trial.end(judging.succeeded(job, new_id(), worker, "1")) is Answer.ACCEPTED
    assert trial.end(rescuing.lost(orphan, new_id(), worker, "killed")) is Answer.REFUSED
    assert trial.row(job.id).state is State.SUCCEEDED


def test_a_job_runs_for_any_time_under_a_worker_that_lives(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.start(worker)
    for _ in range(12):
        trial.elapse(LEASE - SECOND)
        assert trial.renew([worker], LEASE).alive == {worker}
    assert trial.orphans(10, include_missing=True) == []
    assert not trial.survey().has_orphans
