"""The event log of the memory keeper: dicts that write a line for every row set or deleted.

The tables of a store with the log tell of every row, so no operation can change a row without its
line. A step that fails takes its lines back with its rows. What a line says, and which changes have
none, is the same as on the SQL engines, where triggers write it; the conformance suite compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from unstuck.model.happening import Happening, LoggedEvent
from unstuck.model.job import DEFAULT_POLICY, Job
from unstuck.model.moments import micros, moment
from unstuck.model.states import State
from unstuck.model.worker import Worker
from unstuck.storage.protocol import QueueInfo

K = TypeVar("K")
V = TypeVar("V")

JOB = (
    "state", "reason", "generation", "fence", "queue", "task", "priority", "line", "wake_at", "expires_at",
    "created_at", "claimed_at", "finished_at", "keep_until", "failures", "crashes", "losses", "handbacks",
    "snoozes", "worker_id", "verdict_id", "cancel_asked_at", "timeout_us",
)  # fmt: skip
POLICY = ("tries", "crash_limit", "loss_limit")
WORKER = (
    "kind", "supervisor_id", "host", "pid", "lease_us", "started_at", "ended_at", "reason", "draining_at",
    "leaving_at", "stalled_at",
)  # fmt: skip

_job_values, _policy_values, _worker_values = attrgetter(*JOB), attrgetter(*POLICY), attrgetter(*WORKER)
_USUAL_POLICY = _policy_values(DEFAULT_POLICY)
_PLAIN = frozenset({str, int, type(None)})


class Recorded(dict[K, V]):
    """A table whose changes are told: the key, the row before, the row after; None where there is none."""

    def __init__(self, rows: Mapping[K, V], tell: Callable[[K, V | None, V | None], None]):
        super().__init__(rows)
        self._tell = tell

    def __setitem__(self, key: K, row: V) -> None:
        before = self.get(key)
        super().__setitem__(key, row)
        self._tell(key, before, row)

    def __delitem__(self, key: K) -> None:
        before = self[key]
        super().__delitem__(key)
        self._tell(key, before, None)


class EventLog:
    """The lines of all records, in the order of each."""

    def __init__(self, clock: Callable[[], int]):
        self._clock = clock
        self._lines: dict[str, list[LoggedEvent]] = {}
        self._written: list[str] = []

    def page(self, after: tuple[str, int] | None, limit: int) -> list[LoggedEvent]:
        """Lines behind `after`, record by record."""
        page: list[LoggedEvent] = []
        for record in sorted(self._lines):
            if len(page) >= limit:
                break
            if after is None or record > after[0]:
                page += self._lines[record]
            elif record == after[0]:
                page += self._lines[record][after[1] :]
        return page[:limit]

    @property
    def length(self) -> int:
        """How many lines there are."""
        return len(self._written)

    def forget_behind(self, length: int) -> None:
        """Take back what was written after there were so many lines."""
        while len(self._written) > length:
            self._lines[self._written.pop()].pop()

    def found(self, kind: str, record: object, row: Any) -> None:
        """A record that was there before the log."""
        self._write(kind, str(record), Happening.FOUND, FACTS[kind](row), is_always=True)

    def tell_job(self, key: UUID, before: Job | None, after: Job | None) -> None:
        """A job's row was set or deleted."""
        self._tell("job", str(key), before, after)

    def tell_worker(self, key: UUID, before: Worker | None, after: Worker | None) -> None:
        """A worker's row was set or deleted."""
        self._tell("worker", str(key), before, after)

    def tell_queue(self, key: str, before: QueueInfo | None, after: QueueInfo | None) -> None:
        """A queue's row was set or deleted."""
        self._tell("queue", key, before, after)

    def _tell(self, kind: str, record: str, before: Any, after: Any) -> None:
        if after is None:
            self._write(kind, record, Happening.DELETED, {}, is_always=True)
        elif before is None:
            came = Happening.REGISTERED if kind == "worker" else Happening.INSERTED
            self._write(kind, record, came, FACTS[kind](after), is_always=True)
        else:
            self._write(kind, record, NAMED[kind](before, after), FACTS[kind](after), is_always=False)

    def _write(
        self, kind: str, record: str, name: Happening, facts: Mapping[str, Any], is_always: bool
    ) -> None:
        lines = self._lines.setdefault(record, [])
        if is_always or not lines or lines[-1].facts != facts:
            at = moment(self._clock())
            lines.append(LoggedEvent(record, len(lines) + 1, kind, name, at, facts))
            self._written.append(record)


def _job_facts(job: Job) -> dict[str, Any]:
    facts = _plain_row(JOB, _job_values(job))
    for name, value, usual in zip(POLICY, _policy_values(job.policy), _USUAL_POLICY, strict=True):
        facts[name] = None if value == usual else value
    return facts


def _worker_facts(worker: Worker) -> dict[str, Any]:
    return _plain_row(WORKER, _worker_values(worker))


def _queue_facts(queue: QueueInfo) -> dict[str, Any]:
    return {"step_us": queue.step_us, "paused_at": _plain(queue.paused_at)}


def _job_happening(before: Job, after: Job) -> Happening:
    was, now = before.state, after.state
    if after.generation != before.generation:
        return Happening.REVIVED
    if after.verdict_id != before.verdict_id:
        return Happening.SETTLED
    if now is State.RUNNING and was is not State.RUNNING:
        return Happening.CLAIMED
    if now is was and (after.priority, after.line) != (before.priority, before.line):
        return Happening.MOVED
    if now is State.WAITING:
        return Happening.PARKED
    if (was, now) == (State.WAITING, State.READY):
        return Happening.WOKEN
    if (was, now) == (State.SCHEDULED, State.READY):
        return Happening.PROMOTED
    if before.cancel_asked_at is None and after.cancel_asked_at is not None:
        return Happening.CANCEL_ASKED
    if now is was and after.keep_until != before.keep_until:
        return Happening.FORGOTTEN
    return Happening.CHANGED


def _worker_happening(before: Worker, after: Worker) -> Happening:
    if before.ended_at != after.ended_at:
        return Happening.ENDED if before.ended_at is None else Happening.CHANGED
    if before.leaving_at is None and after.leaving_at is not None:
        return Happening.LEAVING
    if before.draining_at is None and after.draining_at is not None:
        return Happening.DRAINING
    if (before.stalled_at is None) != (after.stalled_at is None):
        return Happening.TICKING if after.stalled_at is None else Happening.STALLED
    return Happening.CHANGED


def _queue_happening(before: QueueInfo, after: QueueInfo) -> Happening:
    if (before.paused_at is None) != (after.paused_at is None):
        return Happening.RESUMED if after.paused_at is None else Happening.PAUSED
    return Happening.CHANGED


def _plain_row(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {
        name: value if type(value) in _PLAIN else _plain(value)  # the common case, without a call
        for name, value in zip(names, values, strict=True)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return micros(value)
    return str(value) if isinstance(value, UUID | str) else value


FACTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "job": _job_facts,
    "worker": _worker_facts,
    "queue": _queue_facts,
}
NAMED: dict[str, Callable[[Any, Any], Happening]] = {
    "job": _job_happening,
    "worker": _worker_happening,
    "queue": _queue_happening,
}
