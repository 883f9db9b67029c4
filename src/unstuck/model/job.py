"""A job: one request to run a task, in the three shapes in which the layers hand it on.

`NewJob` is what an enqueue asks for, `ClaimedJob` is the narrow row that a worker receives with its
claim, `Job` is the whole row as a reader sees it. All are frozen: nobody changes a job by changing an
object. Moments are aware datetimes in UTC, delays are microseconds, because decisions carry delays and
only the store adds them to its own clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from unstuck.model.states import FINAL, Reason, State

SECOND_US = 1_000_000

PRIORITY_STEP_US = 600 * SECOND_US
"""Head start of one step of priority in a queue that says nothing else: ten minutes."""

NO_HANDLER_LAST_US = 3600 * SECOND_US
"""The longest alarm of a job that waits because no living worker knows its task: an hour."""

STRICT_STEP_US = 10 * 365 * 86_400 * SECOND_US
"""Head start in a `strict` queue: ten years, so that a larger number always runs first."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a crash must know about a job without knowing its task; stored with the row.

    `tries` counts the first attempt. `backoff_*` are microseconds. `keep_*_us` say how long an ended
    job stays. Defaults: 5 tries, 3 crashes, 10 losses, back-off from 1 s doubling to 1 h,
    7 and 30 days (design, section 3).
    """

    tries: int = 5
    crash_limit: int = 3
    loss_limit: int = 10
    backoff_base_us: int = SECOND_US
    backoff_factor: float = 2.0
    backoff_cap_us: int = 3600 * SECOND_US
    backoff_jitter: float = 0.25
    keep_succeeded_us: int = 7 * 86_400 * SECOND_US
    keep_other_us: int = 30 * 86_400 * SECOND_US


DEFAULT_POLICY = Policy()


def is_suspect(crashes: int, losses: int) -> bool:
    """Whether a job with these counts must run alone, so that the next death is certainly its own."""
    return crashes >= 2 or losses >= 3


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job about to be inserted.

    `args` is UTF-8 JSON text of an object keyed by parameter name. `delay_us` delays the start from the
    store's now; `due_at` names a moment instead. `expires_in_us` ends the job as cancelled (`expired`)
    if no attempt has started by then, counted from the store's now.
    """

    id: UUID
    queue: str
    task: str
    args: str
    priority: int = 0
    delay_us: int | None = None
    due_at: datetime | None = None
    expires_in_us: int | None = None
    timeout_us: int | None = None
    policy: Policy = DEFAULT_POLICY
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    then: tuple[NewJob, ...] = ()
    codec: int = 1


class ClaimedJob(NamedTuple):
    """What a worker gets with its claim: enough to run the job and to judge its ending.

    `fence` is the thing it holds to prove ownership: every write for this attempt names it. A tuple, because a
    frozen dataclass takes ten times as long to make, and one is made for every job.
    """

    id: UUID
    fence: int
    generation: int
    queue: str
    task: str
    line: int
    args: str
    codec: int
    timeout_us: int | None
    failures: int
    crashes: int
    losses: int
    snoozes: int
    policy: Policy
    then: tuple[NewJob, ...]

    @property
    def attempt(self) -> int:
        """The number of this attempt as users, logs and history see it, from 1."""
        return 1 + self.failures + self.crashes + self.losses

    @property
    def is_suspect(self) -> bool:
        """Two crashes or three losses behind it: it must run alone."""
        return is_suspect(self.crashes, self.losses)


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """The stored words of an exception: never the exception itself, never local variables."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """The whole row as one consistent read saw it."""

    id: UUID
    generation: int
    queue: str
    task: str
    state: State
    reason: Reason | None
    priority: int
    line: int
    wake_at: datetime | None
    expires_at: datetime | None
    created_at: datetime
    claimed_at: datetime | None
    finished_at: datetime | None
    keep_until: datetime | None
    fence: int
    failures: int
    crashes: int
    losses: int
    handbacks: int
    snoozes: int
    worker_id: UUID | None
    verdict_id: UUID | None
    cancel_asked_at: datetime | None
    timeout_us: int | None
    args: str
    result: str | None
    error: ErrorInfo | None
    codec: int
    policy: Policy
    then: tuple[NewJob, ...]
    labels: Mapping[str, str]
    progress: tuple[float, float | None, str] | None
    has_effects: bool

    @property
    def attempt(self) -> int:
        """The number of the current or next attempt, from 1."""
        return 1 + self.failures + self.crashes + self.losses

    @property
    def is_suspect(self) -> bool:
        """Two crashes or three losses behind it: it must run alone."""
        return is_suspect(self.crashes, self.losses)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL


class Inserted(NamedTuple):
    """The answer to an insert: `created` is False where the same job was there already."""

    id: UUID
    created: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a job that did not simply succeed, as `jobs show` lists it."""

    job_id: UUID
    fence: int
    attempt: int
    worker_id: UUID | None
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str
    reason: str | None
    error: ErrorInfo | None
    detail: Mapping[str, Any]
    late_at: datetime | None
    late_wanted: str | None
    verdict_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a handler wrote with `ctx.log`."""

    job_id: UUID
    fence: int
    number: int
    at: datetime
    text: str
