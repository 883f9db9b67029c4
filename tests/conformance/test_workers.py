"""Workers: rows that begin once and end once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.conformance.trying import HOUR, LEASE, MINUTE, SECOND, Trial, new_id, new_worker
from unstuck.model.states import Reason, State


def test_a_registered_worker_has_a_full_lease(trial: Trial) -> None:
    supervisor = trial.add_worker(kind="supervisor")
    asked = new_worker(
        supervisor_id=supervisor, host="hôst", pid=4711, queues=("a", "b"), tasks=("t", "u"), version="1.2"
    )
    now_us = trial.register(asked)
    assert now_us == pytest.approx(trial.now_us(), abs=trial.ground.slack_seconds * SECOND)
    row = trial.worker(asked.id)
    for name in ("id", "kind", "supervisor_id", "host", "pid", "lease_us", "queues", "version"):
        assert getattr(row, name) == getattr(asked, name), name
    assert (row.ended_at, row.reason, row.draining_at, row.leaving_at, row.stalled_at) == (None,) * 5
    assert trial.seconds_to(row.started_at) == 0
    assert trial.seconds_to(row.lease_until) == LEASE / SECOND
    assert row.lease_left_us == pytest.approx(LEASE, abs=trial.ground.slack_seconds * SECOND)
    assert (row.running, row.late_endings, dict(row.report)) == (0, 0, {})


def test_registering_wakes_jobs_that_waited_for_its_tasks(trial: Trial) -> None:
    known, unknown = trial.add(task="new", expires_in_us=HOUR), trial.add(task="other")
    for job_id in (known, unknown):
        trial.park([(trial.row(job_id), Reason.NO_HANDLER, HOUR)])
    trial.add_worker(tasks=("t", "new"))
    row = trial.row(known)
    assert (row.state, row.wake_at) == (State.READY, row.expires_at)
    assert trial.row(unknown).state is State.WAITING


def test_renewing_extends_the_lease_from_now(trial: Trial) -> None:
    worker, other = trial.add_worker(), trial.add_worker()
    trial.elapse(MINUTE)
    renewed = trial.renew([worker], LEASE)
    assert renewed.alive == {worker}
    now_us = trial.now_us()
    assert renewed.now_us == pytest.approx(now_us, abs=trial.ground.slack_seconds * SECOND)
    assert trial.seconds_to(trial.worker(worker).lease_until) == LEASE / SECOND
    assert trial.seconds_to(trial.worker(other).lease_until) == (LEASE - MINUTE) / SECOND


def test_a_lease_that_had_run_out_is_renewed_all_the_same(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.elapse(2 * LEASE)
    assert trial.renew([worker], LEASE).alive == {worker}
    assert trial.end_lapsed() == []


def test_only_workers_that_have_not_ended_are_renewed(trial: Trial) -> None:
    worker, ended = trial.add_worker(), trial.add_worker()
    trial.end_worker(ended, "stopped")
    before = trial.worker(ended)
    assert trial.renew([worker, ended, new_id()], LEASE).alive == {worker}
    assert trial.worker(ended) == before
    assert trial.renew([], LEASE).alive == frozenset()


def test_a_renewal_stores_reports_of_those_that_have_one(trial: Trial) -> None:
    one, two = trial.add_worker(), trial.add_worker()
    report = {"free": 3, "loops": {"claiming": 0.5, "ü": None}}
    trial.renew([one, two], LEASE, {one: json.dumps(report)})
    assert [dict(trial.worker(each).report) for each in (one, two)] == [report, {}]
    trial.renew([one], LEASE)
    assert dict(trial.worker(one).report) == report


def test_a_worker_ends_once_and_for_ever(trial: Trial) -> None:
    worker = trial.add_worker()
    assert trial.end_worker(worker, "stopped") is True
    before = trial.worker(worker)
    assert before.reason == "stopped"
    assert trial.seconds_to(before.ended_at) == 0
    trial.elapse(MINUTE)
    ended_before = trial.worker(worker)
    assert trial.end_worker(worker, "again") is False
    assert trial.worker(worker) == ended_before
    assert trial.end_worker(new_id(), "never was") is False


def test_ending_a_worker_leaves_its_jobs_for_the_sweep(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.end_worker(worker, "stopped")
    assert (trial.row(job.id).state, trial.row(job.id).worker_id) == (State.RUNNING, worker)


def test_workers_whose_lease_is_over_are_ended_once(trial: Trial) -> None:
    late, alive = trial.add_worker(), trial.add_worker(lease_us=10 * HOUR)
    trial.elapse(LEASE + SECOND)
    (ended,) = trial.end_lapsed()
    assert ended.id == late
    assert ended.ended_at is not None
    assert trial.worker(late).ended_at == ended.ended_at
    assert trial.worker(late).reason
    assert trial.worker(alive).ended_at is None
    assert trial.end_lapsed() == []


def test_a_worker_declared_over_stays_so(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.elapse(LEASE + SECOND)
    trial.end_lapsed()
    assert trial.renew([worker], LEASE).alive == frozenset()
    assert trial.end_worker(worker, "late") is False
    assert trial.drain(worker) is False


def test_a_lease_that_runs_is_not_over(trial: Trial) -> None:
    trial.add_worker()
    trial.elapse(LEASE - MINUTE)
    assert trial.end_lapsed() == []


def test_only_leases_that_were_over_when_the_caller_looked_are_ended(trial: Trial) -> None:
    early, late = trial.add_worker(lease_us=LEASE), trial.add_worker(lease_us=3 * LEASE)
    trial.elapse(2 * LEASE)
    seen_us = trial.now_us()
    trial.elapse(2 * LEASE)
    assert [worker.id for worker in trial.end_lapsed(seen_us)] == [early]
    assert trial.worker(late).ended_at is None
    assert [worker.id for worker in trial.end_lapsed(trial.now_us())] == [late]


def test_a_lease_further_ahead_than_its_own_length_is_pulled_in(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=LEASE)
    trial.renew([worker], 10 * HOUR)
    assert trial.end_lapsed() == []
    assert trial.worker(worker).lease_left_us <= LEASE
    trial.elapse(LEASE + SECOND)
    assert [each.id for each in trial.end_lapsed()] == [worker]


def test_draining_is_marked_and_kept(trial: Trial) -> None:
    worker = trial.add_worker()
    assert trial.drain(worker) is True
    row = trial.worker(worker)
    assert trial.seconds_to(row.draining_at) == 0
    assert row.leaving_at is None
    assert trial.drain(new_id()) is False


def test_whoever_is_to_leave_drains_too_and_both_moments_are_kept(trial: Trial) -> None:
    quiet, other = trial.add_worker(), trial.add_worker()
    trial.drain(quiet)
    before = trial.worker(quiet).draining_at
    trial.elapse(SECOND)
    for worker in (quiet, other):
        assert trial.drain(worker, leave=True) is True
    leaving = trial.worker(quiet)
    assert leaving.draining_at == before
    assert trial.seconds_to(leaving.leaving_at) == 0
    assert trial.worker(other).draining_at == trial.worker(other).leaving_at
    trial.elapse(SECOND)
    assert trial.drain(quiet) is True
    assert trial.drain(quiet, leave=True) is True
    again = trial.worker(quiet)
    assert again == replace(leaving, lease_left_us=again.lease_left_us)


def test_a_stalled_child_is_marked_since_when_and_marked_well_again(trial: Trial) -> None:
    worker = trial.add_worker()
    assert trial.mark_stalled(worker, True) is True
    trial.elapse(MINUTE)
    trial.mark_stalled(worker, True)
    assert trial.seconds_to(trial.worker(worker).stalled_at) == -60
    assert trial.mark_stalled(worker, False) is True
    assert trial.worker(worker).stalled_at is None
    assert trial.mark_stalled(new_id(), True) is False


def test_the_living_are_listed_first_newest_first(trial: Trial) -> None:
    ids = []
    for _ in range(5):
        ids.append(trial.add_worker())
        trial.elapse(SECOND)
    for ended in (ids[1], ids[4]):
        trial.end_worker(ended, "stopped")
    assert [worker.id for worker in trial.workers()] == [ids[3], ids[2], ids[0]]
    everybody = [worker.id for worker in trial.workers(include_ended=True)]
    assert everybody == [ids[3], ids[2], ids[0], ids[4], ids[1]]


def test_a_worker_is_listed_with_how_many_jobs_it_runs(trial: Trial) -> None:
    worker, other = trial.add_worker(), trial.add_worker()
    for _ in range(3):
        trial.start(worker)
    trial.start(other)
    assert [trial.worker(each).running for each in (worker, other)] == [3, 1]


def test_owned_are_all_running_attempts_of_a_worker(trial: Trial) -> None:
    worker, other = trial.add_worker(), trial.add_worker()
    mine = [trial.start(worker, timeout_us=HOUR) for _ in range(3)]
    trial.start(other)
    trial.add()
    assert sorted(trial.owned(worker), key=lambda job: job.id) == mine
    assert trial.owned(new_id()) == []
