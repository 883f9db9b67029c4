"""A job's way through the tables: inserted, claimed, and what its running attempt writes.

An insert of one job is one statement. Of several it is a transaction, because one id that is taken by
another request must undo them all. Rows are given to the engine in order of id, so that two groups that
overlap wait for each other instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from unstuck.model.errors import IdConflict
from unstuck.model.job import ClaimedJob, Inserted, NewJob
from unstuck.model.states import Event, State, target_of
from unstuck.storage.plan import Mode, Plan, Requests, Rows, Statement, planned
from unstuck.storage.protocol import Cursor
from unstuck.storage.sql import rows as shape
from unstuck.storage.sql.library import block

INSERT = block("insert")
COMPARE = block("compare")
CLAIM = block("claim")
WRITE_PROGRESS = block("write_progress")
WRITE_LOGS = block("write_logs")


def insert(jobs: Sequence[NewJob]) -> Plan[list[Inserted]]:
    """Insert all of these jobs or none."""
    mode = Mode.WRITE if len(jobs) == 1 else Mode.TRANSACTION
    return Plan("insert", mode, lambda: _insert(jobs))


def _insert(jobs: Sequence[NewJob]) -> Requests[list[Inserted]]:
    if not jobs:
        return []
    unique = _unique(jobs)
    created = yield from insert_new(unique.values())
    if len(created) < len(unique):
        there = [job_id for job_id in unique if job_id not in created]
        found: Rows = yield Statement(COMPARE, {"ids": there})
        for job_id, task, args in found:
            _same(unique[shape.uuid(job_id)], task, args)
    answers: list[Inserted] = []
    for job in jobs:
        answers.append(Inserted(job.id, job.id in created))
        created.discard(job.id)
    return answers


def insert_new(jobs: Iterable[NewJob]) -> Requests[set[UUID]]:
    """Insert those that are not there yet; answers the ids of these."""
    ordered = sorted(jobs, key=lambda job: job.id)
    inserted: Rows = yield Statement(INSERT, rows=[shape.new_job(job) for job in ordered])
    return {shape.uuid(row[0]) for row in inserted}


def _unique(jobs: Sequence[NewJob]) -> dict[UUID, NewJob]:
    unique: dict[UUID, NewJob] = {}
    for job in jobs:
        first = unique.setdefault(job.id, job)
        _same(first, job.task, job.args)
    return unique


def _same(job: NewJob, task: str, args: str) -> None:
    if (job.task, job.args) != (task, args):
        raise IdConflict(f"a job with the id {job.id} exists with another task or other arguments")


@planned(Mode.WRITE)
def claim(
    worker_id: UUID, queue: str, tasks: Sequence[str], limit: int, after: Cursor | None = None
) -> Requests[list[ClaimedJob]]:
    """Take the first ready jobs in line for this worker."""
    taken: Rows = yield Statement(
        CLAIM,
        {
            "worker_id": worker_id,
            "queue": queue,
            "tasks": list(tasks),
            "limit": limit,
            "line": shape.LINE_MIN if after is None else after.line,
            "after_id": shape.NIL if after is None else after.id,
            "target": target_of(State.READY, Event.CLAIM).value,
        },
    )
    return sorted(map(shape.claimed, taken), key=lambda job: (job.line, job.id))


@planned(Mode.WRITE)
def write_progress(rows: Sequence[tuple[UUID, int, str]]) -> Requests[frozenset[UUID]]:
    """Set the progress of attempts that still run under their fence."""
    if not rows:
        return frozenset()
    took: Rows = yield Statement(
        WRITE_PROGRESS,
        {"source": State.RUNNING.value},
        [{"job_id": job_id, "job_fence": fence, "progress": text} for job_id, fence, text in sorted(rows)],
    )
    return frozenset(shape.uuid(row[0]) for row in took)


@planned(Mode.WRITE)
def write_logs(rows: Sequence[tuple[UUID, int, int, str]]) -> Requests[None]:
    """Append log lines that are not there yet."""
    if rows:
        yield Statement(
            WRITE_LOGS,
            rows=[
                {"job_id": job_id, "job_fence": fence, "number": number, "line_text": text}
                for job_id, fence, number, text in sorted(rows)
            ],
        )
