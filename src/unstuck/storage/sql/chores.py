"""Chores in SQL: promote, find the expired, park, wake, prune.

Every one is bounded by a limit and guarded by fence and state, and leaves rows that somebody else holds
to another time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unstuck.model.job import Job
from unstuck.model.states import Event, Reason, State, sources_of, target_of
from unstuck.storage.plan import ContinueWith, Mode, Requests, Rows, Statement, planned
from unstuck.storage.sql import rows
from unstuck.storage.sql.library import block

PROMOTE = block("promote")
PROMOTE_LATE = block("promote_late")
EXPIRED = block("expired")
MOVE = block("move")
PRUNE_JOBS = block("prune_jobs")
PRUNE_ATTEMPTS = block("prune_attempts")
PRUNE_LOGS = block("prune_logs")
PRUNE_WORKERS = block("prune_workers")
PRUNE_WORKER_TASKS = block("prune_worker_tasks")

WORKER_KEEP_US = 86_400 * 1_000_000


@planned(Mode.WRITE)
def promote(limit: int, age_us: int | None = None) -> Requests[dict[str, int]]:
    """Make scheduled jobs that are due ready; the lowest line per queue, and how many in key ""."""
    (source,) = sources_of(Event.PROMOTE)
    target = target_of(source, Event.PROMOTE)
    asked: dict[str, Any] = {"source": source.value, "target": target.value, "limit": limit}
    if age_us is not None:
        asked["age_us"] = age_us
    promoted: Rows = yield Statement(PROMOTE if age_us is None else PROMOTE_LATE, asked)
    lowest: dict[str, int] = {"": len(promoted)}
    for queue, line in promoted:
        lowest[queue] = min(line, lowest.get(queue, line))
    return lowest


@planned(Mode.READ)
def expired(limit: int) -> Requests[list[Job]]:
    """Jobs that were not started by their expiry."""
    sources = [state.value for state in sources_of(Event.EXPIRE)]
    found: Rows = yield Statement(EXPIRED, {"sources": sources, "limit": limit})
    return [rows.job(row) for row in found]


@planned(Mode.WRITE)
def park(jobs: Sequence[tuple[Job, Reason, int]]) -> Requests[int]:
    """Move jobs that stand as they were read to `waiting`."""
    return (yield from _move([(job, Event.PARK, reason, delay_us) for job, reason, delay_us in jobs]))


@planned(Mode.WRITE)
def wake(jobs: Sequence[Job]) -> Requests[int]:
    """Move waiting or scheduled jobs that stand as they were read to `ready`, before their time."""
    return (yield from _move([(job, _waking(job), None, None) for job in jobs]))


def _waking(job: Job) -> Event:
    return Event.PROMOTE if job.state is State.SCHEDULED else Event.WAKE


def _move(moves: Sequence[tuple[Job, Event, Reason | None, int | None]]) -> Requests[int]:
    if not moves:
        return 0
    moved: Rows = yield Statement(
        MOVE,
        rows=[
            {
                "job_id": job.id,
                "job_fence": job.fence,
                "source": job.state.value,
                "target": target_of(job.state, event).value,
                "reason": None if reason is None else reason.value,
                "delay_us": delay_us,
            }
            for job, event, reason, delay_us in sorted(moves, key=lambda move: move[0].id)
        ],
    )
    return len(moved)


@planned(Mode.TRANSACTION)
def prune(limit: int) -> Requests[int]:
    """Delete what is no longer kept: jobs with what hangs on them, then workers in a transaction of their own."""
    gone: Rows = yield Statement(PRUNE_JOBS, {"limit": limit})
    if gone:
        ids = sorted(rows.uuid(row[0]) for row in gone)
        yield Statement(PRUNE_ATTEMPTS, {"ids": ids})
        yield Statement(PRUNE_LOGS, {"ids": ids})
    raise ContinueWith(_prune_workers(limit, len(gone)))


@planned(Mode.TRANSACTION)
def _prune_workers(limit: int, jobs: int) -> Requests[int]:
    gone: Rows = yield Statement(PRUNE_WORKERS, {"age_us": -WORKER_KEEP_US, "limit": limit})
    if gone:
        yield Statement(PRUNE_WORKER_TASKS, {"ids": sorted(rows.uuid(row[0]) for row in gone)})
    return jobs
