"""A job's way through the tables: inserted, claimed, settled, and what its running attempt writes.

The guards are the whole point and stand first in each function: a claim needs a living worker and a
queue that is not paused; an ending needs the fence and the source state under which it was judged. A
verdict is looked for on the row before its guards are asked, so that one that was recorded and then
followed by a revival (which brings back the state, but not the fence) is still known as recorded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Any
from uuid import UUID

from unstuck.model.errors import IdConflict
from unstuck.model.job import Attempt, ClaimedJob, Inserted, Job, LogLine, NewJob
from unstuck.model.moments import micros, moment
from unstuck.model.states import FINAL, Event, Reason, State, target_of
from unstuck.model.verdict import NOTHING_COUNTED, Answer, Outcome, Settled, Verdict
from unstuck.storage.memory.tables import MemoryTables, claimed, is_ready, sooner
from unstuck.storage.protocol import Cursor


def insert(tables: MemoryTables, jobs: Sequence[NewJob]) -> list[Inserted]:
    """Insert all of these jobs or none."""
    now_us = tables.clock()
    return [_insert_one(tables, job, now_us) for job in jobs]


def insert_each(tables: MemoryTables, jobs: Sequence[NewJob]) -> list[Inserted | IdConflict]:
    """Insert each of these jobs by itself."""
    now_us = tables.clock()
    answers: list[Inserted | IdConflict] = []
    for job in jobs:
        try:
            answers.append(_insert_one(tables, job, now_us))
        except IdConflict as conflict:
            answers.append(conflict)
    return answers


def claim(
    tables: MemoryTables,
    worker_id: UUID,
    queue: str,
    tasks: Sequence[str],
    limit: int,
    after: Cursor | None,
    until: Cursor | None,
) -> list[ClaimedJob]:
    """Take the first ready jobs in line for this worker."""
    now = moment(tables.clock())
    worker = tables.workers.get(worker_id)
    if worker is None or worker.ended_at is not None or worker.draining_at is not None:
        return []
    if worker.lease_until is None or worker.lease_until <= now or tables.is_paused(queue):
        return []
    behind = None if after is None else (after.line, after.id)
    end = None if until is None else (until.line, until.id)
    candidates = [
        job
        for job in tables.jobs.of(State.READY)
        if job.queue == queue
        and is_ready(job, now)
        and job.task in tasks
        and (behind is None or (job.line, job.id) > behind)
        and (end is None or (job.line, job.id) <= end)
    ]
    return [
        claimed(
            tables.change(
                job,
                state=target_of(job.state, Event.CLAIM),
                reason=None,
                fence=job.fence + 1,
                worker_id=worker_id,
                claimed_at=now,
                wake_at=None if job.timeout_us is None else now + timedelta(microseconds=job.timeout_us),
            )
        )
        for job in nsmallest(limit, candidates, key=lambda job: (job.line, job.id))
    ]


def reach(tables: MemoryTables, queue: str, after: Cursor | None, count: int) -> Cursor | None:
    """The place of the ready job that stands so many behind this one."""
    behind = None if after is None else (after.line, after.id)
    places = [
        (job.line, job.id)
        for job in tables.jobs.of(State.READY)
        if job.queue == queue and (behind is None or (job.line, job.id) > behind)
    ]
    return Cursor(*nsmallest(count, places)[-1]) if len(places) >= count else None


def settle(tables: MemoryTables, verdicts: Sequence[Verdict]) -> list[Settled]:
    """Record endings, each by its own guards, with what follows from them."""
    now_us = tables.clock()
    return [Settled(verdict, _settle_one(tables, verdict, now_us)) for verdict in verdicts]


def write_progress(tables: MemoryTables, rows: Sequence[tuple[UUID, int, str]]) -> frozenset[UUID]:
    """Set the progress of attempts that still run under their fence."""
    took: list[UUID] = []
    for job_id, fence, text in rows:
        job = tables.jobs.get(job_id)
        if job is not None and job.state is State.RUNNING and job.fence == fence:
            done, total, note = json.loads(text)
            tables.change(job, progress=(done, total, note))
            took.append(job_id)
    return frozenset(took)


def write_logs(tables: MemoryTables, rows: Sequence[tuple[UUID, int, int, str]]) -> None:
    """Append log lines that are not there yet, of jobs that are."""
    now = moment(tables.clock())
    for job_id, fence, number, text in rows:
        if job_id in tables.jobs:
            tables.logs.setdefault((job_id, fence, number), LogLine(job_id, fence, number, now, text))


def _insert_one(tables: MemoryTables, new: NewJob, now_us: int) -> Inserted:
    there = tables.jobs.get(new.id)
    if there is not None:
        if (there.task, there.args) != (new.task, new.args):
            raise IdConflict(f"a job with the id {new.id} exists with another task or other arguments")
        return Inserted(new.id, created=False)
    due_us = now_us
    if new.due_at is not None:
        due_us = max(now_us, micros(new.due_at))
    elif new.delay_us is not None:
        due_us = now_us + new.delay_us
    expires_at = None if new.expires_in_us is None else moment(now_us + new.expires_in_us)
    is_due = due_us <= now_us
    tables.jobs[new.id] = Job(
        id=new.id,
        generation=1,
        queue=new.queue,
        task=new.task,
        state=State.READY if is_due else State.SCHEDULED,
        reason=None,
        priority=new.priority,
        line=due_us - new.priority * tables.step_us(new.queue),
        wake_at=expires_at if is_due else sooner(moment(due_us), expires_at),
        expires_at=expires_at,
        created_at=moment(now_us),
        claimed_at=None,
        finished_at=None,
        keep_until=None,
        fence=0,
        failures=0,
        crashes=0,
        losses=0,
        handbacks=0,
        snoozes=0,
        worker_id=None,
        verdict_id=None,
        cancel_asked_at=None,
        timeout_us=new.timeout_us,
        args=new.args,
        result=None,
        error=None,
        codec=new.codec,
        policy=new.policy,
        then=new.then,
        labels=dict(new.labels),
        progress=None,
        has_effects=False,
    )
    return Inserted(new.id, created=True)


def _settle_one(tables: MemoryTables, verdict: Verdict, now_us: int) -> Answer:
    job = tables.jobs.get(verdict.job_id)
    if job is None:
        return Answer.REFUSED
    if job.verdict_id == verdict.id:
        return Answer.ALREADY
    if job.fence != verdict.fence or job.state is not verdict.source:
        ended = tables.attempts.get((verdict.job_id, verdict.fence))
        if ended is not None and ended.verdict_id == verdict.id:
            return Answer.ALREADY
        _stamp_late(tables, verdict, now_us)
        return Answer.REFUSED
    if verdict.event is Event.EXPIRE and job.expires_at is None:
        return Answer.REFUSED  # it has been brought back to life since it was read
    if job.cancel_asked_at is not None and verdict.target is not State.CANCELLED:
        _end(tables, job, _as_cancelled(job, verdict), now_us)
        return Answer.CANCELLED
    _end(tables, job, verdict, now_us)
    for effect in verdict.effects:
        for new in effect.jobs:
            # An ending is never undone for what was to follow it: an id that is taken stays with its job.
            if new.id not in tables.jobs:
                _insert_one(tables, new, now_us)
    return Answer.ACCEPTED


def _end(tables: MemoryTables, job: Job, verdict: Verdict, now_us: int) -> None:
    target = verdict.target
    now = moment(now_us)
    is_final = target in FINAL
    expires_at = None if verdict.started and not is_final else job.expires_at
    counts = verdict.counts
    tables.change(
        job,
        state=target,
        reason=verdict.reason,
        worker_id=None,
        verdict_id=verdict.id,
        wake_at=_alarm(target, expires_at, now_us, verdict.delay_us),
        expires_at=expires_at,
        finished_at=now if is_final else None,
        keep_until=moment(now_us + verdict.keep_us) if is_final and verdict.keep_us is not None else None,
        failures=job.failures + counts.failures,
        crashes=job.crashes + counts.crashes,
        losses=job.losses + counts.losses,
        handbacks=job.handbacks + counts.handbacks,
        snoozes=0 if counts.snoozes is None else job.snoozes + counts.snoozes,
        result=verdict.result,
        error=verdict.error if target is State.SUCCEEDED else verdict.error or job.error,
    )
    if verdict.outcome is not None:
        key = (job.id, job.fence)
        before = tables.attempts.get(key)
        tables.attempts[key] = Attempt(
            job_id=job.id,
            fence=job.fence,
            attempt=verdict.attempt,
            worker_id=verdict.worker_id,
            started_at=job.claimed_at,
            ended_at=now,
            outcome=verdict.outcome,
            reason=verdict.reason,
            error=verdict.error,
            detail=dict(verdict.detail),
            late_at=None if before is None else before.late_at,
            late_wanted=None if before is None else before.late_wanted,
            verdict_id=verdict.id,
        )


def _alarm(target: State, expires_at: datetime | None, now_us: int, delay_us: int | None) -> datetime | None:
    if target in FINAL:
        return None
    if target is State.READY:
        return expires_at
    return sooner(moment(now_us + (delay_us or 0)), expires_at)


def _as_cancelled(job: Job, verdict: Verdict) -> Verdict:
    return verdict._replace(
        event=Event.CANCEL,
        reason=Reason.CANCELLED,
        counts=NOTHING_COUNTED,
        delay_us=None,
        keep_us=job.policy.keep_other_us,
        result=None,
        error=None,
        outcome=Outcome.CANCELLED if verdict.started else None,
        effects=(),
    )


def _stamp_late(tables: MemoryTables, verdict: Verdict, now_us: int) -> None:
    if verdict.source is not State.RUNNING or verdict.outcome in (Outcome.CRASHED, Outcome.LOST):
        return
    key = (verdict.job_id, verdict.fence)
    row = tables.attempts.get(key)
    stamp: dict[str, Any] = {"late_at": moment(now_us), "late_wanted": verdict.event.value}
    if row is not None:
        tables.attempts[key] = replace(row, **stamp)
