"""An attempt has ended under its worker's eyes: what follows.

Each function builds the one legal verdict for one way to end. The worker brings what only it can know
(the ids, the result or the error, the dice); the row brings its policy. A failure with tries left is a
retry, the last one is the end; a hand-back counts nothing and keeps the place in line.
"""

from __future__ import annotations

from uuid import UUID

from unstuck.model.job import ClaimedJob, ErrorInfo, Job
from unstuck.model.states import Event, Reason, State
from unstuck.model.verdict import NO_DETAIL, NOTHING_COUNTED, Counts, Outcome, Verdict
from unstuck.rules.keeping import keep_us
from unstuck.rules.parting import effects_of
from unstuck.rules.retrying import SNOOZES_IN_A_ROW, SUSPECT_DELAY_US, backoff_us

_new = tuple.__dict__["__new__"]

SUCCEED, RUNNING = Event.SUCCEED, State.RUNNING
"""To ask an enumeration for its member takes longer than all else about a word."""


def succeeded(
    job: ClaimedJob, verdict_id: UUID, worker_id: UUID, result: str | None, not_kept: str = ""
) -> Verdict:
    """The handler returned. `not_kept` says why its result could not be stored; the job succeeds all the same."""
    # In the order of its fields, because by their names it takes three times as long, and nearly all end here.
    verdict: Verdict = _new(
        Verdict,
        (
            verdict_id,
            job.id,
            job.fence,
            SUCCEED,
            RUNNING,
            None,
            NOTHING_COUNTED,
            None,
            job.policy.keep_succeeded_us,
            result,
            ErrorInfo("ResultNotKept", not_kept) if not_kept else None,
            None,
            job.attempt,
            True,
            worker_id,
            NO_DETAIL,
            effects_of(job, SUCCEED),
        ),
    )
    return verdict


def failed(
    job: ClaimedJob,
    verdict_id: UUID,
    worker_id: UUID,
    error: ErrorInfo,
    dice: float,
    *,
    may_retry: bool = True,
    after_us: int | None = None,
    reason: Reason | None = None,
    outcome: Outcome = Outcome.FAILED,
) -> Verdict:
    """The handler raised, timed out or could not be given its arguments: a retry while tries are left.

    `after_us` replaces the back-off; `reason` names the cause where the job ends here.
    """
    failures = job.failures + 1
    shared = {"counts": Counts(failures=1, snoozes=None), "error": error, "outcome": outcome}
    if may_retry and failures < job.policy.tries:
        delay = backoff_us(job.policy, failures, dice) if after_us is None else after_us
        return _ending(
            job, verdict_id, worker_id, Event.RETRY, reason=Reason.RETRYING, delay_us=delay, **shared
        )
    last = reason or (Reason.TRIES_EXHAUSTED if may_retry else Reason.NOT_RETRIED)
    keep = keep_us(job.policy, State.FAILED)
    return _ending(job, verdict_id, worker_id, Event.FAIL, reason=last, keep_us=keep, **shared)


def timed_out(job: ClaimedJob, verdict_id: UUID, worker_id: UUID, error: ErrorInfo, dice: float) -> Verdict:
    """The attempt outlived its timeout: a counted failure whose last one ends the job as `timeout`."""
    return failed(job, verdict_id, worker_id, error, dice, reason=Reason.TIMEOUT, outcome=Outcome.TIMED_OUT)


def snoozed(job: ClaimedJob, verdict_id: UUID, worker_id: UUID, after_us: int) -> Verdict:
    """The handler asked to run later: counts nothing, but not more than 1,000 times in a row."""
    if job.snoozes + 1 > SNOOZES_IN_A_ROW:
        error = ErrorInfo("Snooze", f"snoozed more than {SNOOZES_IN_A_ROW} times in a row")
        return _ending(
            job,
            verdict_id,
            worker_id,
            Event.FAIL,
            reason=Reason.SNOOZE_LIMIT,
            keep_us=keep_us(job.policy, State.FAILED),
            error=error,
            outcome=Outcome.FAILED,
        )
    return _ending(
        job,
        verdict_id,
        worker_id,
        Event.SNOOZE,
        reason=Reason.SNOOZED,
        delay_us=after_us,
        counts=Counts(snoozes=1),
        outcome=Outcome.SNOOZED,
    )


def handed_back(
    job: ClaimedJob, verdict_id: UUID, worker_id: UUID, *, started: bool, why: str = ""
) -> Verdict:
    """The worker gives the job back: same place in line, nothing counted against it."""
    return _ending(
        job,
        verdict_id,
        worker_id,
        Event.HAND_BACK,
        reason=Reason.HANDED_BACK,
        counts=Counts(handbacks=1),
        outcome=Outcome.HANDED_BACK if started else None,
        started=started,
        detail={"why": why} if why else {},
    )


def put_off(job: ClaimedJob, verdict_id: UUID, worker_id: UUID) -> Verdict:
    """A suspect found no place of its own free: it tries again in a second, nothing counted."""
    return _ending(
        job,
        verdict_id,
        worker_id,
        Event.SNOOZE,
        reason=Reason.SUSPECT,
        delay_us=SUSPECT_DELAY_US,
        counts=Counts(handbacks=1),
        started=False,
    )


def cancelled(job: ClaimedJob, verdict_id: UUID, worker_id: UUID, why: str = "") -> Verdict:
    """The handler raised Cancel, or a request to cancel reached it."""
    return _ending(
        job,
        verdict_id,
        worker_id,
        Event.CANCEL,
        reason=Reason.CANCELLED,
        keep_us=keep_us(job.policy, State.CANCELLED),
        error=ErrorInfo("Cancel", why) if why else None,
        outcome=Outcome.CANCELLED,
    )


def ended_by_request(job: Job, verdict_id: UUID, reason: Reason) -> Verdict:
    """A job that is not running is cancelled, deleted, purged or has expired."""
    event = Event.EXPIRE if reason is Reason.EXPIRED else Event.CANCEL
    return Verdict(
        id=verdict_id,
        job_id=job.id,
        fence=job.fence,
        source=job.state,
        event=event,
        reason=reason,
        keep_us=keep_us(job.policy, State.CANCELLED, reason),
        attempt=job.attempt,
        started=False,
        effects=effects_of(job, event),
    )


def _ending(job: ClaimedJob, verdict_id: UUID, worker_id: UUID, event: Event, **rest: object) -> Verdict:
    return Verdict(
        id=verdict_id,
        job_id=job.id,
        fence=job.fence,
        event=event,
        attempt=job.attempt,
        worker_id=worker_id,
        effects=effects_of(job, event),
        **rest,  # type: ignore[arg-type]
    )
