"""What readers see: jobs by id or by filter, their attempts and logs, queues and facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from unstuck.model.audit import AuditEntry
from unstuck.model.errors import BadSetting
from unstuck.model.happening import LoggedEvent
from unstuck.model.job import PRIORITY_STEP_US, Attempt, Job, LogLine
from unstuck.model.states import State
from unstuck.storage.memory.tables import MemoryTables, by_id
from unstuck.storage.protocol import Filter, QueueInfo


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
        None if row is None else row.paused_by,
    )


def audit(tables: MemoryTables, limit: int) -> list[AuditEntry]:
    """The newest repairs, newest first."""
    return sorted(tables.audit.values(), key=lambda entry: (entry.at, entry.id), reverse=True)[:limit]


def meta(tables: MemoryTables) -> dict[str, str]:
    """The store's own facts."""
    return {"instance": tables.instance, "schema": "0", "now_us": str(tables.clock())}


def events(tables: MemoryTables, after: tuple[str, int] | None, limit: int) -> list[LoggedEvent]:
    """A page of the event log."""
    if tables.event_log is None:
        raise BadSetting("the store keeps no event log: begin with App(…, event_log=True)")
    return tables.event_log.page(after, limit)


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
