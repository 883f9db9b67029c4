"""Rows to nouns and back: the only place that knows in which order columns come.

The column lists are the parts `job`, `claimed` and `worker` of `common.sql`; the functions here unpack
them in the same order. Moments arrive as integer microseconds from every engine, because the SQL asks
for them so; ids arrive as UUIDs from one driver and as text from another, and both are taken.

`options` is one JSON object: the fields of the policy that differ from the default, and `then`, the
jobs to insert when this one succeeds. A field that this version does not know is left alone when read,
so that a newer client and an older worker can share a store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec

from unstuck.model.audit import AuditEntry
from unstuck.model.ids import uuid_of, uuids_of
from unstuck.model.job import (
    DEFAULT_POLICY,
    Attempt,
    ClaimedJob,
    ErrorInfo,
    Job,
    LogLine,
    NewJob,
    Policy,
)
from unstuck.model.moments import moment as known_moment
from unstuck.model.notice import Kind, Notice
from unstuck.model.states import Event, Reason, State
from unstuck.model.verdict import Verdict
from unstuck.model.worker import NewWorker, Worker
from unstuck.storage.plan import Columns

Row = Sequence[Any]
Options = tuple[Policy, tuple[NewJob, ...]]

NIL = UUID(int=0)
LINE_MIN, LINE_MAX = -(2**63), 2**63 - 1

_POLICY_FIELDS = tuple(each.name for each in fields(Policy))
_PLAIN_OPTIONS: Options = (DEFAULT_POLICY, ())


def uuid(value: Any) -> UUID:
    """An id as any driver gives it: text or bytes are what a store wrote itself, and are not checked again."""
    if type(value) is bytes:
        return uuid_of(int.from_bytes(value))
    return uuid_of(int(value.replace("-", ""), 16)) if type(value) is str else value


def optional_uuid(value: Any) -> UUID | None:
    """The same, of a column that may be null."""
    return None if value is None else uuid(value)


def moment(us: int | None) -> datetime | None:
    """Microseconds since the epoch as an aware datetime in UTC."""
    return None if us is None else known_moment(us)


def options_text(job: NewJob) -> str:
    """What a new job's row says of its policy and its follow-ups."""
    if job.policy is DEFAULT_POLICY and not job.then:
        return "{}"
    said: dict[str, Any] = {
        name: getattr(job.policy, name)
        for name in _POLICY_FIELDS
        if getattr(job.policy, name) != getattr(DEFAULT_POLICY, name)
    }
    if job.then:
        said["then"] = job.then
    return msgspec.json.encode(said).decode()


def options(text: str) -> Options:
    """Policy and follow-ups, read back."""
    return _PLAIN_OPTIONS if text == "{}" else _options(text)


@lru_cache(maxsize=512)
def _options(text: str) -> Options:
    said = msgspec.json.decode(text)
    then = msgspec.convert(said.get("then", ()), tuple[NewJob, ...])
    policy = Policy(**{name: said[name] for name in _POLICY_FIELDS if name in said})
    return policy, then


def error_text(error: ErrorInfo | None) -> str | None:
    """An error as its column says it."""
    return None if error is None else msgspec.json.encode(error).decode()


def error(text: str | None) -> ErrorInfo | None:
    """An error read back."""
    return None if text is None else msgspec.json.decode(text, type=ErrorInfo)


def common(job: NewJob) -> dict[str, Any]:
    """What jobs that differ in id and arguments only have in common, beside their schedule."""
    return {
        "queue": job.queue,
        "task": job.task,
        "timeout_us": job.timeout_us,
        "codec": job.codec,
        "options": options_text(job),
        "labels": msgspec.json.encode(dict(job.labels)).decode() if job.labels else "{}",
    }


def plain_job(job: NewJob) -> dict[str, Any]:
    """The values of one job that is due now and has no head start."""
    row = common(job)
    row["job_id"] = job.id
    row["args"] = job.args
    return row


def new_job(job: NewJob) -> dict[str, Any]:
    """The row source of an insert."""
    row = plain_job(job)
    row["priority"] = job.priority
    row["delay_us"] = job.delay_us
    row["due_at"] = job.due_at
    row["expires_in_us"] = job.expires_in_us
    return row


def successes(said: Sequence[Verdict]) -> Columns:
    """The row source of a settle of mere successes."""
    return Columns(
        {
            "job_id": [each.job_id for each in said],
            "job_fence": [each.fence for each in said],
            "said_id": [each.id for each in said],
            "result": [each.result for each in said],
        }
    )


def verdict(said: Verdict) -> dict[str, Any]:
    """The row source of a settle."""
    target = said.target
    is_final = said.is_final
    return {
        "job_id": said.job_id,
        "job_fence": said.fence,
        "source": said.source.value,
        "target": target.value,
        "reason": None if said.reason is None else said.reason.value,
        "said_id": said.id,
        "is_final": is_final,
        "is_cancel": target is State.CANCELLED,
        "is_expiry": said.event is Event.EXPIRE,
        "started": said.started,
        "keeps_error": said.error is None and target is not State.SUCCEEDED,
        "delay_us": _delay_us(said, target),
        "keep_us": said.keep_us if is_final else None,
        "failures": said.counts.failures,
        "crashes": said.counts.crashes,
        "losses": said.counts.losses,
        "handbacks": said.counts.handbacks,
        "snoozes": said.counts.snoozes,
        "result": said.result,
        "error": error_text(said.error),
    }


def _delay_us(said: Verdict, target: State) -> int | None:
    return said.delay_us or 0 if target in (State.SCHEDULED, State.WAITING) else None


