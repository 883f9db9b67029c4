"""Workers in SQL: rows that begin once and end once, what they own, and the one look per poll.

An orphan is a running job whose worker has ended: a fact that never changes back, so the search may
read an old snapshot without harm. Only `end_lapsed` compares leases with the clock, in one statement
that a renewal either comes before or after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from unstuck.model.job import NO_HANDLER_LAST_US, ClaimedJob
from unstuck.model.states import Event, Reason, State, target_of
from unstuck.model.worker import LAPSED, NewWorker, Worker
from unstuck.storage.plan import ContinueWith, Mode, Plan, Requests, Rows, Statement, planned
from unstuck.storage.protocol import Look, Renewed, Since
from unstuck.storage.sql import rows
from unstuck.storage.sql.chores import MOVE
from unstuck.storage.sql.library import block

CLOCK = block("clock")
LOOK = block("look")
GLANCE = block("glance")
REGISTER = block("register")
REGISTER_TASKS = block("register_tasks")
WAITING_FOR = block("waiting_for")
RENEW = block("renew")
END_WORKER = block("end_worker")
END_LAPSED = block("end_lapsed")
DRAIN = block("drain")
MARK_STALLED = block("mark_stalled")
WORKERS = block("workers")
WORKERS_BY_ID = block("workers_by_id")
OWNED = block("owned")
ORPHANS = block("orphans")
ORPHANS_OF_NOBODY = block("orphans_of_nobody")


FAR_US = 2**62
"""Later than every moment."""
WOKEN_AT_ONCE = 500
WAKING_FRONT = 2_000
"""How many alarms whoever registers looks at, the earliest first: what lies behind them is seen at its own."""


@planned(Mode.READ)
def look(
    worker_id: UUID, queues: Sequence[str], tasks: Sequence[str], since: Since | None = None
) -> Requests[Look]:
    """What a worker asks once per poll."""
    names = list(dict.fromkeys(queues))
    asked: dict[str, Any] = {"worker_id": worker_id, "queues": names, "tasks": list(tasks)}
    if since is not None:
        asked["lines"] = [since.lines.get(name, rows.LINE_MIN) for name in names]
        asked["age_us"] = since.age_us
    seen: Rows = yield Statement(LOOK if since is None else GLANCE, asked)
    now_us, flags = 0, 2
    alarm: int | None = None
    ready: dict[str, int] = {}
    empty: set[str] = set()
    cancel: list[tuple[UUID, int]] = []
    for kind, name, number in seen:
        match kind:
            case "now":
                now_us = number
            case "worker":
                flags = number
            case "queue" if number is not None:
                ready[name] = number
            case "queue":
                empty.add(name)
            case "alarm":
                alarm = number
            case "cancel" if number is not None:
                cancel.append((UUID(name), number))
            case _:
                pass
    return Look(
        now_us=now_us,
        is_alive=not flags & 2,
        is_draining=bool(flags & 1),
        is_leaving=bool(flags & 4),
        ready=ready,
        next_alarm_us=alarm,
        cancel=cancel,
        empty=frozenset(empty),
    )


@planned(Mode.TRANSACTION)
def register(worker: NewWorker) -> Requests[int]:
    """Insert the worker, then wake what waited for it, in small steps of their own.

    A row that is there already may be one of which the answer, or the waking, was lost: so wake again.
    """
    inserted: Rows = yield Statement(REGISTER, rows=[rows.new_worker(worker)])
    names = sorted(set(worker.tasks))
    if inserted and names:
        yield Statement(REGISTER_TASKS, rows=[{"worker_id": worker.id, "task": name} for name in names])
    now: Rows = inserted or (yield Statement(CLOCK))
    if names:
        raise ContinueWith(_wake_waiting(names, int(now[0][0])))
    return int(now[0][0])


@planned(Mode.READ)
def _wake_waiting(tasks: Sequence[str], now_us: int) -> Requests[int]:
    waiting: Rows = yield Statement(
        WAITING_FOR,
        {
            "source": State.WAITING.value,
            "reason": Reason.NO_HANDLER.value,
            "tasks": list(tasks),
            "longest_us": NO_HANDLER_LAST_US,
            "front": WAKING_FRONT,
            "limit": WOKEN_AT_ONCE,
        },
    )
    if waiting:
        raise ContinueWith(_wake_some(tasks, now_us, waiting))
    return now_us


@planned(Mode.WRITE)
def _wake_some(tasks: Sequence[str], now_us: int, waiting: Rows) -> Requests[int]:
    woken: Rows = yield Statement(
        MOVE,
        rows=[
            {
                "job_id": rows.uuid(job_id),
                "job_fence": fence,
                "source": state,
                "target": target_of(State(state), Event.WAKE).value,
                "reason": None,
                "delay_us": None,
            }
            for job_id, fence, state in sorted(waiting, key=lambda row: str(row[0]))
        ],
    )
    if woken and len(waiting) == WOKEN_AT_ONCE:
        raise ContinueWith(_wake_waiting(tasks, now_us))
    return now_us


@planned(Mode.WRITE)
def renew(
    worker_ids: Sequence[UUID], lease_us: int, reports: Mapping[UUID, str] | None = None
) -> Requests[Renewed]:
    """Extend the leases of workers that have not ended."""
    reports = reports or {}
    renewed: Rows = ()
    if worker_ids:
        renewed = yield Statement(
            RENEW,
            {"lease_us": lease_us},
            [{"worker_id": each, "report": reports.get(each)} for each in sorted(set(worker_ids))],
        )
    if renewed:
        return Renewed(int(renewed[0][1]), frozenset(rows.uuid(row[0]) for row in renewed))
    now: Rows = yield Statement(CLOCK)
    return Renewed(int(now[0][0]), frozenset())


@planned(Mode.WRITE)
def end_worker(worker_id: UUID, reason: str) -> Requests[bool]:
    """End this worker's row, once."""
    ended: Rows = yield Statement(END_WORKER, {"worker_id": worker_id, "reason": reason})
    return bool(ended)


