"""A job with its surroundings, read in one snapshot: what `explain` says is true of one moment, not of several."""

from __future__ import annotations

from uuid import UUID

from unstuck.model.job import PRIORITY_STEP_US
from unstuck.model.states import State
from unstuck.storage.plan import Mode, Requests, Rows, Statement, planned
from unstuck.storage.protocol import AHEAD_MAX, QueueInfo, Situation
from unstuck.storage.sql import rows
from unstuck.storage.sql.library import block
from unstuck.storage.sql.reading import GET, QUEUE_ROWS
from unstuck.storage.sql.surveying import KNOWING, NOTICES
from unstuck.storage.sql.workers import CLOCK, WORKERS, WORKERS_BY_ID

AHEAD = block("ahead")


@planned(Mode.SNAPSHOT)
def situation(job_id: UUID) -> Requests[Situation | None]:
    """One job and what decides about it."""
    found: Rows = yield Statement(GET, {"job_id": job_id})
    if not found:
        return None
    job = rows.job(found[0])
    now: Rows = yield Statement(CLOCK)
    settings: Rows = yield Statement(QUEUE_ROWS)
    step_us, paused_at, paused_by = next(
        (rest for name, *rest in settings if name == job.queue), (PRIORITY_STEP_US, None, None)
    )
    living: Rows = yield Statement(WORKERS, {"include_ended": False})
    knowing: Rows = yield Statement(KNOWING, {"tasks": [job.task]})
    standing: Rows = yield Statement(NOTICES)
    owner = None
    if job.worker_id is not None:
        owners: Rows = yield Statement(WORKERS_BY_ID, {"ids": [job.worker_id]})
        owner = rows.worker(owners[0]) if owners else None
    ahead = 0
    if job.state is State.READY:
        before: Rows = yield Statement(
            AHEAD, {"queue": job.queue, "line": job.line, "job_id": job.id, "limit": AHEAD_MAX}
        )
        ahead = before[0][0]
    return Situation(
        now_us=int(now[0][0]),
        job=job,
        queue=QueueInfo(job.queue, step_us, rows.moment(paused_at), {}, paused_by),
        owner=owner,
        workers=[rows.worker(row) for row in living],
        knowing=frozenset(rows.uuid(worker_id) for _, worker_id in knowing),
        ahead=ahead,
        notices=[rows.notice(row) for row in standing],
    )
