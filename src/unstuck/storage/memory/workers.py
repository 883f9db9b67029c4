"""Workers in the tables: rows that begin once and end once, and what they own.

An orphan is a running job whose worker has ended: a fact that never changes back. So nothing here
compares times to find one; only `end_lapsed` looks at leases, and only of rows that have not ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from unstuck.model.job import NO_HANDLER_LAST_US, ClaimedJob, Job
from unstuck.model.moments import micros, moment
from unstuck.model.states import Event, Reason, State, target_of
from unstuck.model.worker import LAPSED, NewWorker, Worker
from unstuck.storage.memory.tables import MemoryTables, by_id, claimed, is_ready, worker_with
from unstuck.storage.protocol import Look, Renewed, Since


def register(tables: MemoryTables, new: NewWorker) -> int:
    """Insert the worker and wake the jobs that waited for one of its tasks."""
    now_us = tables.clock()
    if new.id not in tables.workers:
        tables.workers[new.id] = Worker(
            id=new.id,
            kind=new.kind,
            supervisor_id=new.supervisor_id,
            host=new.host,
            pid=new.pid,
            lease_us=new.lease_us,
            lease_until=moment(now_us + new.lease_us),
            lease_left_us=None,
            started_at=moment(now_us),
            ended_at=None,
            reason=None,
            draining_at=None,
            leaving_at=None,
            stalled_at=None,
            queues=tuple(new.queues),
            version=new.version,
        )
        tables.worker_tasks[new.id] = tuple(new.tasks)
    for job in tables.jobs.of(State.WAITING):
        is_soon = job.wake_at is not None and job.wake_at <= moment(now_us + NO_HANDLER_LAST_US)
        if is_soon and job.reason is Reason.NO_HANDLER and job.task in new.tasks:
            tables.change(job, state=target_of(job.state, Event.WAKE), reason=None, wake_at=job.expires_at)
    return now_us


def renew(
    tables: MemoryTables, worker_ids: Sequence[UUID], lease_us: int, reports: Mapping[UUID, str]
) -> Renewed:
    """Extend the leases of workers that have not ended."""
    now_us = tables.clock()
    alive: list[UUID] = []
    for worker_id in worker_ids:
        worker = tables.workers.get(worker_id)
        if worker is None or worker.ended_at is not None:
            continue
        columns: dict[str, Any] = {"lease_until": moment(now_us + lease_us)}
        if worker_id in reports:
            columns["report"] = msgspec.json.decode(reports[worker_id])
        tables.workers[worker_id] = worker_with(worker, columns)
        alive.append(worker_id)
    return Renewed(now_us, frozenset(alive))


def end_worker(tables: MemoryTables, worker_id: UUID, reason: str) -> bool:
    """End this worker's row, once."""
    worker = tables.workers.get(worker_id)
    if worker is None or worker.ended_at is not None:
        return False
    tables.workers[worker_id] = replace(worker, ended_at=moment(tables.clock()), reason=reason)
    return True


def end_lapsed(tables: MemoryTables, seen_us: int | None) -> list[Worker]:
    """End workers whose lease is over, and was when the caller last looked; pull in leases that are too long."""
    now = moment(tables.clock())
    over = now if seen_us is None else min(now, moment(seen_us))
    ended: list[Worker] = []
    for worker in tables.living():
        assert worker.lease_until is not None
        longest = now + timedelta(microseconds=worker.lease_us)
        if worker.lease_until < over:
            tables.workers[worker.id] = replace(worker, ended_at=now, reason=LAPSED)
            ended.append(as_read(tables, tables.workers[worker.id]))
        elif worker.lease_until > longest:
            tables.workers[worker.id] = replace(worker, lease_until=longest)
    return ended


def drain(tables: MemoryTables, worker_id: UUID, leave: bool) -> bool:
    """Mark a living worker as draining, with `leave` as leaving too; the first moments are kept."""
    worker = tables.workers.get(worker_id)
    if worker is None or worker.ended_at is not None:
        return False
    now = moment(tables.clock())
    leaving_at = worker.leaving_at or (now if leave else None)
    tables.workers[worker_id] = replace(worker, draining_at=worker.draining_at or now, leaving_at=leaving_at)
    return True


