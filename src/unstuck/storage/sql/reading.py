"""What readers see, in SQL: jobs by id or by filter, attempts, logs, queues and facts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from unstuck.model.job import PRIORITY_STEP_US, Attempt, Job, LogLine
from unstuck.model.states import State
from unstuck.storage.plan import Mode, Plan, Requests, Rows, Statement, planned
from unstuck.storage.protocol import Filter, QueueInfo
from unstuck.storage.sql import rows
from unstuck.storage.sql.library import block

GET = block("get")
FIND = block("find")
FIND_IDS = block("find_ids")
TALLY = block("tally")
TALLY_IDS = block("tally_ids")
ATTEMPTS = block("attempts")
LOGS = block("logs")
QUEUE_ROWS = block("queue_rows")
META = block("meta")


@planned(Mode.READ)
def get(job_id: UUID) -> Requests[Job | None]:
    """One job, whole."""
    found: Rows = yield Statement(GET, {"job_id": job_id})
    return rows.job(found[0]) if found else None


@planned(Mode.READ)
def find(which: Filter) -> Requests[list[Job]]:
    """Jobs that match, one page of them."""
    args = {**_matching(which), "after_id": which.after or rows.NIL, "limit": which.limit}
    found: Rows = yield Statement(FIND if which.ids is None else FIND_IDS, args)
    return [rows.job(row) for row in found]


@planned(Mode.READ)
def tally(which: Filter) -> Requests[dict[tuple[str, State], int]]:
    """How many jobs match, by queue and state."""
    found: Rows = yield Statement(TALLY if which.ids is None else TALLY_IDS, _matching(which))
    return {(queue, State(state)): count for queue, state, count in found}


def _matching(which: Filter) -> dict[str, Any]:
    key, value = which.label or (None, None)
    args: dict[str, Any] = {
        "states": [state.value for state in (State if which.states is None else which.states)],
        "queue": which.queue,
        "task": which.task,
        "reason": None if which.reason is None else which.reason.value,
        "worker_id": which.worker_id,
        "label": key,
        "label_value": value,
    }
    if which.ids is not None:
        args["ids"] = list(which.ids)
    return args


@planned(Mode.READ)
def attempts(job_id: UUID) -> Requests[list[Attempt]]:
    """The attempts of a job that did not simply succeed, oldest first."""
    found: Rows = yield Statement(ATTEMPTS, {"job_id": job_id})
    return [rows.attempt(row) for row in found]


@planned(Mode.READ)
def logs(job_id: UUID) -> Requests[list[LogLine]]:
    """The lines that a job's handlers wrote, oldest first."""
    found: Rows = yield Statement(LOGS, {"job_id": job_id})
    return [rows.log_line(row) for row in found]


@planned(Mode.READ)
def queues() -> Requests[list[QueueInfo]]:
    """Every queue that has a row or a job, by name."""
    return (yield from _queues(None))


def queue_info(name: str) -> Plan[QueueInfo]:
    """One queue with its counts by state."""

    def read() -> Requests[QueueInfo]:
        (info,) = yield from _queues(name)
        return info

    return Plan("queue_info", Mode.READ, read)


def _queues(only: str | None) -> Requests[list[QueueInfo]]:
    settings: Rows = yield Statement(QUEUE_ROWS)
    counted: Rows = yield Statement(TALLY, _matching(Filter(queue=only)))
    counts: dict[str, dict[State, int]] = {}
    for queue, state, count in counted:
        counts.setdefault(queue, {})[State(state)] = count
    said = {name: rest for name, *rest in settings}
    names = {*said, *counts} if only is None else {only}
    return [
        QueueInfo(name, step_us, rows.moment(paused_at), counts.get(name, {}), paused_by)
        for name in sorted(names)
        for step_us, paused_at, paused_by in [said.get(name, (PRIORITY_STEP_US, None, None))]
    ]


@planned(Mode.READ)
def meta() -> Requests[dict[str, str]]:
    """The store's own facts."""
    found: Rows = yield Statement(META)
    return {name: value for name, value in found if value is not None}