def attempt_of(said: Verdict) -> dict[str, Any]:
    """The row source of an attempt's row; the verdict must have an outcome."""
    assert said.outcome is not None
    return {
        "job_id": said.job_id,
        "job_fence": said.fence,
        "said_id": said.id,
        "attempt": said.attempt,
        "owner_id": said.worker_id,
        "outcome": said.outcome.value,
        "reason": None if said.reason is None else said.reason.value,
        "error": error_text(said.error),
        "detail": msgspec.json.encode(said.detail).decode() if said.detail else "{}",
    }


def new_worker(worker: NewWorker) -> dict[str, Any]:
    """The row source of a registration."""
    return {
        "worker_id": worker.id,
        "kind": worker.kind,
        "supervisor_id": worker.supervisor_id,
        "host": worker.host,
        "pid": worker.pid,
        "lease_us": worker.lease_us,
        "queues": msgspec.json.encode(worker.queues).decode(),
        "version": worker.version,
    }


_new = tuple.__dict__["__new__"]


def claimed(row: Row) -> ClaimedJob:
    """Part `claimed`. Hundreds are made at once, so nobody counts again what the statement names one by one."""
    job: ClaimedJob = _new(ClaimedJob, (uuid(row[0]), *row[1:13], *options(row[13])))
    return job


def all_claimed(taken: Sequence[Row]) -> list[ClaimedJob]:
    """The same of many, as one driver gives them all, in their order in line."""
    first: object = taken[0][0] if taken else None
    found = sorted(taken, key=_place_by_number if isinstance(first, UUID) else _place)
    ids: list[UUID] = list(map(itemgetter(0), found))
    if isinstance(first, bytes):
        ids = uuids_of([int.from_bytes(row[0]) for row in found])
    elif not isinstance(first, UUID):
        return list(map(claimed, found))
    return [
        _new(
            ClaimedJob,
            (job_id, *row[1:13], *(_PLAIN_OPTIONS if row[13] == "{}" else _options(row[13]))),
        )
        for job_id, row in zip(ids, found, strict=True)
    ]


_place = itemgetter(5, 0)
"""Of a row of part `claimed`, its place in line: ids sort alike as numbers, bytes and texts."""


def _place_by_number(row: Row) -> tuple[int, int]:
    """The same: to compare two UUIDs takes several steps of the interpreter."""
    return row[5], row[0].int


def job(row: Row) -> Job:
    """Part `job`."""
    policy, then = options(row[28])
    return Job(
        id=uuid(row[0]),
        generation=row[1],
        queue=row[2],
        task=row[3],
        state=State(row[4]),
        reason=None if row[5] is None else Reason(row[5]),
        priority=row[6],
        line=row[7],
        wake_at=moment(row[8]),
        expires_at=moment(row[9]),
        created_at=known_moment(row[10]),
        claimed_at=moment(row[11]),
        finished_at=moment(row[12]),
        keep_until=moment(row[13]),
        fence=row[14],
        failures=row[15],
        crashes=row[16],
        losses=row[17],
        handbacks=row[18],
        snoozes=row[19],
        worker_id=optional_uuid(row[20]),
        verdict_id=optional_uuid(row[21]),
        cancel_asked_at=moment(row[22]),
        timeout_us=row[23],
        args=row[24],
        result=row[25],
        error=error(row[26]),
        codec=row[27],
        policy=policy,
        then=then,
        labels=msgspec.json.decode(row[29], type=dict[str, str]),
        progress=None if row[30] is None else _progress(row[30]),
        has_effects=bool(row[31]),
    )


def _progress(text: str) -> tuple[float, float | None, str]:
    return msgspec.json.decode(text, type=tuple[float, float | None, str])


def worker(row: Row) -> Worker:
    """Part `worker`."""
    return Worker(
        id=uuid(row[0]),
        kind=row[1],
        supervisor_id=optional_uuid(row[2]),
        host=row[3],
        pid=row[4],
        lease_us=row[5],
        lease_until=moment(row[6]),
        lease_left_us=row[7],
        started_at=known_moment(row[8]),
        ended_at=moment(row[9]),
        reason=row[10],
        draining_at=moment(row[11]),
        leaving_at=moment(row[12]),
        stalled_at=moment(row[13]),
        queues=msgspec.json.decode(row[14], type=tuple[str, ...]),
        version=row[15],
        report=_document(row[16]),
        late_endings=row[17],
        running=row[18],
    )


def attempt(row: Row) -> Attempt:
    """A row of block `attempts`."""
    return Attempt(
        job_id=uuid(row[0]),
        fence=row[1],
        attempt=row[2],
        worker_id=optional_uuid(row[3]),
        started_at=moment(row[4]),
        ended_at=moment(row[5]),
        outcome=row[6],
        reason=row[7],
        error=error(row[8]),
        detail=_document(row[9]),
        late_at=moment(row[10]),
        late_wanted=row[11],
        verdict_id=optional_uuid(row[12]),
    )


def log_line(row: Row) -> LogLine:
    """A row of block `logs`."""
    return LogLine(uuid(row[0]), row[1], row[2], known_moment(row[3]), row[4])


def notice(row: Row) -> Notice:
    """A row of block `notices`."""
    return Notice(Kind(row[0]), row[1], row[2], known_moment(row[3]), known_moment(row[4]))


def audit_entry(row: Row) -> AuditEntry:
    """A row of block `audit`."""
    return AuditEntry(uuid(row[0]), known_moment(row[1]), *row[2:])


def _document(text: str) -> Mapping[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any])
