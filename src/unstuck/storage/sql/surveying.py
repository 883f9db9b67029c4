"""What the sweep reads to see what should be on notice, and the notices themselves.

The survey reads names of queues by hopping through the claim's index and looks at the front of each; it
never counts a backlog. Notices of a kind are made equal to what was found, in one transaction, so that
one that appears or goes is told once.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from unstuck.model.job import Job
from unstuck.model.notice import Finding, Notice
from unstuck.model.states import Event, Reason, State, sources_of
from unstuck.storage.plan import Mode, Requests, Rows, Statement, planned
from unstuck.storage.protocol import Lag, QueueHead, Survey
from unstuck.storage.sql import rows
from unstuck.storage.sql.library import block
from unstuck.storage.sql.workers import WORKERS

SIGNS = block("signs")
READY_QUEUES = block("ready_queues")
HEAD = block("head")
KNOWN_TASKS = block("known_tasks")
UNHANDLED = block("unhandled")
WAITING_UNHANDLED = block("waiting_unhandled")
NOTICES = block("notices")
NOTICES_OF = block("notices_of")
PUT_NOTICES = block("put_notices")
DROP_NOTICES = block("drop_notices")

KNOWING = block("knowing")
PARKED = block("parked")
OVERDUE = block("overdue")

FRONT = 500
"""How far a sweep looks into a queue from its front."""

LAG_FRONT = 20_000
"""How many alarms are looked at, the earliest first."""


@planned(Mode.READ)
def survey() -> Requests[Survey]:
    """What the sweep needs to see."""
    signs: Rows = yield Statement(
        SIGNS,
        {
            "sources": [state.value for state in sources_of(Event.EXPIRE)],
            "unhandled": State.WAITING.value,
            "reason": Reason.NO_HANDLER.value,
        },
    )
    ((now_us, has_orphans, has_expired, has_unhandled),) = signs
    queues: Rows = yield Statement(READY_QUEUES)
    heads: list[QueueHead] = []
    for queue, is_paused in queues:
        front: Rows = yield Statement(HEAD, {"queue": queue, "front": FRONT})
        if front:
            oldest_us = max(int(age) for _, age in front)
            heads.append(QueueHead(queue, oldest_us, bool(is_paused), frozenset(task for task, _ in front)))
    workers: Rows = yield Statement(WORKERS, {"include_ended": False})
    known: Rows = yield Statement(KNOWN_TASKS)
    standing: Rows = yield Statement(NOTICES)
    return Survey(
        now_us=int(now_us),
        has_orphans=bool(has_orphans),
        has_expired=bool(has_expired),
        has_unhandled=bool(has_unhandled),
        heads=heads,
        workers=[rows.worker(row) for row in workers],
        known_tasks=frozenset(row[0] for row in known),
        notices=[rows.notice(row) for row in standing],
    )


@planned(Mode.READ)
def unhandled(queue: str, older_us: int, limit: int) -> Requests[list[Job]]:
    """Ready jobs at the front of the queue whose task no living worker knows."""
    found: Rows = yield Statement(
        UNHANDLED, {"queue": queue, "older_us": older_us, "front": FRONT, "limit": limit}
    )
    return [rows.job(row) for row in found]


@planned(Mode.READ)
def waiting_unhandled(limit: int) -> Requests[list[tuple[Job, bool]]]:
    """Jobs without a handler whose alarm has passed, and whether their task is known now."""
    found: Rows = yield Statement(
        WAITING_UNHANDLED,
        {"source": State.WAITING.value, "reason": Reason.NO_HANDLER.value, "limit": limit},
    )
    return [(rows.job(row), bool(row[-1])) for row in found]


@planned(Mode.TRANSACTION)
def keep_notices(
    findings: Sequence[Finding], kinds: Sequence[str]
) -> Requests[tuple[list[Notice], list[Notice]]]:
    """Make the notices of these kinds equal to the findings."""
    standing: Rows = yield Statement(NOTICES_OF, {"kinds": [str(kind) for kind in kinds]})
    before = {(notice.kind, notice.subject): notice for notice in map(rows.notice, standing)}
    found = {(finding.kind, finding.subject): finding for finding in findings}
    went = [notice for key, notice in before.items() if key not in found]
    if went:
        yield Statement(
            DROP_NOTICES, rows=[{"kind": notice.kind.value, "subject": notice.subject} for notice in went]
        )
    appeared: list[Notice] = []
    if found:
        put: Rows = yield Statement(
            PUT_NOTICES,
            rows=[
                {"kind": kind.value, "subject": subject, "sentence": finding.sentence}
                for (kind, subject), finding in sorted(found.items())
            ],
        )
        appeared = [notice for notice in map(rows.notice, put) if (notice.kind, notice.subject) not in before]
    return appeared, went


@planned(Mode.READ)
def knowing(tasks: Sequence[str]) -> Requests[dict[str, frozenset[UUID]]]:
    """Which living workers know these tasks."""
    found: Rows = yield Statement(KNOWING, {"tasks": sorted(set(tasks))})
    known: dict[str, set[UUID]] = {task: set() for task in tasks}
    for task, worker_id in found:
        known[task].add(rows.uuid(worker_id))
    return {task: frozenset(ids) for task, ids in known.items()}


@planned(Mode.READ)
def lagging(older_us: int) -> Requests[Lag]:
    """What waits for a handler, and what has been due for longer than that."""
    parked: Rows = yield Statement(
        PARKED,
        {"front": LAG_FRONT, "source": State.WAITING.value, "reason": Reason.NO_HANDLER.value},
    )
    overdue: Rows = yield Statement(OVERDUE, {"front": LAG_FRONT, "older_us": older_us})
    return Lag(
        parked={(queue, task): number for queue, task, number in parked},
        overdue={queue: (number, int(longest_us)) for queue, number, longest_us in overdue},
    )


@planned(Mode.READ)
def notices() -> Requests[list[Notice]]:
    """All notices, oldest first."""
    found: Rows = yield Statement(NOTICES)
    return [rows.notice(row) for row in found]
