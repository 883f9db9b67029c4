"""Why does this job stand where it stands? One reason from a closed list, and what would release it.

A pure function of a `Situation`: the job's row and everything that decides about it, read in one snapshot, so
that the reason given was true at one moment. The reasons are tried in the order in which the engine itself
would stop at them: an operator's wish first, then whether anybody could run the job at all, then who is before
it. The last reason, `a_poll_away`, says that nothing is wrong; there is no "unknown".
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from unstuck.model.job import Job
from unstuck.model.moments import micros, moment
from unstuck.model.notice import Kind
from unstuck.model.states import Reason, State
from unstuck.model.worker import Worker
from unstuck.rules import bounding
from unstuck.rules.durations import words_of
from unstuck.storage.protocol import AHEAD_MAX, Situation, Survey


class Why(StrEnum):
    """Why a job stands where it stands: a closed list."""

    NOT_FOUND = "not_found"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RUNNING = "running"
    CANCEL_ASKED = "cancel_asked"
    UNSETTLED = "unsettled"
    STALLED_CHILD = "stalled_child"
    OWNER_SILENT = "owner_silent"
    OWNER_ENDED = "owner_ended"
    OWNER_MISSING = "owner_missing"
    SCHEDULED_FOR = "scheduled_for"
    BACKING_OFF = "backing_off"
    AFTER_CRASH = "after_crash"
    AFTER_LOSS = "after_loss"
    SNOOZED = "snoozed"
    SUSPECT_WAITS = "suspect_waits"
    DUE_AND_NOBODY = "due_and_nobody"
    EXPIRED = "expired"
    PARKED_NO_HANDLER = "parked_no_handler"
    PARKED = "parked"
    QUEUE_PAUSED = "queue_paused"
    NO_WORKER = "no_worker"
    WORKERS_LEAVING = "workers_leaving"
    NO_HANDLER = "no_handler"
    WORKERS_BUSY = "workers_busy"
    BEHIND_OTHERS = "behind_others"
    UNATTENDED = "unattended"
    A_POLL_AWAY = "a_poll_away"


MEANING = {
    Why.NOT_FOUND: "there is no such job: it was never enqueued here, or its retention is over",
    Why.SUCCEEDED: "it ended well",
    Why.FAILED: "it ended as failed; an operator can retry it",
    Why.CANCELLED: "it was ended by request, by its handler, or by its expiry",
    Why.RUNNING: "a living worker runs it",
    Why.CANCEL_ASKED: "it runs and was asked to stop",
    Why.UNSETTLED: "it has run; its worker cannot store the ending",
    Why.STALLED_CHILD: "the process that runs it does not tick; its supervisor waits until the stall limit",
    Why.OWNER_SILENT: "the lease of its worker is over, and nobody has declared that worker lost yet",
    Why.OWNER_ENDED: "its worker has ended; a sweep gives the job to another",
    Why.OWNER_MISSING: "its worker has no row; a sweep gives the job to another",
    Why.SCHEDULED_FOR: "it is to start later",
    Why.BACKING_OFF: "a try failed; the next one is due later",
    Why.AFTER_CRASH: "its process died under it; the next try is due later",
    Why.AFTER_LOSS: "its worker was lost; the next try is due later",
    Why.SNOOZED: "its handler asked to run again later",
    Why.SUSPECT_WAITS: "it has killed its process before, runs alone, and no place of its own was free",
    Why.DUE_AND_NOBODY: "it is due, and no living worker is there to make it ready",
    Why.EXPIRED: "its expiry has passed; a sweep ends it",
    Why.PARKED_NO_HANDLER: "it was put aside because no living worker knew its task",
    Why.PARKED: "it was put aside, and is looked at again later",
    Why.QUEUE_PAUSED: "its queue is paused",
    Why.NO_WORKER: "no living worker serves its queue",
    Why.WORKERS_LEAVING: "every worker of its queue is quiet or leaving",
    Why.NO_HANDLER: "no living worker of its queue knows its task",
    Why.WORKERS_BUSY: "every worker that could run it has its hands full",
    Why.BEHIND_OTHERS: "others stand before it in line",
    Why.UNATTENDED: "it is on notice: workers are idle and nobody has taken the first of its queue within the bound",
    Why.A_POLL_AWAY: "nothing is wrong: a worker takes it at its next poll",
}
"""What each reason says of the job that it is given for."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reason, one sentence about this very job, and what would release it; `due_by` where R says when."""

    why: Why
    sentence: str
    release: str = ""
    due_by: datetime | None = None

    @property
    def whole(self) -> str:
        """The sentence, and behind it what would release the job."""
        return f"{self.sentence.rstrip('.')}; {self.release}." if self.release else self.sentence


