"""An attempt ended without its worker: the process died, stalled for good, or went with its host.

Crashes convict only the guilty. A *crash* is counted where a supervisor saw a process die in which this
attempt was the only one running: certainly its own. A *loss* is counted where several were running, or
where the whole host went and nobody knows; three losses make a suspect, which runs in a process of its
own, so that the next death is certainly its own. Nothing is counted where the attempt had not started or
its process was killed for another's sake.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from unstuck.model.job import ClaimedJob, ErrorInfo, Job
from unstuck.model.states import Event, Reason, State
from unstuck.model.verdict import Counts, Outcome, Verdict
from unstuck.model.worker import LAPSED, Worker
from unstuck.rules import judging
from unstuck.rules.keeping import keep_us
from unstuck.rules.parting import effects_of
from unstuck.rules.retrying import LOSS_DELAY_US, crash_delay_us

CLEAN_ENDS = ("stopped", "withdrawn")
"""Ends after which a leftover attempt is handed back: its worker had stopped running things itself."""


def orphaned(job: ClaimedJob, verdict_id: UUID, worker: Worker | None, *, alone: bool = False) -> Verdict:
    """What becomes of a running job whose worker has ended, or has no row."""
    if worker is None:
        return lost(job, verdict_id, None, "its worker has no row", alone=alone)
    if worker.reason in CLEAN_ENDS:
        return judging.handed_back(job, verdict_id, worker.id, started=True, why=f"worker {worker.reason}")
    return lost(job, verdict_id, worker.id, worker.reason or LAPSED, alone=alone)


def crashed(
    job: ClaimedJob | Job,
    verdict_id: UUID,
    worker_id: UUID | None,
    detail: dict[str, Any],
    *,
    reason: Reason = Reason.CRASHED,
) -> Verdict:
    """The process died while this attempt was started in it. `detail`: exit signal or code, peak memory."""
    crashes = job.crashes + 1
    last = crashes >= job.policy.crash_limit
    text = f"the process of attempt {job.attempt} died ({_words(detail) or reason})"
    return _rescue(
        job,
        verdict_id,
        worker_id,
        last,
        reason=Reason.CRASH_LIMIT if last else reason,
        counts=Counts(crashes=1, snoozes=None),
        delay_us=None if last else crash_delay_us(crashes),
        error=ErrorInfo("Crashed", text),
        outcome=Outcome.CRASHED,
        detail=detail,
    )


def lost(
    job: ClaimedJob | Job, verdict_id: UUID, worker_id: UUID | None, why: str, *, alone: bool = False
) -> Verdict:
    """A death that cannot be pinned on this attempt: a whole host or supervisor went, or a process in
    which several attempts were running. A suspect that was the only one (`alone`) is convicted."""
    if job.is_suspect and alone:
        return crashed(job, verdict_id, worker_id, {"why": why, "alone": True})
    losses = job.losses + 1
    last = losses >= job.policy.loss_limit
    return _rescue(
        job,
        verdict_id,
        worker_id,
        last,
        reason=Reason.LOST_LIMIT if last else Reason.LOST,
        counts=Counts(losses=1, snoozes=None),
        delay_us=None if last else LOSS_DELAY_US,
        error=ErrorInfo("Lost", f"the worker of attempt {job.attempt} was lost ({why})"),
        outcome=Outcome.LOST,
        detail={"why": why},
    )


def _rescue(
    job: ClaimedJob | Job, verdict_id: UUID, worker_id: UUID | None, last: bool, **rest: Any
) -> Verdict:
    event = Event.FAIL if last else Event.RETRY
    return Verdict(
        id=verdict_id,
        job_id=job.id,
        fence=job.fence,
        event=event,
        keep_us=keep_us(job.policy, State.FAILED) if last else None,
        attempt=job.attempt,
        worker_id=worker_id,
        effects=effects_of(job, event),
        **rest,
    )


def _words(detail: dict[str, Any]) -> str:
    shown = {name: value for name, value in detail.items() if name in ("signal", "exit_code", "why")}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