def mark_stalled(tables: MemoryTables, worker_id: UUID, is_stalled: bool) -> bool:
    """Note that a living worker's child does not tick, since when, or that it ticks again."""
    worker = tables.workers.get(worker_id)
    if worker is None or worker.ended_at is not None:
        return False
    since = (worker.stalled_at or moment(tables.clock())) if is_stalled else None
    tables.workers[worker_id] = replace(worker, stalled_at=since)
    return True


def workers(tables: MemoryTables, include_ended: bool) -> list[Worker]:
    """The workers, living ones first, newest first."""
    rows = [worker for worker in tables.workers.values() if include_ended or worker.ended_at is None]
    rows.sort(key=lambda worker: (worker.started_at, worker.id), reverse=True)
    rows.sort(key=lambda worker: worker.ended_at is not None)
    return all_as_read(tables, rows)


def as_read(tables: MemoryTables, worker: Worker) -> Worker:
    """The row with what a reader sees computed from other rows and from the clock."""
    return all_as_read(tables, [worker])[0]


def all_as_read(tables: MemoryTables, rows: Sequence[Worker]) -> list[Worker]:
    """The same of many rows, from one look at the others."""
    now_us = tables.clock()
    late = [row.worker_id for row in tables.attempts.values() if row.late_at is not None]
    owners = [job.worker_id for job in tables.jobs.of(State.RUNNING)]
    seen: list[Worker] = []
    for worker in rows:
        until = worker.lease_until if worker.ended_at is None else None
        columns = {
            "lease_left_us": None if until is None else micros(until) - now_us,
            "late_endings": late.count(worker.id) if late else 0,
            "running": owners.count(worker.id) if owners else 0,
        }
        seen.append(worker_with(worker, columns))
    return seen


def owned(tables: MemoryTables, worker_id: UUID) -> list[ClaimedJob]:
    """The running attempts of a worker."""
    return [claimed(job) for job in by_id(tables.jobs.of(State.RUNNING)) if job.worker_id == worker_id]


def orphans(
    tables: MemoryTables, limit: int, include_missing: bool
) -> list[tuple[ClaimedJob, Worker | None]]:
    """Running jobs whose worker has ended or, where asked, has no row."""
    found: list[tuple[ClaimedJob, Worker | None]] = []
    for job in by_id(tables.jobs.of(State.RUNNING)):
        if job.worker_id is None or len(found) >= limit:
            continue
        worker = tables.workers.get(job.worker_id)
        if worker is None and include_missing:
            found.append((claimed(job), None))
        elif worker is not None and worker.ended_at is not None:
            found.append((claimed(job), as_read(tables, worker)))
    return found


def _is_in(job: Job, since: Since | None, now_us: int) -> bool:
    """Whether the alarm of a job is one that is looked for."""
    return since is None or (job.wake_at is not None and now_us - micros(job.wake_at) <= since.age_us)


def look(
    tables: MemoryTables,
    worker_id: UUID,
    queues: Sequence[str],
    tasks: Sequence[str],
    since: Since | None = None,
) -> Look:
    """What a worker asks once per poll."""
    now_us = tables.clock()
    now = moment(now_us)
    worker = tables.workers.get(worker_id)
    ready: dict[str, int] = {}
    alarms: list[int] = []
    cancel: list[tuple[UUID, int]] = []
    for job in tables.jobs.of(State.READY):
        is_ours = job.queue in queues and job.task in tasks
        if since is not None and job.line < since.lines.get(job.queue, job.line):
            continue
        if is_ours and is_ready(job, now) and not tables.is_paused(job.queue):
            ready[job.queue] = min(job.line, ready.get(job.queue, job.line))
    for job in tables.jobs.of(State.SCHEDULED):
        if job.wake_at is not None and _is_in(job, since, now_us):
            alarms.append(micros(job.wake_at) - now_us)
    for job in by_id(tables.jobs.of(State.RUNNING)):
        if job.cancel_asked_at is not None and job.worker_id == worker_id and _is_in(job, since, now_us):
            cancel.append((job.id, job.fence))
    return Look(
        now_us=now_us,
        is_alive=worker is not None and worker.ended_at is None,
        is_draining=worker is not None and worker.draining_at is not None,
        is_leaving=worker is not None and worker.leaving_at is not None,
        ready=ready,
        next_alarm_us=min(alarms, default=None),
        cancel=cancel,
        empty=frozenset(name for name in queues if name not in ready and not tables.is_paused(name)),
    )