def not_found(job_id: object) -> Explanation:
    """What is said of an id that has no row."""
    sentence = f"There is no job {job_id}: it was never enqueued here, or its retention is over."
    return Explanation(Why.NOT_FOUND, sentence)


def explain(seen: Situation) -> Explanation:
    """The reason, verified in this snapshot."""
    job = seen.job
    match job.state:
        case State.SUCCEEDED:
            sentence = f"It succeeded {_ago(job.finished_at, seen)}, at attempt {job.attempt}."
            return Explanation(Why.SUCCEEDED, sentence)
        case State.FAILED:
            sentence = f"It failed for good {_ago(job.finished_at, seen)} ({_reason(job)}) at {_attempts(job)}{_error(job)}."
            return Explanation(Why.FAILED, sentence)
        case State.CANCELLED:
            sentence = f"It was cancelled {_ago(job.finished_at, seen)} ({_reason(job)}){_error(job)}."
            return Explanation(Why.CANCELLED, sentence)
        case State.RUNNING:
            return _running(seen)
        case _ if job.expires_at is not None and micros(job.expires_at) <= seen.now_us:
            sentence = f"Its expiry passed {_ago(job.expires_at, seen)} and nobody had started it."
            return Explanation(Why.EXPIRED, sentence, _by_sweep(seen, "a sweep ends it as expired"))
        case State.SCHEDULED:
            return _scheduled(seen)
        case State.WAITING:
            return _waiting(seen)
        case State.READY:
            return _ready(seen)


def living(seen: Survey | Situation) -> list[Worker]:
    """The workers whose lease runs."""
    return bounding.living(seen.workers)


def claiming(seen: Survey | Situation) -> list[Worker]:
    """The living workers that claim jobs: neither supervisors nor quiet."""
    return [worker for worker in living(seen) if worker.kind != "supervisor" and worker.draining_at is None]


def served(seen: Survey | Situation) -> Set[str]:
    """The queues that living workers claim from."""
    return {queue for worker in claiming(seen) for queue in worker.queues}


def _running(seen: Situation) -> Explanation:
    job, worker = seen.job, seen.owner
    since = f"Attempt {job.attempt} was claimed {_ago(job.claimed_at, seen)} and runs"
    if worker is None:
        sentence = f"{since} on a worker that has no row."
        return Explanation(
            Why.OWNER_MISSING, sentence, _by_sweep(seen, "a sweep gives it to another within a lease")
        )
    where = f"{since} on {worker.host}, process {worker.pid}"
    left_at = bounding.left_at(worker, moment(seen.now_us))
    due_by = bounding.due_by(left_at, worker.lease_us, seen.workers)
    if worker.ended_at is not None:
        how = f", whose row ended {_ago(worker.ended_at, seen)} ({worker.reason or 'no reason given'})"
        release = _recovery(seen, due_by)
        return Explanation(
            Why.OWNER_ENDED, f"{since} on a worker that is gone: {where.partition(' on ')[2]}{how}.", release, due_by
        )  # fmt: skip
    if (worker.lease_left_us or 0) <= 0:
        sentence = f"{where}, whose lease is over for {words_of(-(worker.lease_left_us or 0))}."
        return Explanation(Why.OWNER_SILENT, sentence, _recovery(seen, due_by), due_by)
    holds = f"; its lease holds until {worker.lease_until:%H:%M:%S}Z" if worker.lease_until else ""
    unsettled = float(worker.report.get("unsettled", 0.0))
    if worker.stalled_at is not None:
        sentence = f"{where}, which has not ticked since {_ago(worker.stalled_at, seen)}{holds}."
        return Explanation(
            Why.STALLED_CHILD, sentence, "its supervisor kills it at the stall limit, or unstuck workers stop does"
        )  # fmt: skip
    if job.cancel_asked_at is not None:
        sentence = f"{where}{holds}; it was asked to cancel {_ago(job.cancel_asked_at, seen)} and has not stopped yet."
        return Explanation(Why.CANCEL_ASKED, sentence, "it ends as cancelled whatever its handler does")
    if unsettled * 1_000_000 > bounding.bounds_of(seen.workers).bound_us:
        sentence = f"{where}{holds}; its worker has not been able to store an ending for {unsettled:.0f} s, perhaps this one."
        return Explanation(
            Why.UNSETTLED, sentence, "it is stored when the store takes it: see unstuck doctor"
        )
    return Explanation(Why.RUNNING, f"{where}{holds}.")


