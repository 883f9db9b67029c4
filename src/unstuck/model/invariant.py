"""The snapshot invariants: sentences that hold for every row at every moment, each with a stable name.

A row that breaks one of the first kind was written by a bug or by hand: nothing that dies can make it.
The passing ones (`PASSING`) break for a while when somebody dies, and only count where a living worker has
been there for longer than the bound. They are looked for scan by scan (`SCANS`): a scan walks one index
from end to end in portions, so that a store of any size can be looked at without a long statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Invariant(StrEnum):
    """What must be true of every row: a closed list, named after the offence."""

    UNFINISHED_WITHOUT_OWNER_OR_ALARM = "unfinished_without_owner_or_alarm"
    OWNED_BUT_NOT_RUNNING = "owned_but_not_running"
    ENDED_WITH_ALARM = "ended_with_alarm"
    ENDED_WITHOUT_MOMENT = "ended_without_moment"
    ENDED_WITHOUT_RETENTION = "ended_without_retention"
    RUNNING_NEVER_CLAIMED = "running_never_claimed"
    MORE_FAILURES_THAN_TRIES = "more_failures_than_tries"
    MORE_CRASHES_THAN_ALLOWED = "more_crashes_than_allowed"
    MORE_LOSSES_THAN_ALLOWED = "more_losses_than_allowed"
    ENDED_BEFORE_IT_BEGAN = "ended_before_it_began"
    ALARM_BEYOND_HORIZON = "alarm_beyond_horizon"
    EXPIRY_WITHOUT_ALARM = "expiry_without_alarm"
    TIMEOUT_WITHOUT_ALARM = "timeout_without_alarm"
    UNREADABLE = "unreadable"
    ATTEMPT_BEYOND_ITS_FENCE = "attempt_beyond_its_fence"
    ATTEMPT_OF_NO_JOB = "attempt_of_no_job"
    ATTEMPT_ENDED_BUT_RUNNING = "attempt_ended_but_running"
    LOG_OF_NO_JOB = "log_of_no_job"
    OWNER_MISSING = "owner_missing"
    OWNER_ENDED_AND_NOT_RECOVERED = "owner_ended_and_not_recovered"
    RECOVERING = "recovering"
    ALARM_OVERDUE = "alarm_overdue"
    TIMEOUT_OVERDUE = "timeout_overdue"
    WORKER_WITHOUT_LEASE_OR_END = "worker_without_lease_or_end"
    LEASE_LONGER_THAN_ALLOWED = "lease_longer_than_allowed"
    LAPSED_WORKER_NOT_ENDED = "lapsed_worker_not_ended"


OFFENCE = {
    Invariant.UNFINISHED_WITHOUT_OWNER_OR_ALARM: "has no owner, no alarm and is not in plain sight",
    Invariant.OWNED_BUT_NOT_RUNNING: "has an owner although it does not run",
    Invariant.ENDED_WITH_ALARM: "has ended and still has an alarm",
    Invariant.ENDED_WITHOUT_MOMENT: "has ended without a moment, or has one without having ended",
    Invariant.ENDED_WITHOUT_RETENTION: "has ended without a retention, or has one without having ended",
    Invariant.RUNNING_NEVER_CLAIMED: "runs without ever having been claimed",
    Invariant.MORE_FAILURES_THAN_TRIES: "has failed more often than it may be tried",
    Invariant.MORE_CRASHES_THAN_ALLOWED: "has crashed more often than its limit",
    Invariant.MORE_LOSSES_THAN_ALLOWED: "was lost more often than its limit",
    Invariant.ENDED_BEFORE_IT_BEGAN: "ended before it was created",
    Invariant.ALARM_BEYOND_HORIZON: "has an alarm further ahead than ten years",
    Invariant.EXPIRY_WITHOUT_ALARM: "expires without an alarm for it",
    Invariant.TIMEOUT_WITHOUT_ALARM: "runs with a timeout, or was asked to cancel, without an alarm for it",
    Invariant.UNREADABLE: "holds what no worker can read",
    Invariant.ATTEMPT_BEYOND_ITS_FENCE: "has an attempt newer than its fence",
    Invariant.ATTEMPT_OF_NO_JOB: "has attempts but no row",
    Invariant.ATTEMPT_ENDED_BUT_RUNNING: "runs an attempt that has ended",
    Invariant.LOG_OF_NO_JOB: "has log lines but no row",
    Invariant.OWNER_MISSING: "runs for a worker that has no row",
    Invariant.OWNER_ENDED_AND_NOT_RECOVERED: "runs for a worker that ended longer ago than the bound of recovery",
    Invariant.RECOVERING: "runs for a worker that is gone for less than the bound of recovery",
    Invariant.ALARM_OVERDUE: "has an alarm that nobody has answered within the bound",
    Invariant.TIMEOUT_OVERDUE: "has run beyond its timeout for longer than the bound",
    Invariant.WORKER_WITHOUT_LEASE_OR_END: "has neither a lease nor an end",
    Invariant.LEASE_LONGER_THAN_ALLOWED: "has a lease that ends later than its own length allows",
    Invariant.LAPSED_WORKER_NOT_ENDED: "has been silent for longer than the bound and nobody has ended it",
}
"""What is wrong with a record that breaks it, as the end of a sentence that begins with the record."""

PASSING = frozenset(
    {Invariant.RECOVERING, Invariant.OWNER_ENDED_AND_NOT_RECOVERED, Invariant.LAPSED_WORKER_NOT_ENDED}
)
"""Those that break for a while when somebody dies; told with the moment by which that must be over."""

SCANS: dict[str, tuple[Invariant, ...]] = {
    "workers": (
        Invariant.WORKER_WITHOUT_LEASE_OR_END,
        Invariant.LEASE_LONGER_THAN_ALLOWED,
        Invariant.LAPSED_WORKER_NOT_ENDED,
    ),
    "owners": (
        Invariant.OWNER_MISSING,
        Invariant.OWNER_ENDED_AND_NOT_RECOVERED,
        Invariant.RECOVERING,
    ),
    "alarms": (Invariant.ALARM_OVERDUE, Invariant.TIMEOUT_OVERDUE),
    "jobs": (
        Invariant.UNFINISHED_WITHOUT_OWNER_OR_ALARM,
        Invariant.OWNED_BUT_NOT_RUNNING,
        Invariant.ENDED_WITH_ALARM,
        Invariant.ENDED_WITHOUT_MOMENT,
        Invariant.ENDED_WITHOUT_RETENTION,
        Invariant.RUNNING_NEVER_CLAIMED,
        Invariant.MORE_FAILURES_THAN_TRIES,
        Invariant.MORE_CRASHES_THAN_ALLOWED,
        Invariant.MORE_LOSSES_THAN_ALLOWED,
        Invariant.ENDED_BEFORE_IT_BEGAN,
        Invariant.ALARM_BEYOND_HORIZON,
        Invariant.EXPIRY_WITHOUT_ALARM,
        Invariant.TIMEOUT_WITHOUT_ALARM,
        Invariant.UNREADABLE,
    ),
    "attempts": (
        Invariant.ATTEMPT_BEYOND_ITS_FENCE,
        Invariant.ATTEMPT_OF_NO_JOB,
        Invariant.ATTEMPT_ENDED_BUT_RUNNING,
    ),
    "logs": (Invariant.LOG_OF_NO_JOB,),
}
"""Which scan finds which; the walks through jobs, attempts and logs answer them as bits in this order. What matters most comes first."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What one portion of a scan found: (invariant, id) pairs; `after` is where the next begins, None at the end.

    A scan that stops at its first thousand offenders says so in `is_cut`.
    """

    found: Sequence[tuple[Invariant, str]]
    after: Any = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """What decides whether a thing is late, in microseconds: from the leases and reports of the living workers.

    R is `lease_us` + `grace_us`; `timeout_grace_us` is what a timed-out handler may take to give up.
    """

    lease_us: int = 30_000_000
    grace_us: int = 11_000_000
    timeout_grace_us: int = 5_000_000

    @property
    def bound_us(self) -> int:
        """R, the bound of recovery."""
        return self.lease_us + self.grace_us


USUAL_BOUNDS = Bounds()
"""At default settings."""
