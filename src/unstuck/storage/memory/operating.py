"""What an operator asks of jobs and queues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from unstuck.model.audit import AuditEntry, Repair
from unstuck.model.job import PRIORITY_STEP_US
from unstuck.model.moments import moment
from unstuck.model.states import FINAL, Event, State, target_of
from unstuck.storage.memory.reading import queue_info
from unstuck.storage.memory.tables import MemoryTables
from unstuck.storage.protocol import QueueInfo

R = TypeVar("R")


def ask_cancel(tables: MemoryTables, ids: Sequence[UUID]) -> int:
    """Ask running jobs to cancel; the first asking is kept, with its moment as alarm."""
    now = moment(tables.clock())
    asked = 0
    for job_id in ids:
        job = tables.jobs.get(job_id)
        if job is not None and job.state is State.RUNNING and job.cancel_asked_at is None:
            tables.change(job, cancel_asked_at=now, wake_at=now)
            asked += 1
    return asked


def revive(tables: MemoryTables, ids: Sequence[UUID]) -> list[UUID]:
    """Run ended jobs again, as new as they came, but for the fence."""
    now_us = tables.clock()
    revived: list[UUID] = []
    for job_id in ids:
        job = tables.jobs.get(job_id)
        if job is None or job.state not in FINAL:
            continue
        tables.change(
            job,
            state=target_of(job.state, Event.REVIVE),
            generation=job.generation + 1,
            reason=None,
            line=now_us - job.priority * tables.step_us(job.queue),
            wake_at=None,
            expires_at=None,
            claimed_at=None,
            finished_at=None,
            keep_until=None,
            failures=0,
            crashes=0,
            losses=0,
            handbacks=0,
            snoozes=0,
            cancel_asked_at=None,
            result=None,
            error=None,
            progress=None,
        )
        revived.append(job_id)
    return revived


def forget(tables: MemoryTables, ids: Sequence[UUID]) -> list[UUID]:
    """Keep ended jobs no longer; the next prune deletes them."""
    now = moment(tables.clock())
    ended = [job for job_id in dict.fromkeys(ids) if (job := tables.jobs.get(job_id)) and job.state in FINAL]
    for job in ended:
        tables.change(job, keep_until=now)
    return [job.id for job in ended]


def set_priority(tables: MemoryTables, jobs: Sequence[tuple[UUID, int]]) -> int:
    """Set the priority of jobs that wait for their turn, and move them in line by the difference."""
    changed = 0
    for job_id, priority in jobs:
        job = tables.jobs.get(job_id)
        if job is None or job.state in FINAL or job.state is State.RUNNING:
            continue
        ahead_us = (priority - job.priority) * tables.step_us(job.queue)
        tables.change(job, priority=priority, line=job.line - ahead_us)
        changed += 1
    return changed


def set_queue(
    tables: MemoryTables, name: str, paused: bool | None, step_us: int | None, actor: str | None
) -> QueueInfo:
    """Create the queue's row where needed and change what is given; the first pause is kept."""
    row = tables.queues.get(name) or QueueInfo(name, PRIORITY_STEP_US, None)
    if paused is not None:
        since, who = (
            (row.paused_at, row.paused_by) if row.paused_at is not None else (moment(tables.clock()), actor)
        )
        row = replace(row, paused_at=since if paused else None, paused_by=who if paused else None)
    if step_us is not None:
        row = replace(row, step_us=step_us)
    tables.queues[name] = row
    return queue_info(tables, name)


def audited(tables: MemoryTables, answer: R, repairs: Callable[[R], Sequence[Repair]]) -> R:
    """Write down what an operation did, in its own step."""
    now = moment(tables.clock())
    for one in repairs(answer):
        tables.audit[one.id] = AuditEntry(
            one.id, now, one.actor, one.action, one.kind, one.subject, one.cause, one.sentence
        )
    return answer
