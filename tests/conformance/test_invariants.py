"""The sentences that are true of every row at every moment, and the constraints that hold them."""

from __future__ import annotations

import pytest

from tests.conformance.trying import BOOM, HOUR, LEASE, SECOND, Trial, new_id
from unstuck.model.states import State
from unstuck.rules import judging

BY_HAND = {
    "a scheduled job without an alarm": "UPDATE {jobs} SET state = 'scheduled', wake_at = NULL",
    "a waiting job without an alarm": "UPDATE {jobs} SET state = 'waiting', wake_at = NULL",
    "a running job without an owner": "UPDATE {jobs} SET state = 'running', worker_id = NULL",
    "a state that there is not": "UPDATE {jobs} SET state = 'stuck'",
    "a worker without lease and end": "UPDATE {workers} SET lease_until = NULL, ended_at = NULL",
    "a job without a state": "UPDATE {jobs} SET state = NULL",
    "a job twice": "INSERT INTO {jobs} SELECT * FROM {jobs}",
}

NOTICED = {
    "owned_but_not_running": "UPDATE {jobs} SET worker_id = id WHERE state = 'ready'",
    "ended_with_alarm": "UPDATE {jobs} SET wake_at = finished_at WHERE state = 'failed'",
    "ended_without_moment": "UPDATE {jobs} SET finished_at = NULL WHERE state = 'failed'",
    "ended_without_retention": "UPDATE {jobs} SET keep_until = NULL WHERE state = 'failed'",
    "running_never_claimed": "UPDATE {jobs} SET claimed_at = NULL WHERE state = 'running'",
    "owner_missing": "DELETE FROM {workers}",
    "attempt_of_no_job": "DELETE FROM {jobs} WHERE state = 'failed'",
    "attempt_beyond_its_fence": "UPDATE {jobs} SET fence = 0 WHERE state = 'failed'",
    "more_failures_than_tries": "UPDATE {jobs} SET failures = 6",
    "more_crashes_than_allowed": "UPDATE {jobs} SET crashes = 4",
    "more_losses_than_allowed": "UPDATE {jobs} SET losses = 11",
}


@pytest.fixture
def peopled(trial: Trial) -> Trial:
    """A store with a job that is ready, one that runs and one that failed."""
    worker = trial.add_worker()
    failed = trial.start(worker)
    trial.write_logs([(failed.id, 1, 1, "a line")])
    trial.end(judging.failed(failed, new_id(), worker, BOOM, 0.5, may_retry=False))
    trial.start(worker)
    trial.add()
    return trial


@pytest.mark.parametrize("colour", ["blocking"], indirect=True)
@pytest.mark.parametrize("what", list(BY_HAND))
def test_the_schema_refuses(peopled: Trial, what: str) -> None:
    with pytest.raises(peopled.ground.refusal()):
        peopled.ground.sql(BY_HAND[what])
    assert peopled.offenders() == {name: [] for name in peopled.offenders()}


@pytest.mark.parametrize("colour", ["blocking"], indirect=True)
@pytest.mark.parametrize("invariant", list(NOTICED))
def test_a_row_that_was_tampered_with_is_named(peopled: Trial, invariant: str) -> None:
    assert peopled.offenders()[invariant] == []
    peopled.ground.sql(NOTICED[invariant])
    try:
        assert peopled.offenders()[invariant]
    finally:
        for table in ("jobs", "attempts", "job_logs", "workers"):
            peopled.ground.sql(f"DELETE FROM {{{table}}}")


def test_nothing_is_wrong_with_an_empty_store(trial: Trial) -> None:
    found = trial.offenders()
    assert found
    assert not any(found.values())


def test_nothing_is_wrong_with_a_store_in_use(peopled: Trial) -> None:
    assert not any(peopled.offenders().values())


def test_every_constraint_knows_every_state(trial: Trial) -> None:
    worker = trial.add_worker()
    seen = set()
    job = trial.start(worker)
    seen.add(trial.row(job.id).state)
    trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5, after_us=SECOND))
    seen.add(trial.row(job.id).state)
    trial.elapse(HOUR)
    trial.promote(1)
    seen.add(trial.row(job.id).state)
    trial.park([(trial.row(job.id), judging.Reason.NO_HANDLER, HOUR)])
    seen.add(trial.row(job.id).state)
    for reason in (judging.Reason.CANCELLED,):
        trial.end(judging.ended_by_request(trial.row(job.id), new_id(), reason))
        seen.add(trial.row(job.id).state)
    trial.renew([worker], LEASE)
    for make in (
        lambda job: judging.succeeded(job, new_id(), worker, None),
        lambda job: judging.failed(job, new_id(), worker, BOOM, 0.5, may_retry=False),
    ):
        trial.revive([job.id])
        trial.end(make(trial.take(worker)))
        seen.add(trial.row(job.id).state)
    assert seen == set(State)
