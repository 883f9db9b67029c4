"""A verdict: how one attempt ended, fenced, with everything that follows from it.

There is one way to end: every success, failure, crash, timeout, cancel, expiry and operator delete is a
`Verdict` given to the storage operation `settle`. A verdict names the job, the fence under which it
was made and the state in which the job must still be; it moves the row only if all three hold. Its own
`id` is made once and kept through every repetition, so a settle whose answer was lost can be told from
one that was refused.

The constructors in `unstuck.rules` build the legal combinations; nothing else makes verdicts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from unstuck.model.effects import Effect
from unstuck.model.job import ErrorInfo
from unstuck.model.states import FINAL, Event, Reason, State, target_of


class Outcome(StrEnum):
    """How an attempt ended, as its row of `attempts` says."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CRASHED = "crashed"
    LOST = "lost"
    TIMED_OUT = "timed_out"
    SNOOZED = "snoozed"
    HANDED_BACK = "handed_back"
    CANCELLED = "cancelled"


class Counts(NamedTuple):
    """By how much each count of the row rises. `snoozes` None sets the count of snoozes in a row to 0."""

    failures: int = 0
    crashes: int = 0
    losses: int = 0
    handbacks: int = 0
    snoozes: int | None = 0


NOTHING_COUNTED = Counts()

NO_DETAIL: dict[str, Any] = {}
"""Shared by all verdicts that have nothing to add; nobody writes into a verdict."""


class Verdict(NamedTuple):
    """The fenced outcome of one attempt, or the ending of a job that was not running.

    `delay_us` is the alarm of a target that needs one; `keep_us` says how long an ended row is kept.
    `outcome` is set where a row of `attempts` is to be written; `started` tells whether the handler
    may have run, after which an expiry no longer applies.
    """

    id: UUID
    job_id: UUID
    fence: int
    event: Event
    source: State = State.RUNNING
    reason: Reason | None = None
    counts: Counts = NOTHING_COUNTED
    delay_us: int | None = None
    keep_us: int | None = None
    result: str | None = None
    error: ErrorInfo | None = None
    outcome: Outcome | None = None
    attempt: int = 1
    started: bool = True
    worker_id: UUID | None = None
    detail: dict[str, Any] = NO_DETAIL
    effects: tuple[Effect, ...] = ()

    @property
    def target(self) -> State:
        """The state that this verdict leads to."""
        return target_of(self.source, self.event)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended with it."""
        return self.target in FINAL


class Answer(StrEnum):
    """What settle says of a verdict."""

    ACCEPTED = "accepted"
    ALREADY = "already"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class Settled(NamedTuple):
    """The answer to one verdict.

    `ALREADY`: this very verdict was recorded before, its answer was lost. `REFUSED`: somebody else
    owns the job now; stop. `CANCELLED`: recorded, as cancelled, because that was asked meanwhile.
    """

    verdict: Verdict
    answer: Answer

    @property
    def is_recorded(self) -> bool:
        """Whether the row says what was decided."""
        return self.answer is not Answer.REFUSED
