"""Settle: the one way to end.

The common case is one statement without a transaction around it: plain endings, each guarded by fence
and source state. Whatever it did not move is judged afterwards by what the rows say then, locked: the
same verdict id means *already*, a request to cancel turns the ending into that, anything else is
refused and stamped on the attempt. Verdicts that write more than the job's own row (an attempt, a
follow-up) do all of it in one transaction from the start.

A follow-up whose id is taken is left alone, whoever took it: an ending is never undone for the sake of
what was to follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from uuid import UUID

from unstuck.model.job import NewJob
from unstuck.model.states import Event, Reason, State, target_of
from unstuck.model.verdict import NOTHING_COUNTED, Answer, Outcome, Settled, Verdict
from unstuck.storage.plan import ContinueWith, Mode, Plan, Requests, Rows, Statement
from unstuck.storage.sql import rows
from unstuck.storage.sql.jobs import insert_new
from unstuck.storage.sql.library import block

SETTLE = block("settle")
SETTLE_SUCCESSES = block("settle_successes")
JUDGED = block("judged")
WRITE_ATTEMPTS = block("write_attempts")
RECORDED = block("recorded")
STAMP_LATE = block("stamp_late")

RUNNING, SUCCEED, ACCEPTED = State.RUNNING, Event.SUCCEED, Answer.ACCEPTED
SUCCEEDED = target_of(RUNNING, SUCCEED).value

_new = tuple.__dict__["__new__"]

Answers = dict[int, Answer]
Numbered = list[tuple[int, Verdict]]


def settle(verdicts: Sequence[Verdict]) -> Plan[list[Settled]]:
    """Record endings."""
    is_plain = all(each.outcome is None and not each.effects for each in verdicts)
    mode = Mode.WRITE if is_plain else Mode.TRANSACTION
    return Plan("settle", mode, lambda: _settle(verdicts, mode))


def _settle(verdicts: Sequence[Verdict], mode: Mode) -> Requests[list[Settled]]:
    if not verdicts:
        return []
    first, later = _first_of_each(list(enumerate(verdicts))) if _have_one_job_twice(verdicts) else (None, [])
    moved = yield from _move(verdicts if first is None else [verdict for _, verdict in first])
    if moved is None and first is None and mode is Mode.WRITE:
        return list(map(_accepted, verdicts))
    first = first or list(enumerate(verdicts))
    answers: Answers = {number: ACCEPTED for number, verdict in first if moved is None or verdict.id in moved}
    rest = [(number, verdict) for number, verdict in first if number not in answers] + later
    if mode is Mode.TRANSACTION:
        yield from _follow([verdict for number, verdict in first if number in answers])
        if rest:
            yield from _judge(rest, answers)
    elif rest:
        raise ContinueWith(
            Plan("settle_rest", Mode.TRANSACTION, lambda: _settle_rest(verdicts, rest, answers))
        )
    return _in_order(verdicts, answers)


def _settle_rest(verdicts: Sequence[Verdict], rest: Numbered, before: Answers) -> Requests[list[Settled]]:
    answers = dict(before)
    yield from _judge(rest, answers)
    return _in_order(verdicts, answers)


def _judge(rest: Numbered, answers: Answers) -> Requests[None]:
    """Answer each by what its row says; several verdicts on one job are judged one after the other."""
    while rest:
        wave, rest = _first_of_each(rest)
        found: Rows = yield Statement(JUDGED, {"ids": sorted(verdict.job_id for _, verdict in wave)})
        by_id = {rows.uuid(row[0]): row for row in found}
        again: Numbered = []
        late: Numbered = []
        for number, verdict in wave:
            row = by_id.get(verdict.job_id)
            if row is None:
                answers[number] = Answer.REFUSED
            elif rows.optional_uuid(row[3]) == verdict.id:
                answers[number] = Answer.ALREADY
            elif (row[1], row[2]) != (verdict.fence, verdict.source.value):
                answers[number] = Answer.REFUSED
                late.append((number, verdict))
            elif verdict.event is Event.EXPIRE and not row[6]:
                answers[number] = Answer.REFUSED  # it has been brought back to life since it was read
            elif row[4] and verdict.target is not State.CANCELLED:
                answers[number] = Answer.CANCELLED
                again.append((number, _as_cancelled(verdict, row[5])))
            else:
                answers[number] = Answer.ACCEPTED
                again.append((number, verdict))
        if again:
            moved = yield from _move([verdict for _, verdict in again])
            assert moved is None, "a row that was locked did not move"
            yield from _follow([verdict for _, verdict in again])
        if late:
            yield from _refuse(late, answers)


def _move(verdicts: Sequence[Verdict]) -> Requests[set[UUID] | None]:
    """Send them, of one job one; answers the ids of those that moved their row, or None where all have."""
    ordered = sorted(verdicts, key=_number_of_job)
    moved: Rows
    if _are_mere_successes(ordered):
        shared = {"source": RUNNING.value, "target": SUCCEEDED, "keep_us": ordered[0].keep_us}
        moved = yield Statement(SETTLE_SUCCESSES, shared, rows.successes(ordered))
    else:
        moved = yield Statement(SETTLE, rows=[rows.verdict(verdict) for verdict in ordered])
    if len(moved) == len(ordered):
        return None  # each moves one row at most: nobody is missing
    return {rows.uuid(row[-1]) for row in moved}


_number_of_job = attrgetter("job_id.int")


def _are_mere_successes(verdicts: Sequence[Verdict]) -> bool:
    """Whether each is told by its result alone, as nearly every ending is, and all are kept for the same time."""
    keep_us = verdicts[0].keep_us
    for each in verdicts:
        if (
            each.event is not SUCCEED
            or each.source is not RUNNING
            or each.counts is not NOTHING_COUNTED
            or each.error is not None
            or each.reason is not None
            or each.keep_us != keep_us
        ):
            return False
    return True


def _follow(verdicts: Sequence[Verdict]) -> Requests[None]:
    """What an accepted verdict writes beside the row of its job."""
    attempts = [rows.attempt_of(verdict) for verdict in verdicts if verdict.outcome is not None]
    if attempts:
        yield Statement(WRITE_ATTEMPTS, rows=attempts)
    new: dict[object, NewJob] = {}
    for verdict in verdicts:
        for effect in verdict.effects:
            for job in effect.jobs:
                new.setdefault(job.id, job)
    if new:
        yield from insert_new(new.values())


def _refuse(wave: Numbered, answers: Answers) -> Requests[None]:
    """What ended its attempt before the row moved on was recorded all the same; the rest is stamped.

    Only an owner's own ending can be late; of two that rescue an orphan, one simply comes second.
    """
    asked = [
        {"job_id": each.job_id, "job_fence": each.fence, "said_id": each.id}
        for _, each in wave
        if each.outcome is not None
    ]
    found: Rows = (yield Statement(RECORDED, rows=asked)) if asked else ()
    recorded = {rows.uuid(row[0]) for row in found}
    late: list[dict[str, object]] = []
    for number, verdict in wave:
        if verdict.id in recorded:
            answers[number] = Answer.ALREADY
        elif verdict.source is State.RUNNING and verdict.outcome not in (Outcome.CRASHED, Outcome.LOST):
            late.append({"job_id": verdict.job_id, "job_fence": verdict.fence, "wanted": verdict.event.value})
    if late:
        yield Statement(STAMP_LATE, rows=late)


def _as_cancelled(verdict: Verdict, options: str) -> Verdict:
    policy, _ = rows.options(options)
    return verdict._replace(
        event=Event.CANCEL,
        reason=Reason.CANCELLED,
        counts=NOTHING_COUNTED,
        delay_us=None,
        keep_us=policy.keep_other_us,
        result=None,
        error=None,
        outcome=Outcome.CANCELLED if verdict.started else None,
        effects=(),
    )


def _have_one_job_twice(verdicts: Sequence[Verdict]) -> bool:
    return len(set(map(_number_of_job, verdicts))) < len(verdicts)


def _first_of_each(numbered: Numbered) -> tuple[Numbered, Numbered]:
    """The first of each job, and the others."""
    seen: set[object] = set()
    first: Numbered = []
    later: Numbered = []
    for number, verdict in numbered:
        (later if verdict.job_id in seen else first).append((number, verdict))
        seen.add(verdict.job_id)
    return first, later


def _accepted(verdict: Verdict) -> Settled:
    answer: Settled = _new(Settled, (verdict, ACCEPTED))
    return answer


def _in_order(verdicts: Sequence[Verdict], answers: Answers) -> list[Settled]:
    return [Settled(verdict, answers[number]) for number, verdict in enumerate(verdicts)]
