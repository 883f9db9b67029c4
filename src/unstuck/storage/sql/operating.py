"""What an operator asks of jobs and queues, in SQL: guarded by source states, in order of id."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from unstuck.model.states import ENDED, FINAL, UNFINISHED, Event, State, sources_of, target_of
from unstuck.storage.plan import ContinueWith, Mode, Requests, Rows, Statement, planned
from unstuck.storage.protocol import QueueInfo
from unstuck.storage.sql import rows
from unstuck.storage.sql.library import block
from unstuck.storage.sql.reading import queue_info

ASK_CANCEL = block("ask_cancel")
REVIVE = block("revive")
FORGET = block("forget")
SET_PRIORITY = block("set_priority")
SET_QUEUE = block("set_queue")

_NOT_RUNNING = [state.value for state in UNFINISHED if state is not State.RUNNING]


@planned(Mode.WRITE)
def ask_cancel(ids: Sequence[UUID]) -> Requests[int]:
    """Ask running jobs to cancel; the first asking is kept."""
    asked: Rows = yield Statement(ASK_CANCEL, {"ids": sorted(set(ids)), "source": State.RUNNING.value})
    return len(asked)


@planned(Mode.WRITE)
def revive(ids: Sequence[UUID]) -> Requests[list[UUID]]:
    """Run ended jobs again."""
    (target,) = {target_of(state, Event.REVIVE) for state in FINAL}
    sources = [state.value for state in sources_of(Event.REVIVE)]
    found: Rows = yield Statement(
        REVIVE, {"ids": sorted(set(ids)), "sources": sources, "target": target.value}
    )
    return _in_order(ids, found)


@planned(Mode.WRITE)
def forget(ids: Sequence[UUID]) -> Requests[list[UUID]]:
    """Keep ended jobs no longer."""
    final = [state.value for state in ENDED]
    found: Rows = yield Statement(FORGET, {"ids": sorted(set(ids)), "final": final})
    return _in_order(ids, found)


@planned(Mode.WRITE)
def set_priority(jobs: Sequence[tuple[UUID, int]]) -> Requests[int]:
    """Set the priority of jobs that wait for their turn, and move them in line by the difference."""
    if not jobs:
        return 0
    wanted = sorted(dict(jobs).items())
    changed: Rows = yield Statement(
        SET_PRIORITY,
        {"sources": _NOT_RUNNING},
        [{"job_id": job_id, "priority": priority} for job_id, priority in wanted],
    )
    return len(changed)


@planned(Mode.WRITE)
def set_queue(
    name: str, *, paused: bool | None = None, step_us: int | None = None, actor: str | None = None
) -> Requests[QueueInfo]:
    """Create the queue's row where needed and change what is given."""
    yield Statement(SET_QUEUE, {"queue": name, "paused": paused, "step_us": step_us, "actor": actor})
    raise ContinueWith(queue_info(name))


def _in_order(ids: Sequence[UUID], found: Rows) -> list[UUID]:
    """Those ids that the statement answered, each once, in the order given."""
    there = {rows.uuid(row[0]) for row in found}
    return [job_id for job_id in dict.fromkeys(ids) if job_id in there]
