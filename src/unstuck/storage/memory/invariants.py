"""The sentences that are true of every row at every moment, and the rows of which they are not.

The first part can never break, whatever happens: a row that breaks one was written by a bug or by hand.
The second part breaks for a while when somebody dies, and says so: "recovering" within the bound, the
others beyond it, and only where a living worker has been there long enough to have acted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from unstuck.model.job import Job
from unstuck.model.moments import moment
from unstuck.model.states import FINAL, State
from unstuck.model.worker import Worker
from unstuck.storage.memory.tables import MemoryTables, by_id

SHOWN = 20
SWEEPS_AND_POLL = timedelta(seconds=11)
BOUND = timedelta(seconds=30) + SWEEPS_AND_POLL
HORIZON = timedelta(days=11 * 366)
CLOCK_STEP = timedelta(minutes=1)


def offenders(tables: MemoryTables) -> dict[str, list[str]]:
    """The snapshot invariants, each with the ids that break it (at most 20)."""
    now = moment(tables.clock())
    broken = _of_rows(tables) | _of_time(tables, now)
    return {name: [str(each) for each in list(ids)[:SHOWN]] for name, ids in broken.items()}


def _of_rows(tables: MemoryTables) -> dict[str, Iterable[UUID]]:
    jobs = by_id(tables.jobs.values())

    def those(is_broken: Callable[[Job], bool]) -> list[UUID]:
        return [job.id for job in jobs if is_broken(job)]

    return {
        "unfinished_without_owner_or_alarm": those(lambda job: not _is_attended(job)),
        "owned_but_not_running": those(lambda job: bool(job.worker_id) and job.state is not State.RUNNING),
        "ended_with_alarm": those(lambda job: job.is_final and job.wake_at is not None),
        "ended_without_moment": those(lambda job: job.is_final is (job.finished_at is None)),
        "ended_without_retention": those(lambda job: job.is_final is (job.keep_until is None)),
        "running_never_claimed": those(
            lambda job: job.state is State.RUNNING and (job.fence < 1 or job.claimed_at is None)
        ),
        "more_failures_than_tries": those(lambda job: job.failures > job.policy.tries),
        "more_crashes_than_allowed": those(lambda job: job.crashes > job.policy.crash_limit),
        "more_losses_than_allowed": those(lambda job: job.losses > job.policy.loss_limit),
        "ended_before_it_began": those(
            lambda job: job.finished_at is not None and job.finished_at + CLOCK_STEP < job.created_at
        ),
        "worker_without_lease_or_end": [
            worker.id for worker in tables.living() if worker.lease_until is None
        ],
        "attempt_beyond_its_fence": [
            job_id
            for job_id, fence in sorted(tables.attempts)
            if job_id in tables.jobs and fence > tables.jobs[job_id].fence
        ],
        "attempt_of_no_job": [key[0] for key in sorted(tables.attempts) if key[0] not in tables.jobs],
        "log_of_no_job": [key[0] for key in sorted(tables.logs) if key[0] not in tables.jobs],
    }


def _of_time(tables: MemoryTables, now: datetime) -> dict[str, Iterable[UUID]]:
    is_manned = any(_runs(worker, now) and worker.started_at < now - BOUND for worker in tables.living())
    owned = [
        (job, tables.workers.get(job.worker_id))
        for job in by_id(tables.jobs.values())
        if job.worker_id is not None
    ]
    gone = [(job, worker) for job, worker in owned if worker is not None and not _runs(worker, now)]
    late = [job.id for job, worker in gone if is_manned and _is_long_over(worker, worker.ended_at, now)]
    return {
        "owner_missing": [job.id for job, worker in owned if worker is None],
        "owner_ended_and_not_recovered": late,
        "recovering": [job.id for job, _ in gone if job.id not in late],
        "alarm_overdue": [
            job.id
            for job in by_id(tables.jobs.values())
            if is_manned
            and job.state in (State.SCHEDULED, State.WAITING)
            and job.wake_at is not None
            and job.wake_at < now - BOUND
        ],
        "alarm_beyond_horizon": [
            job.id
            for job in by_id(tables.jobs.values())
            if job.wake_at is not None and job.wake_at > now + HORIZON
        ],
        "lease_longer_than_allowed": [
            worker.id
            for worker in tables.living()
            if worker.lease_until is not None
            and worker.lease_until > now + timedelta(microseconds=worker.lease_us) + SWEEPS_AND_POLL
        ],
        "lapsed_worker_not_ended": [
            worker.id
            for worker in tables.living()
            if is_manned and _is_long_over(worker, worker.lease_until, now)
        ],
    }


def _is_attended(job: Job) -> bool:
    match job.state:
        case State.RUNNING:
            return job.worker_id is not None
        case State.SCHEDULED | State.WAITING:
            return job.wake_at is not None
        case state:
            return state in FINAL or state is State.READY


def _runs(worker: Worker, now: datetime) -> bool:
    return worker.ended_at is None and worker.lease_until is not None and worker.lease_until > now


def _is_long_over(worker: Worker, since: datetime | None, now: datetime) -> bool:
    lease = timedelta(microseconds=worker.lease_us)
    return since is not None and since < now - lease - SWEEPS_AND_POLL