def _scheduled(seen: Situation) -> Explanation:
    job, when = seen.job, _until(seen.job.wake_at, seen)
    attempt = max(job.attempt - 1, 1)
    is_due = job.wake_at is not None and micros(job.wake_at) <= seen.now_us
    if is_due and not claiming(seen):
        sentence = (
            f"It has been due for {_since(job.wake_at, seen)}, and no worker lives that could make it ready."
        )
        return Explanation(Why.DUE_AND_NOBODY, sentence, f"start one: unstuck worker -q {job.queue}")
    release = "a worker makes it ready then"
    match job.reason:
        case Reason.RETRYING:
            sentence = (
                f"Attempt {attempt} did not succeed ({_reason(job)}, failure {job.failures} of {job.policy.tries})"
                f"{_error(job)}; the next one is due {when}."
            )
            return Explanation(Why.BACKING_OFF, sentence)
        case Reason.CRASHED | Reason.STALLED:
            sentence = (
                f"Attempt {attempt} did not succeed ({_reason(job)}, crash {job.crashes} of {job.policy.crash_limit})"
                f"{_error(job)}; the next one is due {when}{_alone(job)}."
            )
            return Explanation(Why.AFTER_CRASH, sentence)
        case Reason.LOST:
            sentence = (
                f"Attempt {attempt} did not succeed ({_reason(job)}, loss {job.losses} of {job.policy.loss_limit})"
                f"{_error(job)}; the next one is due {when}{_alone(job)}."
            )
            return Explanation(Why.AFTER_LOSS, sentence)
        case Reason.SNOOZED:
            return Explanation(Why.SNOOZED, f"Its handler snoozed it; it is due {when}.")
        case Reason.SUSPECT:
            sentence = f"It has crashed before and runs alone; a place of its own is looked for {when}."
            return Explanation(Why.SUSPECT_WAITS, sentence, "a worker's isolated place must become free")
        case _:
            return Explanation(Why.SCHEDULED_FOR, f"It is due {when}.", "" if is_due else release)


def _waiting(seen: Situation) -> Explanation:
    job, when = seen.job, _until(seen.job.wake_at, seen)
    if job.reason is Reason.NO_HANDLER:
        known = " (one knows it now)" if seen.knowing else ""
        sentence = f"It waits (no live worker knows its task{known}) and is looked at again {when}."
        release = (
            "a sweep wakes it then" if seen.knowing else f"start a worker that knows the task {job.task!r}"
        )
        return Explanation(Why.PARKED_NO_HANDLER, sentence, release)
    return Explanation(Why.PARKED, f"It waits ({_reason(job)}) and is looked at again {when}.")


