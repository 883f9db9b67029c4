"""Why does this job stand where it stands? One sentence, from what the store knows.

The simplest form: a pure function of the job's row and one survey (queues with due jobs, living workers,
the task names they know, the store's clock). It says what is, since when, and what will happen next;
where nothing will happen by itself it says what has to be done.
"""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime

from unstuck.model.job import Job
from unstuck.model.moments import micros
from unstuck.model.states import Reason, State
from unstuck.model.worker import Worker
from unstuck.rules.durations import words_of
from unstuck.storage.protocol import Survey


def explained(job: Job, survey: Survey) -> str:
    """One sentence about the job."""
    match job.state:
        case State.SUCCEEDED:
            return f"It succeeded {_ago(job.finished_at, survey)}, at attempt {job.attempt}."
        case State.FAILED:
            return f"It failed for good {_ago(job.finished_at, survey)} ({_reason(job)}) at {_attempts(job)}{_error(job)}."
        case State.CANCELLED:
            return f"It was cancelled {_ago(job.finished_at, survey)} ({_reason(job)}){_error(job)}."
        case State.RUNNING:
            return _running(job, survey)
        case State.SCHEDULED:
            return _scheduled(job, survey)
        case State.WAITING:
            why = "no live worker knows its task" if job.reason is Reason.NO_HANDLER else _reason(job)
            return f"It waits ({why}) and is looked at again {_until(job.wake_at, survey)}."
        case State.READY:
            return _ready(job, survey)


def living(survey: Survey) -> list[Worker]:
    """The workers whose lease runs."""
    return [
        worker for worker in survey.workers if worker.ended_at is None and (worker.lease_left_us or 0) > 0
    ]


def claiming(survey: Survey) -> list[Worker]:
    """The living workers that claim jobs: neither supervisors nor draining."""
    return [worker for worker in living(survey) if worker.kind != "supervisor" and worker.draining_at is None]


def served(survey: Survey) -> Set[str]:
    """The queues that living workers claim from."""
    return {queue for worker in claiming(survey) for queue in worker.queues}


def _running(job: Job, survey: Survey) -> str:
    worker = next((one for one in survey.workers if one.id == job.worker_id), None)
    since = f"Attempt {job.attempt} was claimed {_ago(job.claimed_at, survey)} and runs"
    if worker is None or worker.ended_at is not None:
        return f"{since} on a worker that is gone; a sweep gives it to another within a few seconds."
    where = f"{since} on {worker.host}, process {worker.pid}"
    if (worker.lease_left_us or 0) <= 0:
        return (
            f"{where}, whose lease is over; if it does not answer, a sweep gives the job to another worker."
        )
    if job.cancel_asked_at is not None:
        return f"{where}; it was asked to cancel {_ago(job.cancel_asked_at, survey)} and has not stopped yet."
    return f"{where}."


def _scheduled(job: Job, survey: Survey) -> str:
    when = _until(job.wake_at, survey)
    match job.reason:
        case Reason.RETRYING | Reason.CRASHED | Reason.LOST | Reason.STALLED:
            return f"Attempt {max(job.attempt - 1, 1)} did not succeed ({_reason(job)}){_error(job)}; the next one is due {when}."
        case Reason.SNOOZED:
            return f"Its handler snoozed it; it is due {when}."
        case Reason.SUSPECT:
            return f"It has crashed before and runs alone; a place of its own is looked for {when}."
        case _:
            return f"It is due {when}."


def _ready(job: Job, survey: Survey) -> str:
    head = next((one for one in survey.heads if one.queue == job.queue), None)
    ready = "It is ready to run"
    if head is not None and head.is_paused:
        return f"{ready}, but the queue {job.queue!r} is paused: unstuck queues resume {job.queue}."
    if job.queue not in served(survey):
        return f"{ready}, but no live worker serves the queue {job.queue!r}: unstuck worker -q {job.queue}."
    if job.task not in survey.known_tasks:
        return f"{ready}, but no live worker knows the task {job.task!r}: deploy it, or name it as an alias."
    # With a priority, the line is also a head start of the queue's own step, and no moment.
    waited = survey.now_us - job.line if job.priority == 0 else 0
    since = f" for {words_of(waited)}" if waited > 0 else ""
    return f"{ready}{since} and waits its turn in the queue {job.queue!r}."


def _reason(job: Job) -> str:
    return (job.reason or "no reason given").replace("_", " ")


def _attempts(job: Job) -> str:
    # The failure that ended the job is among the counts: the attempt that would come next never does.
    return f"attempt {max(job.attempt - 1, 1)}"


def _error(job: Job) -> str:
    if job.error is None:
        return ""
    first = job.error.message.splitlines()[0] if job.error.message else ""
    return f": {job.error.type}{': ' if first else ''}{first}"


def _ago(moment: datetime | None, survey: Survey) -> str:
    if moment is None:
        return "at an unknown time"
    return f"{words_of(max(0, survey.now_us - micros(moment)))} ago"


def _until(moment: datetime | None, survey: Survey) -> str:
    if moment is None:
        return "at an unknown time"
    left = micros(moment) - survey.now_us
    return f"in {words_of(left)}" if left > 0 else "now, at the next poll"
