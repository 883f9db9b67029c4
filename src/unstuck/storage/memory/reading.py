"""What readers see: jobs by id or by filter, their attempts and logs, queues, facts and invariants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from unstuck.model.job import PRIORITY_STEP_US, Attempt, Job, LogLine
from unstuck.model.states import FINAL, State
from unstuck.storage.memory.tables import MemoryTables, by_id
from unstuck.storage.protocol import Filter, QueueInfo

OFFENDERS_SHOWN = 20


def find(tables: MemoryTables, which: Filter) -> list[Job]:
    """Jobs that match, one page of them."""
    matching = [job for job in _matching(tables, which) if which.after is None or job.id > which.after]
    return by_id(matching)[: which.limit]


def tally(tables: MemoryTables, which: Filter) -> dict[tuple[str, State], int]:
    """How many jobs match, by queue and state."""
    return dict(Counter((job.queue, job.state) for job in _matching(tables, which)))


def attempts(tables: MemoryTables, job_id: UUID) -> list[Attempt]:
    """The attempts of a job that did not simply succeed, oldest first."""
    return [tables.attempts[key] for key in sorted(tables.attempts) if key[0] == job_id]


def logs(tables: MemoryTables, job_id: UUID) -> list[LogLine]:
    """The lines that a job's handlers wrote, oldest first."""
    return [tables.logs[key] for key in sorted(tables.logs) if key[0] == job_id]


def queues(tables: MemoryTables) -> list[QueueInfo]:
    """Every queue that has a row or a job, by name."""
    names = dict.fromkeys([*tables.queues, *(job.queue for job in tables.jobs.values())])
    return [queue_info(tables, name) for name in sorted(names)]


def queue_info(tables: MemoryTables, name: str) -> QueueInfo:
    """One queue with its counts by state."""
    row = tables.queues.get(name)
    counts = Counter(job.state for job in tables.jobs.values() if job.queue == name)
    return QueueInfo(
        name,
        PRIORITY_STEP_US if row is None else row.step_us,
        None if row is None else row.paused_at,
        dict(counts),
    )


def meta(tables: MemoryTables) -> dict[str, str]:
    """The store's own facts."""
    return {"instance": tables.instance, "schema": "0", "now_us": str(tables.clock())}


def offenders(tables: MemoryTables) -> dict[str, list[str]]:
    """The snapshot invariants, each with the ids that break it."""
    jobs = by_id(tables.jobs.values())
    broken = {
        "unfinished_without_owner_or_alarm": [job.id for job in jobs if not _is_attended(job)],
        "owned_but_not_running": [job.id for job in jobs if job.worker_id and job.state is not State.RUNNING],
        "ended_with_alarm": [job.id for job in jobs if job.is_final and job.wake_at is not None],
        "ended_without_moment": [job.id for job in jobs if job.is_final is (job.finished_at is None)],
        "running_never_claimed": [
            job.id for job in jobs if job.state is State.RUNNING and (job.fence < 1 or job.claimed_at is None)
        ],
        "worker_without_lease_or_end": [
            worker.id for worker in tables.living() if worker.lease_until is None
        ],
        "attempt_of_no_job": [key[0] for key in sorted(tables.attempts) if key[0] not in tables.jobs],
        "log_of_no_job": [key[0] for key in sorted(tables.logs) if key[0] not in tables.jobs],
    }
    return {name: [str(each) for each in ids[:OFFENDERS_SHOWN]] for name, ids in broken.items()}


def check(tables: MemoryTables) -> dict[str, Any]:
    """Facts about this keeper."""
    return {
        "engine": "memory",
        "version": "",
        "durable": False,
        "jobs": len(tables.jobs),
        "workers": len(tables.workers),
        "wrong": [],
    }


def _is_attended(job: Job) -> bool:
    match job.state:
        case State.RUNNING:
            return job.worker_id is not None
        case State.SCHEDULED | State.WAITING:
            return job.wake_at is not None
        case state:
            return state in FINAL or state is State.READY


def _matching(tables: MemoryTables, which: Filter) -> Iterator[Job]:
    for job in tables.jobs.values():
        if (
            (which.ids is None or job.id in which.ids)
            and (which.states is None or job.state in which.states)
            and (which.queue is None or job.queue == which.queue)
            and (which.task is None or job.task == which.task)
            and (which.reason is None or job.reason is which.reason)
            and (which.label is None or job.labels.get(which.label[0]) == which.label[1])
            and (which.worker_id is None or job.worker_id == which.worker_id)
        ):
            yield job
