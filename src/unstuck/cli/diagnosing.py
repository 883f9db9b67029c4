"""What `unstuck doctor` finds, as a list of findings; it reads and never writes.

Each finding says what is wrong, where, and in one sentence why. A job whose worker has gone is not wrong
yet: within R (lease + 2 × sweep + poll, from the end of the lease or the first living worker, whichever is
later) it is *recovering*, with the moment by which it must be over; after that it is *overdue*, which is
the one thing that this project promises not to happen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from unstuck.app.explaining import claiming, living
from unstuck.app.health import judged
from unstuck.cli.showing import counted
from unstuck.model.job import ClaimedJob
from unstuck.model.moments import moment
from unstuck.model.states import Reason, State
from unstuck.model.worker import Worker
from unstuck.rules.durations import words_of
from unstuck.rules.settings import Settings
from unstuck.storage.opening import Keeper
from unstuck.storage.protocol import Filter, Survey

ORPHANS_MAX = 500

PASSING = frozenset({"recovering", "owner_ended_and_not_recovered", "lapsed_worker_not_ended"})
"""Invariants that break for a while when somebody dies; told with the moment by which that must be over."""

INVARIANTS = {
    "unfinished_without_owner_or_alarm": "has no owner, no alarm and is not in plain sight",
    "owned_but_not_running": "has an owner although it does not run",
    "ended_with_alarm": "has ended and still has an alarm",
    "ended_without_moment": "has ended without a moment, or has one without having ended",
    "ended_without_retention": "has ended without a retention, or has one without having ended",
    "running_never_claimed": "runs without ever having been claimed",
    "more_failures_than_tries": "has failed more often than it may be tried",
    "more_crashes_than_allowed": "has crashed more often than its limit",
    "more_losses_than_allowed": "was lost more often than its limit",
    "owner_missing": "runs for a worker that has no row",
    "owner_ended_and_not_recovered": "runs for a worker that ended longer ago than the bound of recovery",
    "alarm_overdue": "has an alarm that nobody has answered within the bound",
    "alarm_beyond_horizon": "has an alarm further ahead than ten years",
    "ended_before_it_began": "ended before it was created",
    "lease_longer_than_allowed": "has a lease that ends later than its own length allows",
    "lapsed_worker_not_ended": "has been silent for longer than the bound and nobody has ended it",
    "attempt_beyond_its_fence": "has an attempt newer than its fence",
    "worker_without_lease_or_end": "has neither a lease nor an end",
    "attempt_of_no_job": "has attempts but no row",
    "log_of_no_job": "has log lines but no row",
}


@dataclass(frozen=True, slots=True)
class Ailment:
    """One thing that is not as it should be; `due_by` where it is recovering by itself."""

    kind: str
    subject: str
    sentence: str
    due_by: datetime | None = None


def diagnose(keeper: Keeper) -> tuple[list[Ailment], dict[str, Any]]:
    """Everything that is wrong or recovering, and the facts about the store."""
    store = keeper.store
    said = keeper.run(store.check())
    facts = dict(said)
    survey = keeper.run(store.survey())
    found: list[Ailment] = []
    found += [Ailment("store", keeper.engine, str(sentence)) for sentence in facts.pop("wrong", [])]
    orphans = keeper.run(store.orphans(ORPHANS_MAX, include_missing=True))
    late = list(_late(survey, orphans))
    found += _broken(keeper.run(store.offenders()), late)
    found += [Ailment("health", "", sentence) for sentence in judged(survey, "").problems]
    found += _silent(survey.workers)
    found += _unknown(keeper, survey)
    found += late
    return found, {**facts, "workers": len(claiming(survey)), "now": moment(survey.now_us).isoformat()}


def _broken(offenders: dict[str, list[str]], late: Sequence[Ailment]) -> Iterator[Ailment]:
    """What breaks an invariant, except what is told with its moment; "recovering" alone is no offence."""
    told = {one.subject for one in late}
    for name, ids in offenders.items():
        for id in ids:
            if name == "recovering" or (name in PASSING and id in told):
                continue
            sentence = INVARIANTS.get(name, f"breaks the invariant {name}")
            yield Ailment("invariant", id, f"{id} {sentence}")


def _silent(workers: Iterable[Worker]) -> Iterator[Ailment]:
    """Loops that say of themselves that they have not succeeded for long."""
    for worker in workers:
        patience = worker.lease_us / 1_000_000
        for name, age in dict(worker.report.get("loops", {})).items():
            if name in ("renewing", "looking", "fencing", "sweeping") and age > 2 * patience:
                yield Ailment(
                    "loop",
                    str(worker.id),
                    f"the loop {name} of worker {worker.id} (pid {worker.pid} on {worker.host}) has made no good round for {age:.0f} s",
                )


def _unknown(keeper: Keeper, survey: Survey) -> Iterator[Ailment]:
    """Tasks that jobs ask for and no living worker knows: at the heads of queues, and parked for it."""
    said = " ".join(notice.sentence for notice in survey.notices)
    served = {queue for worker in claiming(survey) for queue in worker.queues}
    for head in survey.heads:
        if head.queue in served and not head.is_paused:
            for task in sorted(head.tasks - survey.known_tasks):
                if task not in said:
                    yield Ailment(
                        "task",
                        task,
                        f"jobs in {head.queue} ask for task {task} and no living worker knows it",
                    )
    parked = keeper.run(keeper.store.tally(Filter(states=(State.WAITING,), reason=Reason.NO_HANDLER)))
    for (queue, _), number in sorted(parked.items()):
        yield Ailment(
            "task",
            queue,
            f"{counted(number, 'job')} of {queue} {'waits' if number == 1 else 'wait'} because no living worker knew the task",
        )


def _late(survey: Survey, orphans: Sequence[tuple[ClaimedJob, Worker | None]]) -> Iterator[Ailment]:
    """Jobs that run in the store and nowhere else; those whose worker has no row break an invariant instead."""
    for job, worker in orphans:
        if worker is not None:
            what = f"job {job.id} ({job.task}) lost its worker"
            yield _recovering(str(job.id), what, worker.ended_at, survey, worker)
    for worker in survey.workers:
        if worker.ended_at is None and (worker.lease_left_us or 0) <= 0:
            what = f"worker {worker.id} (pid {worker.pid} on {worker.host}) is silent with {counted(worker.running, 'job')}"
            if worker.running:
                yield _recovering(str(worker.id), what, worker.lease_until, survey, worker)


def _recovering(subject: str, what: str, since: datetime | None, survey: Survey, worker: Worker) -> Ailment:
    now = moment(survey.now_us)
    healers = living(survey)
    if not healers:
        return Ailment("orphan", subject, f"{what}; no worker lives that could recover it")
    first_healer = min(one.started_at for one in healers)
    due_by = max(since or first_healer, first_healer) + _bound([*healers, worker])
    if due_by >= now:
        left = words_of(max(0, int((due_by - now).total_seconds() * 1_000_000)))
        return Ailment(
            "orphan", subject, f"{what}; recovering, due by {due_by:%H:%M:%S}Z (in {left})", due_by
        )
    over = words_of(int((now - due_by).total_seconds() * 1_000_000))
    return Ailment("orphan", subject, f"{what}; overdue since {due_by:%Y-%m-%d %H:%M:%S}Z ({over})")


def _bound(workers: Sequence[Worker]) -> timedelta:
    """R for the longest lease among these; sweep and poll are not in the rows, so the defaults count."""
    settings = Settings()
    lease = max(worker.lease_us for worker in workers) / 1_000_000
    return timedelta(seconds=lease + 2 * settings.sweep + settings.poll)
