"""The life cycle of a job, all of it, in one table.

Every rule about which state may follow which lives in this file: storage receives source and target
states from here as arguments, the CHECK constraints of the schema and `docs/states.md` are
generated from it, and the tests walk it. A state that is not final is always *owned* (`running`),
*alarmed* (`scheduled`, `waiting`: `wake_at` is set) or *in plain sight* (`ready`: every worker of the
queue looks at each poll). That sentence is the promise of the project, written as `CHECK_JOBS` below.

An event that the table does not list for a state is not refused politely: it cannot be spelled, because
`target_of` raises before any statement is built.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache

from unstuck.model.errors import IllegalTransition


class State(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What can happen to a job."""

    PROMOTE = "promote"
    PARK = "park"
    WAKE = "wake"
    CLAIM = "claim"
    SUCCEED = "succeed"
    RETRY = "retry"
    SNOOZE = "snooze"
    HAND_BACK = "hand_back"
    FAIL = "fail"
    CANCEL = "cancel"
    EXPIRE = "expire"
    REVIVE = "revive"


class Reason(StrEnum):
    """Why a job stands where it stands: a closed list."""

    TRIES_EXHAUSTED = "tries_exhausted"
    NOT_RETRIED = "not_retried"
    CRASH_LIMIT = "crash_limit"
    LOST_LIMIT = "lost_limit"
    SNOOZE_LIMIT = "snooze_limit"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    EXPIRED = "expired"
    UNDECODABLE = "undecodable"
    NO_HANDLER = "no_handler"
    CANCELLED = "cancelled"
    DELETED = "deleted"
    PURGED = "purged"
    PARENT_FAILED = "parent_failed"
    SUPERSEDED = "superseded"
    RETRYING = "retrying"
    CRASHED = "crashed"
    LOST = "lost"
    SNOOZED = "snoozed"
    HANDED_BACK = "handed_back"
    SUSPECT = "suspect"


MEANING = {
    Reason.TRIES_EXHAUSTED: "failed: its last try failed",
    Reason.NOT_RETRIED: "failed: the error is one that it never retries",
    Reason.CRASH_LIMIT: "failed: it killed its process too often",
    Reason.LOST_LIMIT: "failed: its workers were lost too often",
    Reason.SNOOZE_LIMIT: "failed: it snoozed too often in a row",
    Reason.TIMEOUT: "failed: its last try outlived its timeout",
    Reason.STALLED: "tries again: it held up its process until that was killed",
    Reason.EXPIRED: "cancelled: nobody had started it when it expired",
    Reason.UNDECODABLE: "failed: its arguments do not fit its task",
    Reason.NO_HANDLER: "waits: no living worker knows its task",
    Reason.CANCELLED: "cancelled: by an operator, by the program or by its own handler",
    Reason.DELETED: "cancelled: an operator deleted it",
    Reason.PURGED: "cancelled: an operator purged its queue",
    Reason.PARENT_FAILED: "not given yet; for jobs that follow one that did not succeed",
    Reason.SUPERSEDED: "not given yet; for jobs that a newer one replaces",
    Reason.RETRYING: "tries again: a try failed",
    Reason.CRASHED: "tries again: its process died, and nothing else was running in it",
    Reason.LOST: "tries again: its process died with others in it, or its host went",
    Reason.SNOOZED: "later: its handler asked for that",
    Reason.HANDED_BACK: "ready again, nothing counted: its worker gave it back",
    Reason.SUSPECT: "a second later: a suspect runs alone, and no place of its own was free",
}
"""What each reason says about the job that carries it."""

FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
ENDED = tuple(state for state in State if state in FINAL)
UNFINISHED = tuple(state for state in State if state not in FINAL)

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.SCHEDULED, Event.PROMOTE): State.READY,
    (State.SCHEDULED, Event.CANCEL): State.CANCELLED,
    (State.SCHEDULED, Event.EXPIRE): State.CANCELLED,
    (State.WAITING, Event.WAKE): State.READY,
    (State.WAITING, Event.PARK): State.WAITING,
    (State.WAITING, Event.CANCEL): State.CANCELLED,
    (State.WAITING, Event.EXPIRE): State.CANCELLED,
    (State.READY, Event.CLAIM): State.RUNNING,
    (State.READY, Event.PARK): State.WAITING,
    (State.READY, Event.CANCEL): State.CANCELLED,
    (State.READY, Event.EXPIRE): State.CANCELLED,
    (State.RUNNING, Event.SUCCEED): State.SUCCEEDED,
    (State.RUNNING, Event.RETRY): State.SCHEDULED,
    (State.RUNNING, Event.SNOOZE): State.SCHEDULED,
    (State.RUNNING, Event.HAND_BACK): State.READY,
    (State.RUNNING, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.CANCEL): State.CANCELLED,
    (State.SUCCEEDED, Event.REVIVE): State.READY,
    (State.FAILED, Event.REVIVE): State.READY,
    (State.CANCELLED, Event.REVIVE): State.READY,
}

CHECK_STATE = "state IN ({})".format(", ".join(f"'{state}'" for state in State))

CHECK_JOBS = (
    "state IN ('succeeded', 'failed', 'cancelled')"
    " OR state = 'ready'"
    " OR (state = 'running' AND worker_id IS NOT NULL)"
    " OR (state IN ('scheduled', 'waiting') AND wake_at IS NOT NULL)"
)

CHECK_WORKERS = "ended_at IS NOT NULL OR lease_until IS NOT NULL"


def target_of(source: State, event: Event) -> State:
    """The state that `event` leads to from `source`.

    Raises IllegalTransition where the table has no such edge.
    """
    try:
        return TRANSITIONS[source, event]
    except KeyError:
        raise IllegalTransition(f"a job that is {source} cannot {event.replace('_', ' ')}") from None


@cache
def sources_of(event: Event) -> tuple[State, ...]:
    """The states in which `event` may happen, in the order of the life cycle."""
    return tuple(state for state in State if (state, event) in TRANSITIONS)


def diagram() -> str:
    """The table as a Mermaid state diagram, as the documents show it."""
    lines = ["stateDiagram-v2", "    [*] --> scheduled", "    [*] --> ready"]
    lines += [f"    {source} --> {target}: {event}" for (source, event), target in TRANSITIONS.items()]
    lines += [f"    {state} --> [*]" for state in ENDED]
    return "\n".join(lines)
