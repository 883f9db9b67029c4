"""The sentences that are true of every row at every moment, and the rows of which they are not.

The first part can never break, whatever happens: a row that breaks one was written by a bug or by hand.
The second part breaks for a while when somebody dies, and says so: "recovering" within the bound, the
others beyond it, and only where a living worker has been there long enough to have acted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from unstuck.model.invariant import SCANS, Bounds, Invariant, Portion
from unstuck.model.job import Job
from unstuck.model.moments import moment
from unstuck.model.states import FINAL, State
from unstuck.model.worker import Worker
from unstuck.storage.memory.tables import MemoryTables, by_id

SHOWN = 20
HORIZON = timedelta(days=11 * 366)
CLOCK_STEP = timedelta(minutes=1)
CODEC = 1

Broken = Mapping[Invariant, Iterable[UUID]]


def inspect(tables: MemoryTables, scan: str, bounds: Bounds) -> Portion:
    """A whole scan."""
    look: dict[str, Callable[[], Broken]] = {
        "jobs": lambda: _of_jobs(tables),
        "attempts": lambda: _of_attempts(tables),
        "logs": lambda: {
            Invariant.LOG_OF_NO_JOB: dict.fromkeys(
                key[0] for key in sorted(tables.logs) if key[0] not in tables.jobs
            )
        },
        "owners": lambda: _of_owners(tables, bounds),
        "alarms": lambda: _of_alarms(tables, bounds),
        "workers": lambda: _of_workers(tables, bounds),
    }
    broken = look[scan]()
    return Portion([(invariant, str(each)) for invariant in SCANS[scan] for each in broken[invariant]])


def offenders(tables: MemoryTables, bounds: Bounds) -> dict[str, list[str]]:
    """The snapshot invariants, each with the ids that break it (at most 20)."""
    broken: dict[str, list[str]] = {invariant.value: [] for each in SCANS.values() for invariant in each}
    for scan in SCANS:
        for invariant, id in inspect(tables, scan, bounds).found:
            if len(broken[invariant.value]) < SHOWN:
                broken[invariant.value].append(id)
    return broken


def _of_jobs(tables: MemoryTables) -> Broken:
    jobs = by_id(tables.jobs.values())
    far = moment(tables.clock()) + HORIZON

    def those(is_broken: Callable[[Job], bool]) -> list[UUID]:
        return [job.id for job in jobs if is_broken(job)]

    return {
        Invariant.UNFINISHED_WITHOUT_OWNER_OR_ALARM: those(lambda job: not _is_attended(job)),
        Invariant.OWNED_BUT_NOT_RUNNING: those(
            lambda job: bool(job.worker_id) and job.state is not State.RUNNING
        ),
        Invariant.ENDED_WITH_ALARM: those(lambda job: job.is_final and job.wake_at is not None),
        Invariant.ENDED_WITHOUT_MOMENT: those(lambda job: job.is_final is (job.finished_at is None)),
        Invariant.ENDED_WITHOUT_RETENTION: those(lambda job: job.is_final is (job.keep_until is None)),
        Invariant.RUNNING_NEVER_CLAIMED: those(
            lambda job: job.state is State.RUNNING and (job.fence < 1 or job.claimed_at is None)
        ),
        Invariant.MORE_FAILURES_THAN_TRIES: those(lambda job: job.failures > job.policy.tries),
        Invariant.MORE_CRASHES_THAN_ALLOWED: those(lambda job: job.crashes > job.policy.crash_limit),
        Invariant.MORE_LOSSES_THAN_ALLOWED: those(lambda job: job.losses > job.policy.loss_limit),
        Invariant.ENDED_BEFORE_IT_BEGAN: those(
            lambda job: job.finished_at is not None and job.finished_at + CLOCK_STEP < job.created_at
        ),
        Invariant.ALARM_BEYOND_HORIZON: those(lambda job: job.wake_at is not None and job.wake_at > far),
        Invariant.EXPIRY_WITHOUT_ALARM: those(
            lambda job: (
                not job.is_final
                and job.state is not State.RUNNING
                and job.expires_at is not None
                and (job.wake_at is None or job.wake_at > job.expires_at)
            )
        ),
        Invariant.TIMEOUT_WITHOUT_ALARM: those(
            lambda job: (
                job.state is State.RUNNING
                and job.wake_at is None
                and (job.timeout_us is not None or job.cancel_asked_at is not None)
            )
        ),
        Invariant.UNREADABLE: those(
            lambda job: not job.is_final and (job.codec != CODEC or job.args[:1] + job.args[-1:] != "{}")
        ),
    }


def _of_attempts(tables: MemoryTables) -> Broken:
    rows = sorted(tables.attempts)
    return {
        Invariant.ATTEMPT_BEYOND_ITS_FENCE: [
            job_id for job_id, fence in rows if job_id in tables.jobs and fence > tables.jobs[job_id].fence
        ],
        Invariant.ATTEMPT_OF_NO_JOB: [job_id for job_id, _ in rows if job_id not in tables.jobs],
        Invariant.ATTEMPT_ENDED_BUT_RUNNING: [
            job_id
            for job_id, fence in rows
            if job_id in tables.jobs
            and tables.jobs[job_id].state is State.RUNNING
            and tables.jobs[job_id].fence == fence
            and tables.attempts[job_id, fence].ended_at is not None
        ],
    }


def _of_owners(tables: MemoryTables, bounds: Bounds) -> Broken:
    now = moment(tables.clock())
    is_manned = _is_manned(tables, bounds)
    owned = [
        (job, tables.workers.get(job.worker_id))
        for job in by_id(tables.jobs.values())
        if job.worker_id is not None
    ]
    gone = [(job, worker) for job, worker in owned if worker is not None and not _runs(worker, now)]
    late = [
        job.id for job, worker in gone if is_manned and _is_long_over(worker, worker.ended_at, now, bounds)
    ]
    return {
        Invariant.OWNER_MISSING: [job.id for job, worker in owned if worker is None],
        Invariant.OWNER_ENDED_AND_NOT_RECOVERED: late,
        Invariant.RECOVERING: [job.id for job, _ in gone if job.id not in late],
    }


def _of_alarms(tables: MemoryTables, bounds: Bounds) -> Broken:
    now = moment(tables.clock())
    is_manned = _is_manned(tables, bounds)
    patience = timedelta(microseconds=bounds.bound_us)
    grace = timedelta(microseconds=bounds.timeout_grace_us)
    return {
        Invariant.ALARM_OVERDUE: [
            job.id
            for job in by_id(tables.jobs.values())
            if is_manned
            and job.state in (State.SCHEDULED, State.WAITING, State.READY)
            and job.wake_at is not None
            and job.wake_at < now - patience
        ],
        Invariant.TIMEOUT_OVERDUE: [
            job.id
            for job in by_id(tables.jobs.values())
            if job.state is State.RUNNING
            and job.timeout_us is not None
            and job.claimed_at is not None
            and job.wake_at is not None
            and job.wake_at < now - patience - grace
            and job.claimed_at + timedelta(microseconds=job.timeout_us) < now - patience - grace
            and any(worker.id == job.worker_id and _runs(worker, now) for worker in tables.living())
        ],
    }


def _of_workers(tables: MemoryTables, bounds: Bounds) -> Broken:
    now = moment(tables.clock())
    is_manned = _is_manned(tables, bounds)
    grace = timedelta(microseconds=bounds.grace_us)
    return {
        Invariant.WORKER_WITHOUT_LEASE_OR_END: [
            worker.id for worker in tables.living() if worker.lease_until is None
        ],
        Invariant.LEASE_LONGER_THAN_ALLOWED: [
            worker.id
            for worker in tables.living()
            if worker.lease_until is not None
            and worker.lease_until > now + timedelta(microseconds=worker.lease_us) + grace
        ],
        Invariant.LAPSED_WORKER_NOT_ENDED: [
            worker.id
            for worker in tables.living()
            if is_manned and _is_long_over(worker, worker.lease_until, now, bounds)
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


def _is_manned(tables: MemoryTables, bounds: Bounds) -> bool:
    now = moment(tables.clock())
    before = now - timedelta(microseconds=bounds.bound_us)
    return any(_runs(worker, now) and worker.started_at < before for worker in tables.living())


def _runs(worker: Worker, now: datetime) -> bool:
    return worker.ended_at is None and worker.lease_until is not None and worker.lease_until > now


def _is_long_over(worker: Worker, since: datetime | None, now: datetime, bounds: Bounds) -> bool:
    late = timedelta(microseconds=worker.lease_us + bounds.grace_us)
    return since is not None and since < now - late
