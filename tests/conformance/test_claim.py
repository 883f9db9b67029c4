"""claim: one atomic statement that takes ready jobs in line for a living worker."""

from __future__ import annotations

import pytest

from tests.conformance.trying import BOOM, HOUR, LEASE, MINUTE, SECOND, Trial, new_id, new_job
from unstuck.model.states import State
from unstuck.rules import judging
from unstuck.storage.protocol import Cursor


def test_a_claimed_job_runs_with_owner_fence_and_moment(trial: Trial) -> None:
    worker, job_id = trial.add_worker(), trial.add()
    claimed = trial.take(worker)
    row = trial.row(job_id)
    assert (row.state, row.worker_id, row.fence) == (State.RUNNING, worker, 1)
    assert claimed.fence == row.fence
    assert trial.seconds_to(row.claimed_at) == 0
    assert row.wake_at is None


def test_the_timeout_is_the_alarm_of_a_running_job(trial: Trial) -> None:
    worker, job_id = trial.add_worker(), trial.add(timeout_us=HOUR, expires_in_us=MINUTE)
    trial.take(worker)
    assert trial.seconds_to(trial.row(job_id).wake_at) == 3600


def test_a_claim_brings_all_that_a_worker_needs(trial: Trial) -> None:
    worker = trial.add_worker()
    job_id = trial.add(args='{"a":[1,"ü"]}', timeout_us=SECOND, then=(new_job(),), priority=2)
    claimed, row = trial.take(worker), trial.row(job_id)
    for name in claimed.__slots__:
        assert getattr(claimed, name) == getattr(row, name), name
    assert claimed.attempt == 1


def test_jobs_are_taken_in_order_of_line_then_id_up_to_the_limit(trial: Trial) -> None:
    worker = trial.add_worker()
    jobs = [new_job(priority=n % 3) for n in range(12)]
    trial.insert(list(reversed(jobs)))
    rows = sorted(trial.row(job.id).line for job in jobs)
    first, rest = trial.claim(worker, "q", ["t"], 5), trial.claim(worker, "q", ["t"], 100)
    taken = [(job.line, job.id) for job in (*first, *rest)]
    assert len(first) == 5
    assert taken == sorted(taken)
    assert [line for line, _ in taken] == rows


def test_a_larger_priority_runs_first(trial: Trial) -> None:
    worker = trial.add_worker()
    low, high = trial.add(priority=-1), trial.add(priority=1)
    assert [job.id for job in trial.claim(worker, "q", ["t"], 2)] == [high, low]


def test_a_head_start_is_caught_up_with(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=10 * HOUR)
    old = trial.add()
    trial.elapse(11 * MINUTE)
    urgent = trial.add(priority=1)
    assert [job.id for job in trial.claim(worker, "q", ["t"], 2)] == [old, urgent]


