"""What workers and sweeps do for everybody: promote, find the expired, park, wake, notice, prune.

Everything is bounded by a limit and guarded by fence and state, so that two sweeps at once do no harm
and a sweep that was read before somebody else acted changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from unstuck.model.job import Job
from unstuck.model.moments import micros, moment
from unstuck.model.notice import Finding, Notice
from unstuck.model.states import Event, Reason, State, sources_of, target_of
from unstuck.storage.memory.reading import queue_info
from unstuck.storage.memory.tables import MemoryTables, by_id, in_line, is_expired, is_ready, sooner
from unstuck.storage.memory.workers import all_as_read, as_read, orphans, workers
from unstuck.storage.protocol import AHEAD_MAX, Lag, QueueHead, Situation, Survey

FRONT = 100
"""How far a sweep looks into a queue from its front."""

WORKER_KEEP = timedelta(days=1)


def promote(tables: MemoryTables, limit: int, age_us: int | None = None) -> dict[str, int]:
    """Make scheduled jobs that are due ready, those first that were due first."""
    now = moment(tables.clock())
    oldest = None if age_us is None else now - timedelta(microseconds=age_us)
    due = [
        (job.wake_at, job.id, job)
        for job in tables.jobs.of(State.SCHEDULED)
        if job.wake_at is not None
        and job.wake_at <= now
        and (oldest is None or job.wake_at >= oldest)
        and not is_expired(job, now)
    ]
    promoted = sorted(due)[:limit]
    lowest: dict[str, int] = {"": len(promoted)}
    for _, _, job in promoted:
        tables.change(job, state=target_of(job.state, Event.PROMOTE), wake_at=job.expires_at)
        lowest[job.queue] = min(job.line, lowest.get(job.queue, job.line))
    return lowest


def expired(tables: MemoryTables, limit: int) -> list[Job]:
    """Jobs that were not started by their expiry."""
    now = moment(tables.clock())
    sources = sources_of(Event.EXPIRE)
    return by_id(job for job in tables.jobs.of(*sources) if is_expired(job, now))[:limit]


def survey(tables: MemoryTables) -> Survey:
    """What the sweep needs to see."""
    now_us = tables.clock()
    fronts: dict[str, list[Job]] = {}
    now = moment(now_us)
    for job in in_line(tables.jobs.of(State.READY)):
        if is_ready(job, now):
            fronts.setdefault(job.queue, []).append(job)
    return Survey(
        now_us=now_us,
        has_orphans=bool(orphans(tables, 1, include_missing=False)),
        has_expired=bool(expired(tables, 1)),
        has_unhandled=bool(waiting_unhandled(tables, 1)),
        heads=[
            QueueHead(
                queue=queue,
                oldest_us=max(now_us - due_us(tables, job) for job in front[:FRONT]),
                is_paused=tables.is_paused(queue),
                tasks=frozenset(job.task for job in front[:FRONT]),
            )
            for queue, front in sorted(fronts.items())
        ],
        workers=all_as_read(tables, tables.living()),
        known_tasks=tables.known_tasks(),
        notices=notices(tables),
    )


def unhandled(tables: MemoryTables, queue: str, older_us: int, limit: int) -> list[Job]:
    """Ready jobs at the front of the queue whose task no living worker knows."""
    now_us = tables.clock()
    known = tables.known_tasks()
    front = in_line(job for job in tables.jobs.of(State.READY) if job.queue == queue)[:FRONT]
    return [job for job in front if job.task not in known and now_us - due_us(tables, job) > older_us][:limit]


def waiting_unhandled(tables: MemoryTables, limit: int) -> list[tuple[Job, bool]]:
    """Jobs without a handler whose alarm has passed, and whether their task is known now."""
    waiting = tables.jobs.of(State.WAITING)
    if not waiting:
        return []
    now, known = moment(tables.clock()), tables.known_tasks()
    return [
        (job, job.task in known)
        for job in by_id(waiting)
        if job.reason is Reason.NO_HANDLER and job.wake_at is not None and job.wake_at <= now
    ][:limit]


def park(tables: MemoryTables, jobs: Sequence[tuple[Job, Reason, int]]) -> int:
    """Move jobs that stand as they were read to `waiting`."""
    now_us = tables.clock()
    parked = 0
    for read, reason, delay_us in jobs:
        target = target_of(read.state, Event.PARK)
        if stands_as_read(tables, read):
            job = tables.jobs[read.id]
            alarm = sooner(moment(now_us + delay_us), job.expires_at)
            tables.change(job, state=target, reason=reason, wake_at=alarm)
            parked += 1
    return parked


def wake(tables: MemoryTables, jobs: Sequence[Job]) -> int:
    """Move waiting or scheduled jobs that stand as they were read to `ready`, before their time."""
    woken = 0
    for read in jobs:
        event = Event.PROMOTE if read.state is State.SCHEDULED else Event.WAKE
        target = target_of(read.state, event)
        if stands_as_read(tables, read):
            job = tables.jobs[read.id]
            tables.change(job, state=target, reason=None, wake_at=job.expires_at)
            woken += 1
    return woken


def keep_notices(
    tables: MemoryTables, findings: Sequence[Finding], kinds: Sequence[str]
) -> tuple[list[Notice], list[Notice]]:
    """Make the notices of these kinds equal to the findings."""
    now = moment(tables.clock())
    found = {(finding.kind, finding.subject): finding for finding in findings}
    went = [notice for key, notice in tables.notices.items() if notice.kind in kinds and key not in found]
    for notice in went:
        del tables.notices[notice.kind, notice.subject]
    appeared: list[Notice] = []
    for key, finding in found.items():
        there = tables.notices.get(key)
        since = now if there is None else there.since
        notice = Notice(finding.kind, finding.subject, finding.sentence, since=since, last_seen=now)
        tables.notices[key] = notice
        if there is None:
            appeared.append(notice)
    return appeared, went


def knowing(tables: MemoryTables, tasks: Sequence[str]) -> dict[str, frozenset[UUID]]:
    """Which living workers know these tasks."""
    return {
        task: frozenset(worker.id for worker in tables.living() if task in tables.worker_tasks[worker.id])
        for task in tasks
    }


def lagging(tables: MemoryTables, older_us: int) -> Lag:
    """What waits for a handler, and what has been due for longer than that."""
    now_us = tables.clock()
    parked: dict[tuple[str, str], int] = {}
    overdue: dict[str, tuple[int, int]] = {}
    for job in by_id(tables.jobs.values()):
        if job.state is State.WAITING and job.reason is Reason.NO_HANDLER:
            parked[job.queue, job.task] = parked.get((job.queue, job.task), 0) + 1
        elif job.state is State.SCHEDULED and job.wake_at is not None:
            late_us = now_us - micros(job.wake_at)
            if late_us > older_us:
                number, longest_us = overdue.get(job.queue, (0, 0))
                overdue[job.queue] = (number + 1, max(longest_us, late_us))
    return Lag(parked, overdue)


def situation(tables: MemoryTables, job_id: UUID) -> Situation | None:
    """One job and what decides about it."""
    job = tables.jobs.get(job_id)
    if job is None:
        return None
    now_us = tables.clock()
    before = [
        other
        for other in tables.jobs.values()
        if other.queue == job.queue
        and is_ready(other, moment(now_us))
        and (other.line, other.id) < (job.line, job.id)
    ]
    owner = None if job.worker_id is None else tables.workers.get(job.worker_id)
    return Situation(
        now_us=now_us,
        job=job,
        queue=replace(queue_info(tables, job.queue), counts={}),
        owner=None if owner is None else as_read(tables, owner),
        workers=workers(tables, include_ended=False),
        knowing=knowing(tables, [job.task])[job.task],
        ahead=min(len(before), AHEAD_MAX) if job.state is State.READY else 0,
        notices=notices(tables),
    )


def notices(tables: MemoryTables) -> list[Notice]:
    """All notices, oldest first."""
    return sorted(tables.notices.values(), key=lambda notice: (notice.since, notice.kind, notice.subject))


def prune(tables: MemoryTables, limit: int) -> int:
    """Delete what is no longer kept."""
    now = moment(tables.clock())
    over = [
        (job.keep_until, job.id)
        for job in tables.jobs.values()
        if job.keep_until is not None and job.keep_until <= now
    ]
    gone = dict.fromkeys(job_id for _, job_id in sorted(over)[:limit])
    for job_id in gone:
        del tables.jobs[job_id]
    for key in [key for key in tables.attempts if key[0] in gone]:
        del tables.attempts[key]
    for line in [line for line in tables.logs if line[0] in gone]:
        del tables.logs[line]
    owners = {job.worker_id for job in tables.jobs.values()}
    old = [
        worker.id
        for worker in tables.workers.values()
        if worker.ended_at is not None and worker.ended_at < now - WORKER_KEEP and worker.id not in owners
    ]
    for worker_id in old[:limit]:
        del tables.workers[worker_id]
        del tables.worker_tasks[worker_id]
    return len(gone)


def due_us(tables: MemoryTables, job: Job) -> int:
    """When the job became due: its line without its head start."""
    return job.line + job.priority * tables.step_us(job.queue)


def stands_as_read(tables: MemoryTables, read: Job) -> bool:
    """Whether nobody has moved the job since it was read."""
    job = tables.jobs.get(read.id)
    return job is not None and (job.state, job.fence) == (read.state, read.fence)
