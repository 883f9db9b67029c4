"""When two keepers with clocks of their own have said the same.

Moments are compared as seconds from each keeper's own now, and so are lines, which are moments too.
Answers that come in no promised order are put in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.conformance.trying import SECOND, Trial
from unstuck.model.errors import IdConflict, IllegalTransition
from unstuck.model.happening import LoggedEvent

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SPANS = {"lease_left_us", "next_alarm_us", "oldest_us"}


class Away(float):
    """Seconds from now, to be compared with tolerance."""


def outcome(side: Trial, promise: str, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    try:
        answer = getattr(side, promise)(*args, **options)
    except (IdConflict, IllegalTransition) as refusal:
        return type(refusal)
    if promise in ("expired", "owned", "unhandled"):
        return sorted(answer, key=lambda job: job.id)
    if promise in ("waiting_unhandled", "orphans"):
        return sorted(answer, key=lambda pair: pair[0].id)
    if promise == "end_lapsed":
        return sorted(answer, key=lambda worker: worker.id)
    if promise == "promote":
        now_us = side.now_us()
        return {name: Away((line - now_us) / SECOND) if name else line for name, line in answer.items()}
    if promise == "look":
        now_us = side.now_us()
        lines = {queue: Away((line - now_us) / SECOND) for queue, line in answer.ready.items()}
        return replace(answer, ready=lines, cancel=sorted(answer.cancel))
    if promise == "survey":
        by_id = sorted(answer.workers, key=lambda worker: worker.id)
        return replace(answer, workers=by_id, heads=sorted(answer.heads, key=lambda head: head.queue))
    if promise == "offenders":
        # At most 20 are told of each, and not which.
        return {name: sorted(ids) if len(ids) < 20 else len(ids) for name, ids in answer.items()}
    if promise == "settle":
        return [each.answer for each in answer]
    return None if promise == "register" else answer


def logged(line: LoggedEvent) -> Any:
    """A line of the event log with its facts as moments; a keeper with a clock of a test's own has no `at`."""
    facts = {
        name: EPOCH + timedelta(microseconds=value)
        if value is not None and (name == "line" or name.endswith(("_at", "_until")))
        else value
        for name, value in line.facts.items()
    }
    return [line.record, line.number, line.kind, str(line.name), facts]


def seen(value: Any, now_us: int) -> Any:
    """The value with moments as seconds from now, in plain lists and dicts."""
    if isinstance(value, datetime):
        return Away((value - EPOCH) / timedelta(seconds=1) - now_us / SECOND)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: seen_field(each.name, getattr(value, each.name), now_us) for each in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: seen_field(name, part, now_us) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {key: seen(part, now_us) for key, part in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [seen(part, now_us) for part in value]
    return value


def seen_field(name: str, value: Any, now_us: int) -> Any:
    if name == "now_us":
        return None
    if name == "line":
        return Away((value - now_us) / SECOND)
    if name in SPANS:
        return None if value is None else Away(value / SECOND)
    return seen(value, now_us)


def alike(one: Any, other: Any, slack: float) -> bool:
    if isinstance(one, Away) and isinstance(other, Away):
        return abs(one - other) <= slack
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key], slack) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other, [slack] * len(one)))
    return bool(one == other)