def _ready(seen: Situation) -> Explanation:
    job, queue = seen.job, seen.queue
    # With a priority, the line is also a head start of the queue's own step, and no moment.
    waited = seen.now_us - job.line if job.priority == 0 else 0
    since = f" for {words_of(waited)}" if waited > 0 else ""
    ready = "It is ready to run"
    if queue.paused_at is not None:
        by = f" by {queue.paused_by}" if queue.paused_by else ""
        sentence = f"{ready}, but the queue {job.queue!r} is paused{by} since {_ago(queue.paused_at, seen)}: unstuck queues resume {job.queue}."
        return Explanation(Why.QUEUE_PAUSED, sentence)
    serving = [worker for worker in living(seen) if job.queue in worker.queues]
    here = [worker for worker in claiming(seen) if job.queue in worker.queues]
    if serving and not here:
        sentence = f"{ready}, but every worker that serves the queue {job.queue!r} is quiet or leaving: unstuck worker -q {job.queue}."
        return Explanation(Why.WORKERS_LEAVING, sentence)
    if not here:
        sentence = (
            f"{ready}, but no live worker serves the queue {job.queue!r}: unstuck worker -q {job.queue}."
        )
        return Explanation(Why.NO_WORKER, sentence)
    knowing = [worker for worker in here if worker.id in seen.knowing]
    if not knowing:
        which = f" that serves the queue {job.queue!r}" if seen.knowing else ""
        sentence = f"{ready}, but no live worker{which} knows the task {job.task!r}: deploy it, or name it as an alias."
        return Explanation(Why.NO_HANDLER, sentence)
    turn = f"{ready}{since} and waits its turn in the queue {job.queue!r}"
    others = _others(seen.ahead)
    free = [worker for worker in knowing if _has_room(worker)]
    if not free:
        sentence = f"{turn}: every worker that could run it has its hands full{f', and {others} before it' if seen.ahead else ''}."
        return Explanation(Why.WORKERS_BUSY, sentence, "it starts when one of them has a free place")
    if seen.ahead:
        return Explanation(Why.BEHIND_OTHERS, f"{turn}: {others} before it.")
    if any(notice.kind is Kind.UNATTENDED and notice.subject == job.queue for notice in seen.notices):
        sentence = f"{turn}: it is the next, workers are idle, and nobody has taken it within the bound."
        return Explanation(Why.UNATTENDED, sentence, "this should not be: see unstuck doctor")
    return Explanation(Why.A_POLL_AWAY, f"{turn}: it is the next, and a worker takes it at its next poll.")


def _has_room(worker: Worker) -> bool:
    """Whether it said so with its last renewal; who has not reported yet is taken to have."""
    free = worker.report.get("free", 1)
    return not isinstance(free, int | float) or free > 0


def _others(ahead: int) -> str:
    if ahead >= AHEAD_MAX:
        return f"{AHEAD_MAX:,} others or more stand"
    return "1 other stands" if ahead == 1 else f"{ahead:,} others stand"


def _recovery(seen: Situation, due_by: datetime | None) -> str:
    if due_by is None:
        return "no worker lives that could recover it: start one, or unstuck doctor --repair"
    when = f"{due_by:%H:%M:%S}Z ({_until(due_by, seen)})"
    if micros(due_by) < seen.now_us:
        return f"a sweep should have given it to another worker by {due_by:%Y-%m-%d} {due_by:%H:%M:%S}Z: see unstuck doctor"
    return f"a sweep gives the job to another worker by {when}"


def _by_sweep(seen: Situation, what: str) -> str:
    if not bounding.sweepers(seen.workers):
        return f"{what} as soon as a worker lives: none does"
    seconds = bounding.bounds_of(seen.workers).grace_us / 1_000_000
    return f"{what}, due within {words_of(int(seconds * 1_000_000))}"


def _alone(job: Job) -> str:
    return ", alone" if job.is_suspect else ""


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


def _ago(at: datetime | None, seen: Situation) -> str:
    return "at an unknown time" if at is None else f"{_since(at, seen)} ago"


def _since(at: datetime | None, seen: Situation) -> str:
    return "an unknown time" if at is None else words_of(max(0, seen.now_us - micros(at)))


def _until(at: datetime | None, seen: Situation) -> str:
    if at is None:
        return "at an unknown time"
    left = micros(at) - seen.now_us
    return f"in {words_of(left)}" if left > 0 else "now, at the next poll"
