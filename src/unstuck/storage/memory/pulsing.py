"""How the work goes just now, read off the dicts."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import UUID

from unstuck.model.job import Job
from unstuck.model.moments import micros, moment
from unstuck.model.states import State
from unstuck.storage.memory.chores import due_us, notices
from unstuck.storage.memory.tables import MemoryTables, by_id, in_line
from unstuck.storage.memory.workers import as_read, workers
from unstuck.storage.protocol import PULSE_GONE, PULSE_GONE_US, PULSE_SAMPLE, PULSE_WINDOW_US, Depth, Pulse

FRONT = 100
AHEAD_MS = 60_000


def pulse(tables: MemoryTables, depth: int) -> Pulse:
    """How the work goes just now."""
    now_us = tables.clock()
    fronts: dict[str, list[Job]] = {}
    for job in in_line(tables.jobs.of(State.READY)):
        fronts.setdefault(job.queue, []).append(job)
    alarms = sorted(
        (job for job in tables.jobs.values() if job.wake_at is not None),
        key=lambda job: (job.wake_at, job.id),
    )
    last = UUID(int=(now_us // 1000 + AHEAD_MS) << 80)
    newest = [job for job in reversed(by_id(tables.jobs.values())) if job.id < last][:PULSE_SAMPLE]
    running = tables.jobs.of(State.RUNNING)[:PULSE_SAMPLE]
    since = moment(now_us - PULSE_GONE_US)
    gone = [worker for worker in workers(tables, True) if worker.ended_at and worker.ended_at > since]
    return Pulse(
        now_us=now_us,
        depths=[
            Depth(
                queue,
                len(front[:depth]),
                max(now_us - due_us(tables, job) for job in front[:FRONT]),
                tables.is_paused(queue),
            )
            for queue, front in sorted(fronts.items())
        ],
        alarms=Counter(job.state for job in alarms[:PULSE_SAMPLE]),
        arrived_us=[max(0, now_us - micros(job.created_at)) for job in newest],
        waited_us=[
            max(0, micros(job.claimed_at) - due_us(tables, job))
            for job in {job.id: job for job in [*newest, *running]}.values()
            if job.fence == 1
            and job.claimed_at is not None
            and job.claimed_at > moment(now_us) - timedelta(microseconds=PULSE_WINDOW_US)
        ],
        workers=[as_read(tables, worker) for worker in tables.living()],
        gone=sorted(gone, key=lambda worker: (worker.ended_at, worker.id), reverse=True)[:PULSE_GONE],
        notices=notices(tables),
    )
