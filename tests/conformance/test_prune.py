"""prune: what is no longer kept goes, in small steps, with everything that belongs to it."""

from __future__ import annotations

from dataclasses import replace

from tests.conformance.trying import BOOM, DAY, HOUR, SECOND, Trial, new_id
from unstuck.model.job import Policy
from unstuck.model.states import Reason, State
from unstuck.rules import judging

SHORT = Policy(keep_succeeded_us=HOUR, keep_other_us=2 * HOUR)


def ended(trial: Trial, **options: object) -> object:
    worker = trial.add_worker()
    job = trial.start(worker, policy=SHORT, **options)
    trial.write_logs([(job.id, job.fence, 1, "a line")])
    trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5, may_retry=False))
    return job.id


def test_a_job_is_kept_until_its_retention_is_over(trial: Trial) -> None:
    job_id = ended(trial)
    trial.elapse(HOUR)
    assert trial.prune(10) == 0
    trial.elapse(HOUR + SECOND)
    assert trial.prune(10) == 1
    assert trial.get(job_id) is None


def test_attempts_and_logs_go_with_their_job(trial: Trial) -> None:
    job_id, kept = ended(trial), trial.start(trial.add_worker())
    trial.write_logs([(kept.id, kept.fence, 1, "kept")])
    trial.elapse(3 * HOUR)
    trial.prune(10)
    assert (trial.attempts(job_id), trial.logs(job_id)) == ([], [])
    assert len(trial.logs(kept.id)) == 1


def test_unfinished_jobs_are_never_pruned(trial: Trial) -> None:
    worker = trial.add_worker()
    running = trial.start(worker)
    ids = [running.id, trial.add(), trial.add(delay_us=HOUR)]
    waiting = trial.add()
    trial.park([(trial.row(waiting), Reason.NO_HANDLER, HOUR)])
    trial.elapse(1000 * DAY)
    assert trial.prune(100) == 0
    assert all(trial.get(job_id) is not None for job_id in (*ids, waiting))


def test_at_most_limit_go_at_once(trial: Trial) -> None:
    for _ in range(5):
        ended(trial)
    trial.elapse(3 * HOUR)
    assert [trial.prune(2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_deleted_job_goes_with_the_next_pruning(trial: Trial) -> None:
    job_id = trial.add()
    trial.end(judging.ended_by_request(trial.row(job_id), new_id(), Reason.DELETED))
    trial.elapse(SECOND)
    assert trial.prune(10) == 1
    assert trial.get(job_id) is None


def test_a_forgotten_job_goes_with_the_next_pruning_and_nothing_else_about_it_changes(trial: Trial) -> None:
    job_id, kept = ended(trial), ended(trial)
    before = trial.row(job_id)
    assert trial.forget([job_id]) == [job_id]
    row = trial.row(job_id)
    assert trial.seconds_to(row.keep_until) == 0
    assert replace(row, keep_until=before.keep_until) == before
    trial.elapse(SECOND)
    assert trial.prune(10) == 1
    assert (trial.get(job_id), trial.attempts(job_id), trial.logs(job_id)) == (None, [], [])
    assert trial.row(kept).state is State.FAILED


def test_only_ended_jobs_are_forgotten(trial: Trial) -> None:
    worker = trial.add_worker()
    running, done = trial.start(worker), trial.start(worker)
    trial.end(judging.succeeded(done, new_id(), worker, None))
    failed, waiting, scheduled, ready = ended(trial), trial.add(), trial.add(delay_us=HOUR), trial.add()
    trial.park([(trial.row(waiting), Reason.NO_HANDLER, HOUR)])
    unfinished = [running.id, waiting, scheduled, ready]
    before = [trial.row(job_id) for job_id in unfinished]
    assert trial.forget([failed, *unfinished, new_id(), done.id, failed]) == [failed, done.id]
    assert trial.forget([]) == []
    assert [trial.row(job_id) for job_id in unfinished] == before


def test_a_forgotten_job_that_is_revived_is_not_pruned(trial: Trial) -> None:
    job_id = ended(trial)
    trial.forget([job_id])
    trial.revive([job_id])
    trial.elapse(HOUR)
    assert trial.prune(10) == 0
    assert trial.row(job_id).state is State.READY


def test_a_revived_job_is_not_pruned(trial: Trial) -> None:
    job_id = ended(trial)
    trial.revive([job_id])
    trial.elapse(3 * HOUR)
    assert trial.prune(10) == 0
    assert trial.row(job_id).state is State.READY


def test_workers_ended_for_more_than_a_day_that_own_nothing_go(trial: Trial) -> None:
    gone, owner, living = trial.add_worker(), trial.add_worker(), trial.add_worker()
    job = trial.start(owner)
    for worker in (gone, owner):
        trial.end_worker(worker, "stopped")
    trial.elapse(DAY - HOUR)
    trial.prune(10)
    assert len(trial.workers(include_ended=True)) == 3
    trial.elapse(2 * HOUR)
    assert trial.prune(10) == 0
    assert sorted(worker.id for worker in trial.workers(include_ended=True)) == sorted([owner, living])
    assert [each for each, _ in trial.orphans(10)] == [job]


def test_an_id_can_be_used_again_after_pruning(trial: Trial) -> None:
    job_id = ended(trial)
    trial.elapse(3 * HOUR)
    trial.prune(10)
    assert trial.add(id=job_id, args="{}") == job_id
    assert trial.row(job_id).fence == 0