def test_only_jobs_of_the_queue_are_taken(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.add(queue="other")
    assert trial.claim(worker, "q", ["t"], 5) == []


def test_only_tasks_that_the_worker_names_are_taken(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.add(task="unknown")
    known = [trial.add(task="a"), trial.add(task="b")]
    assert [job.id for job in trial.claim(worker, "q", ["a", "b"], 5)] == known
    assert trial.claim(worker, "q", [], 5) == []


def test_a_running_job_is_not_taken_again(trial: Trial) -> None:
    one, other = trial.add_worker(), trial.add_worker()
    trial.add()
    trial.take(one)
    assert trial.claim(other, "q", ["t"], 5) == []


def test_a_scheduled_job_is_not_taken_before_it_is_promoted(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=10 * HOUR)
    trial.add(delay_us=MINUTE)
    trial.elapse(HOUR)
    assert trial.claim(worker, "q", ["t"], 5) == []
    trial.promote(10)
    assert len(trial.claim(worker, "q", ["t"], 5)) == 1


def test_a_worker_without_a_row_takes_nothing(trial: Trial) -> None:
    trial.add()
    assert trial.claim(new_id(), "q", ["t"], 5) == []


def test_a_worker_that_has_ended_takes_nothing(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.add()
    trial.end_worker(worker, "stopped")
    assert trial.claim(worker, "q", ["t"], 5) == []


def test_a_draining_worker_takes_nothing(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.add()
    trial.drain(worker)
    assert trial.claim(worker, "q", ["t"], 5) == []


def test_a_worker_whose_lease_has_run_out_takes_nothing_until_it_is_renewed(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.add()
    trial.elapse(LEASE + SECOND)
    assert trial.claim(worker, "q", ["t"], 5) == []
    trial.renew([worker], LEASE)
    assert len(trial.claim(worker, "q", ["t"], 5)) == 1


def test_nothing_is_taken_from_a_paused_queue(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.add()
    trial.add(queue="other")
    trial.set_queue("q", paused=True)
    assert trial.claim(worker, "q", ["t"], 5) == []
    assert len(trial.claim(worker, "other", ["t"], 5)) == 1
    trial.set_queue("q", paused=False)
    assert len(trial.claim(worker, "q", ["t"], 5)) == 1


def test_a_job_whose_expiry_has_passed_is_not_taken(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=10 * HOUR)
    trial.add(expires_in_us=MINUTE)
    late = trial.add(expires_in_us=2 * HOUR)
    trial.elapse(HOUR)
    assert [job.id for job in trial.claim(worker, "q", ["t"], 5)] == [late]


def test_after_starts_behind_a_place_in_line(trial: Trial) -> None:
    worker = trial.add_worker()
    jobs = [new_job() for _ in range(6)]
    trial.insert(jobs)  # in one step, hence all with one line
    rows = [trial.row(job.id) for job in jobs]
    assert len({row.line for row in rows}) == 1
    cursor = Cursor(rows[3].line, rows[3].id)
    assert [job.id for job in trial.claim(worker, "q", ["t"], 9, cursor)] == [rows[4].id, rows[5].id]
    assert trial.claim(worker, "q", ["t"], 9, cursor) == []
    assert [job.id for job in trial.claim(worker, "q", ["t"], 9)] == [row.id for row in rows[:4]]


def test_after_passes_over_lower_lines_whatever_their_ids(trial: Trial) -> None:
    worker = trial.add_worker()
    low, middle, high = (trial.add(priority=priority) for priority in (2, 1, 0))
    row = trial.row(middle)
    assert [job.id for job in trial.claim(worker, "q", ["t"], 9, Cursor(row.line, row.id))] == [high]
    assert trial.row(low).state is State.READY


def test_the_fence_rises_at_each_claim_and_never_falls(trial: Trial) -> None:
    worker = trial.add_worker()
    job_id = trial.add()
    for fence in (1, 2, 3):
        claimed = trial.take(worker)
        assert claimed.fence == fence
        trial.end(judging.handed_back(claimed, new_id(), worker, started=False))
        assert trial.row(job_id).fence == fence


def test_the_attempt_counts_what_failed_and_not_what_was_handed_back(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=10 * HOUR)
    trial.add()
    trial.end(judging.handed_back(trial.take(worker), new_id(), worker, started=True))
    trial.end(judging.failed(trial.take(worker), new_id(), worker, BOOM, 0.5))
    trial.elapse(MINUTE)
    trial.promote(1)
    claimed = trial.take(worker)
    assert (claimed.attempt, claimed.failures, claimed.fence) == (2, 1, 3)


def test_a_limit_of_one_takes_one(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.insert([new_job() for _ in range(3)])
    for _ in range(3):
        assert len(trial.claim(worker, "q", ["t"], 1)) == 1
    assert trial.claim(worker, "q", ["t"], 1) == []


@pytest.mark.parametrize("size", [500])
def test_many_jobs_are_taken_at_once_each_once(trial: Trial, size: int) -> None:
    worker = trial.add_worker()
    jobs = [new_job() for _ in range(size + 100)]
    trial.insert(jobs)
    taken = [trial.claim(worker, "q", ["t"], size), trial.claim(worker, "q", ["t"], size)]
    assert [len(each) for each in taken] == [size, 100]
    assert sorted(job.id for each in taken for job in each) == sorted(job.id for job in jobs)


def test_until_ends_at_a_place_in_line(trial: Trial) -> None:
    worker = trial.add_worker()
    jobs = [new_job() for _ in range(6)]
    trial.insert(jobs)
    rows = [trial.row(job.id) for job in jobs]
    first, last = (Cursor(rows[n].line, rows[n].id) for n in (1, 4))
    assert [job.id for job in trial.claim(worker, "q", ["t"], 9, first, last)] == [
        row.id for row in rows[2:5]
    ]
    assert trial.claim(worker, "q", ["t"], 9, first, last) == []
    assert [job.id for job in trial.claim(worker, "q", ["t"], 9)] == [rows[0].id, rows[1].id, rows[5].id]


def test_reach_tells_the_place_of_the_job_that_stands_so_many_behind(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.add(delay_us=MINUTE)
    trial.add(queue="other")
    places = [(row.line, row.id) for row in (trial.row(trial.add(task="unknown")) for _ in range(3))]
    places += [(row.line, row.id) for row in (trial.row(trial.add()) for _ in range(2))]
    places = sorted(places)
    assert trial.reach("q", None, 1) == Cursor(*places[0])
    assert trial.reach("q", None, 5) == Cursor(*places[4])
    assert trial.reach("q", None, 6) is None
    assert trial.reach("q", Cursor(*places[1]), 2) == Cursor(*places[3])
    assert trial.reach("q", Cursor(*places[1]), 4) is None
    trial.claim(worker, "q", ["t"], 2)
    assert trial.reach("q", None, 4) is None, "what runs is not in line"
