"""A job's way through the tables: inserted, claimed, and what its running attempt writes.

An insert of one job is one statement. Of several it is a transaction, because one id that is taken by
another request must undo them all; where each stands for itself (`insert_each`) it is one statement again.
Rows are given to the engine in order of id, so that two groups that overlap wait for each other instead of
deadlocking. Jobs that are due now and have no head start, and differ in id and arguments only, have
statements of their own, which look nothing up: one for a single job, small enough to stay prepared, and one
for many. Whether all were new is told by their number, so that in the common case no id is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from operator import attrgetter
from typing import Any, cast
from uuid import UUID

from unstuck.model.alike import Alike
from unstuck.model.errors import IdConflict
from unstuck.model.job import ClaimedJob, Inserted, NewJob
from unstuck.model.states import Event, State, target_of
from unstuck.storage.plan import Columns, Mode, Plan, Requests, Rows, Statement, planned
from unstuck.storage.protocol import Cursor
from unstuck.storage.sql import rows as shape
from unstuck.storage.sql.library import block

INSERT = block("insert")
INSERT_ONE = block("insert_one")
INSERT_ALIKE = block("insert_alike")
COMPARE = block("compare")
CLAIM = block("claim")
CLAIMED = target_of(State.READY, Event.CLAIM).value
REACH = block("reach")
WRITE_PROGRESS = block("write_progress")
WRITE_LOGS = block("write_logs")


def insert(jobs: Sequence[NewJob]) -> Plan[list[Inserted]]:
    """Insert all of these jobs or none."""
    mode = Mode.WRITE if len(jobs) == 1 else Mode.TRANSACTION
    return Plan("insert", mode, lambda: _insert(jobs))


def insert_each(jobs: Sequence[NewJob]) -> Plan[list[Inserted | IdConflict]]:
    """Insert each of these jobs by itself, in one commit."""
    return Plan("insert_each", Mode.WRITE, lambda: _insert_each(jobs))


def _insert(jobs: Sequence[NewJob]) -> Requests[list[Inserted]]:
    if len(jobs) == 1:
        # The one that somebody waits for, most often: nothing to be told apart.
        there = yield from insert_new(jobs)
        if not there:
            return [Inserted(jobs[0].id, True)]
        answers = yield from _answers(jobs, _unique(jobs), there)
        return [_certain(answer) for answer in answers]
    if isinstance(jobs, Alike):
        made: list[Inserted] = []

        def meanwhile() -> None:
            made[:] = _all_new(jobs.ids)
            jobs.meanwhile()

        there = yield from insert_new(replace(jobs, meanwhile=meanwhile))
        if not there:
            return made or _all_new(jobs.ids)
        answers = yield from _answers(jobs, _unique(jobs), there)
        return [_certain(answer) for answer in answers]
    unique = _unique(jobs)
    if len(unique) < len(jobs):
        for job in jobs:
            first = unique[job.id.int]
            _certain(_answer(job, first.task, first.args, False))
    answers = yield from _insert_unique(jobs, unique)
    return [_certain(answer) for answer in answers]


def _insert_each(jobs: Sequence[NewJob]) -> Requests[list[Inserted | IdConflict]]:
    return (yield from _insert_unique(jobs, _unique(jobs)))


def _insert_unique(
    jobs: Sequence[NewJob], unique: Mapping[int, NewJob]
) -> Requests[list[Inserted | IdConflict]]:
    there = (yield from insert_new(unique.values())) if jobs else ()
    if not there and len(unique) == len(jobs):
        return [Inserted(job.id, True) for job in jobs]
    return (yield from _answers(jobs, unique, there))


def _answers(
    jobs: Sequence[NewJob], unique: Mapping[int, NewJob], there: Collection[NewJob]
) -> Requests[list[Inserted | IdConflict]]:
    # What an id means: the row that was there, or else the first of these jobs that has it.
    meanings = {number: (job.task, job.args) for number, job in unique.items()}
    fresh = meanings.keys() - {job.id.int for job in there}
    if there:
        found: Rows = yield Statement(COMPARE, {"ids": [job.id for job in there]})
        meanings.update({shape.uuid(job_id).int: (task, args) for job_id, task, args in found})
    answers: list[Inserted | IdConflict] = []
    for job in jobs:
        answers.append(_answer(job, *meanings[job.id.int], job.id.int in fresh))
        fresh.discard(job.id.int)
    return answers


def _unique(jobs: Sequence[NewJob]) -> dict[int, NewJob]:
    """The first job of each id, by its number: an id is slow to look up by itself."""
    unique = {job.id.int: job for job in jobs}
    if len(unique) < len(jobs):
        unique = {job.id.int: job for job in reversed(jobs)}
    return unique


def _answer(job: NewJob, task: str, args: str, created: bool) -> Inserted | IdConflict:
    if (job.task, job.args) != (task, args):
        return IdConflict(f"a job with the id {job.id} exists with another task or other arguments")
    return Inserted(job.id, created)


def _all_new(ids: Iterable[UUID]) -> list[Inserted]:
    return list(map(_inserted, repeat(Inserted), zip(ids, repeat(True), strict=False)))


def _certain(answer: Inserted | IdConflict) -> Inserted:
    if isinstance(answer, IdConflict):
        raise answer
    return answer


def insert_new(jobs: Collection[NewJob]) -> Requests[Collection[NewJob]]:
    """Insert those that are not there yet; answers those that are."""
    ordered: Sequence[NewJob] = jobs if type(jobs) is Alike else sorted(jobs, key=_number)
    first = ordered[0]
    is_plain = not first.priority and _schedule(first) == NOW
    inserted: Rows
    if is_plain and len(ordered) == 1:
        inserted = yield Statement(INSERT_ONE, shape.plain_job(first))
    elif is_plain and type(jobs) is Alike:
        columns = Columns({"job_id": jobs.ids, "args": jobs.args}, jobs.meanwhile)
        inserted = yield Statement(INSERT_ALIKE, shape.common(first), columns)
    elif is_plain and _are_alike(ordered):
        rows = [{"job_id": job.id, "args": job.args} for job in ordered]
        inserted = yield Statement(INSERT_ALIKE, shape.common(first), rows)
    else:
        inserted = yield Statement(INSERT, rows=[shape.new_job(job) for job in ordered])
    if len(inserted) == len(ordered):
        return ()
    fresh = {shape.uuid(row[0]).int for row in inserted}
    return [job for job in ordered if job.id.int not in fresh]


_inserted: Callable[[Any, Any], Inserted] = cast("Any", tuple).__new__
_number = attrgetter("id.int")
_schedule = attrgetter("delay_us", "due_at", "expires_in_us")
_likeness = attrgetter(
    "queue",
    "task",
    "priority",
    "delay_us",
    "due_at",
    "expires_in_us",
    "timeout_us",
    "policy",
    "labels",
    "then",
    "codec",
)
NOW = (None, None, None)


def _are_alike(jobs: Sequence[NewJob]) -> bool:
    """Whether they differ in id and arguments only."""
    return list(map(_likeness, jobs)).count(_likeness(jobs[0])) == len(jobs)


@planned(Mode.WRITE)
def claim(
    worker_id: UUID,
    queue: str,
    tasks: Sequence[str],
    limit: int,
    after: Cursor | None = None,
    until: Cursor | None = None,
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
            "until_line": shape.LINE_MAX if until is None else until.line,
            "until_id": shape.NIL if until is None else until.id,
            "target": CLAIMED,
        },
    )
    return shape.all_claimed(taken)


@planned(Mode.READ)
def reach(queue: str, after: Cursor | None, count: int) -> Requests[Cursor | None]:
    """The place of the ready job that stands so many behind this one."""
    found: Rows = yield Statement(
        REACH,
        {
            "queue": queue,
            "line": shape.LINE_MIN if after is None else after.line,
            "after_id": shape.NIL if after is None else after.id,
            "skipped": count - 1,
        },
    )
    return Cursor(found[0][0], shape.uuid(found[0][1])) if found else None


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
