"""The shapes of `--json`: one plain record per noun, under the names that the nouns have in code and tables.

The names are an interface: a field may be added, none is renamed or taken away. Moments are ISO 8601 in
UTC, durations carry their unit in the name, ids are text, and what a job stores as JSON (arguments, result)
is part of the document and not a text in it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from unstuck.model.job import Job
from unstuck.model.states import State
from unstuck.model.worker import Worker
from unstuck.rules.pausing import loop_ages


def plain(value: Any) -> Any:
    """Frozen nouns as dicts, lists, texts and numbers."""
    match value:
        case Enum():
            return value.value
        case UUID():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Mapping():
            return {str(plain(key)): plain(one) for key, one in _pairs(value)}
        case list() | tuple() | set() | frozenset():
            return [plain(one) for one in _members(value)]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return value


def job_record(job: Job) -> dict[str, Any]:
    """Every field of a job, and the number of its attempt."""
    record: dict[str, Any] = plain(job)
    record["attempt"] = attempt_of(job)
    for name in ("args", "result"):
        record[name] = stored_json(record[name])
    if job.progress is not None:
        done, total, text = job.progress
        record["progress"] = {"done": done, "total": total, "text": text}
    return record


def attempt_of(job: Job) -> int:
    """The number of the current, the next or the last attempt: one that failed for good has no next."""
    return max(1, job.attempt - 1) if job.state is State.FAILED else job.attempt


def worker_record(worker: Worker) -> dict[str, Any]:
    """Every field of a worker, and in one word what it does."""
    record: dict[str, Any] = plain(worker)
    record["status"] = status_of(worker)
    record["loops_seconds"] = {name: round(age, 1) for name, age in loop_ages(worker).items()}
    return record


def status_of(worker: Worker) -> str:
    """`working`, `quiet`, `leaving`, `stalled`, `overdue` (its lease is over, nobody has ended it yet) or `ended`."""
    if worker.ended_at is not None:
        return "ended"
    if (worker.lease_left_us or 0) <= 0:
        return "overdue"
    if worker.stalled_at is not None:
        return "stalled"
    if worker.leaving_at is not None:
        return "leaving"
    return "working" if worker.draining_at is None else "quiet"


def stored_json(text: str | None) -> Any:
    """What a stored JSON text says; the text itself where it is damaged."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items()  # type: ignore[no-any-return]


def _members(value: Any) -> Iterable[Any]:
    return value  # type: ignore[no-any-return]