@planned(Mode.WRITE)
def end_lapsed(seen_us: int | None = None) -> Requests[list[Worker]]:
    """End workers whose lease is over, and was when the caller last looked; pull in leases that are too long."""
    changed: Rows = yield Statement(
        END_LAPSED, {"reason": LAPSED, "seen_us": FAR_US if seen_us is None else seen_us}
    )
    # Not asked as IS NOT NULL in SQL: SQLite 3.40 answers that wrongly in RETURNING of tables without rowid.
    ended = [rows.uuid(row[0]) for row in changed if row[1] is not None]
    if ended:
        raise ContinueWith(_by_id(ended))
    return []


@planned(Mode.READ)
def _by_id(ids: Sequence[UUID]) -> Requests[list[Worker]]:
    found: Rows = yield Statement(WORKERS_BY_ID, {"ids": list(ids)})
    return [rows.worker(row) for row in found]


@planned(Mode.WRITE)
def drain(worker_id: UUID, leave: bool = False) -> Requests[bool]:
    """Mark a living worker as draining; with `leave`, as leaving too."""
    marked: Rows = yield Statement(DRAIN, {"worker_id": worker_id, "leave": leave})
    return bool(marked)


@planned(Mode.WRITE)
def mark_stalled(worker_id: UUID, is_stalled: bool) -> Requests[bool]:
    """Note that a living worker's child does not tick, or ticks again."""
    marked: Rows = yield Statement(MARK_STALLED, {"worker_id": worker_id, "is_stalled": is_stalled})
    return bool(marked)


@planned(Mode.READ)
def workers(include_ended: bool = False) -> Requests[list[Worker]]:
    """The workers, living ones first, newest first."""
    found: Rows = yield Statement(WORKERS, {"include_ended": include_ended})
    return [rows.worker(row) for row in found]


@planned(Mode.READ)
def owned(worker_id: UUID) -> Requests[list[ClaimedJob]]:
    """The running attempts of a worker."""
    found: Rows = yield Statement(OWNED, {"worker_id": worker_id})
    return [rows.claimed(row) for row in found]


def orphans(limit: int, include_missing: bool = False) -> Plan[list[tuple[ClaimedJob, Worker | None]]]:
    """Running jobs whose worker has ended or, where asked, has no row."""
    return Plan("orphans", Mode.READ, lambda: _orphans(limit, include_missing))


def _orphans(limit: int, include_missing: bool) -> Requests[list[tuple[ClaimedJob, Worker | None]]]:
    found: list[tuple[ClaimedJob, Worker | None]] = []
    left: Rows = yield Statement(ORPHANS, {"limit": limit})
    if left:
        ids = sorted({rows.uuid(row[-1]) for row in left})
        ended: Rows = yield Statement(WORKERS_BY_ID, {"ids": ids})
        by_id = {each.id: each for each in map(rows.worker, ended)}
        # A worker's row may have been pruned between the two reads: it comes with include_missing.
        found = [
            (rows.claimed(row), by_id[rows.uuid(row[-1])]) for row in left if rows.uuid(row[-1]) in by_id
        ]
    if include_missing and len(found) < limit:
        nobody: Rows = yield Statement(ORPHANS_OF_NOBODY, {"limit": limit - len(found)})
        found += [(rows.claimed(row), None) for row in nobody]
    return found
