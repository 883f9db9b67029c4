"""Endings of every kind, alone and in groups; whoever repeats one with its own id hears *already*."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.crashpoints.acting import Acting, Scenario
from tests.crashpoints.stages import SECOND, Stage
from unstuck.model.job import ErrorInfo
from unstuck.model.states import Reason, State
from unstuck.model.verdict import Answer, Verdict
from unstuck.rules import judging, rescuing

BOOM = ErrorInfo("Boom", "it went wrong", "a traceback")
ACCEPTED, ALREADY, REFUSED, CANCELLED = Answer.ACCEPTED, Answer.ALREADY, Answer.REFUSED, Answer.CANCELLED


def settle(acting: Acting, verdicts: list[Verdict]) -> Any:
    return acting.store.settle(verdicts)


def answers(settled: Any) -> list[Answer]:
    return [each.answer for each in settled]


def of_running(make: Callable[..., Verdict], **options: Any) -> Callable[[Stage], list[Verdict]]:
    """One verdict over one running job; `make` gets the job, an id and the worker."""

    def prepare(stage: Stage) -> list[Verdict]:
        worker = stage.worker()
        return [make(stage.start(worker, **options), stage.id(), worker)]

    return prepare


def with_followers(stage: Stage) -> list[Verdict]:
    """Two successes that insert three jobs, one of which is there already."""
    worker = stage.worker()
    there = stage.job(task="u", delay_us=SECOND)
    first = stage.start(worker, then=(stage.new_job(task="u"), stage.new_job(id=there.id, task="u")))
    second = stage.start(worker, then=(stage.new_job(task="u", delay_us=SECOND),))
    return [judging.succeeded(job, stage.id(), worker, "7") for job in (first, second)]


def plain_group(stage: Stage) -> list[Verdict]:
    """Three plain successes: of an owner, of one that was asked to cancel, of one that lost its job."""
    worker, other = stage.worker(), stage.worker()
    fine, asked = stage.start(worker), stage.start(worker)
    stage.ask(stage.store.ask_cancel([asked.id]))
    lost = stage.start(worker)
    stage.ask(stage.store.settle([rescuing.lost(lost, stage.id(), worker, "gone")]))
    stage.elapse(SECOND)
    stage.ask(stage.store.promote(5))
    stage.ask(stage.store.claim(other, "q", ["t"], 5))
    return [judging.succeeded(job, stage.id(), worker, None) for job in (fine, asked, lost)]


def mixed_group(stage: Stage) -> list[Verdict]:
    """Six at once: plain, failed, handed back, asked to cancel, crashed, and one that comes too late."""
    worker = stage.worker()
    jobs = [stage.start(worker) for _ in range(6)]
    stage.ask(stage.store.ask_cancel([jobs[3].id]))
    stage.ask(stage.store.settle([rescuing.lost(jobs[5], stage.id(), worker, "gone")]))
    return [
        judging.succeeded(jobs[0], stage.id(), worker, "1"),
        judging.failed(jobs[1], stage.id(), worker, BOOM, 0.5),
        judging.handed_back(jobs[2], stage.id(), worker, started=False),
        judging.failed(jobs[3], stage.id(), worker, BOOM, 0.5),
        rescuing.crashed(jobs[4], stage.id(), worker, {"signal": 9}),
        judging.failed(jobs[5], stage.id(), worker, BOOM, 0.5),
    ]


def not_started(stage: Stage) -> list[Verdict]:
    """What an operator ends: a ready, a scheduled and a waiting job."""
    ready, scheduled, waiting = stage.job(), stage.job(delay_us=9 * SECOND), stage.job()
    stage.ask(stage.store.park([(waiting, Reason.NO_HANDLER, 9 * SECOND)]))
    return [
        judging.ended_by_request(stage.row(job.id), stage.id(), Reason.DELETED)
        for job in (ready, scheduled, waiting)
    ]


def expired(stage: Stage) -> list[Verdict]:
    job = stage.job(expires_in_us=SECOND)
    stage.elapse(2 * SECOND)
    return [judging.ended_by_request(stage.row(job.id), stage.id(), Reason.EXPIRED)]


def one(what: str, make: Callable[..., Verdict], **options: Any) -> Scenario:
    """A verdict over one running job."""
    return Scenario(
        f"settle: {what}", ("settle",), of_running(make, **options), settle, [ACCEPTED], [ALREADY],
        tells=answers,
    )  # fmt: skip


def asked_to_cancel(stage: Stage) -> list[Verdict]:
    worker = stage.worker()
    job = stage.start(worker)
    stage.ask(stage.store.ask_cancel([job.id]))
    return [judging.succeeded(job, stage.id(), worker, "1")]


SCENARIOS = (
    one("success", lambda job, id, worker: judging.succeeded(job, id, worker, "7")),
    one("success without its result", lambda job, id, worker: judging.succeeded(job, id, worker, None, "large")),
    one("failure with tries left", lambda job, id, worker: judging.failed(job, id, worker, BOOM, 0.5)),
    one(
        "last failure",
        lambda job, id, worker: judging.failed(job, id, worker, BOOM, 0.5, may_retry=False),
    ),
    one("timeout", lambda job, id, worker: judging.timed_out(job, id, worker, BOOM, 0.5), timeout_us=SECOND),
    one("snooze", lambda job, id, worker: judging.snoozed(job, id, worker, SECOND)),
    one("hand back", lambda job, id, worker: judging.handed_back(job, id, worker, started=False)),
    one("hand back after start", lambda job, id, worker: judging.handed_back(job, id, worker, started=True)),
    one("put off", judging.put_off),
    one("cancel", judging.cancelled),
    one("crash", lambda job, id, worker: rescuing.crashed(job, id, worker, {"signal": 9})),
    one("loss", lambda job, id, worker: rescuing.lost(job, id, worker, "gone")),
    Scenario(
        "settle: two successes with jobs that follow",
        ("settle", "then"), with_followers, settle, [ACCEPTED] * 2, [ALREADY] * 2, tells=answers,
    ),
    Scenario(
        "settle: what was asked to cancel",
        ("settle",), asked_to_cancel, settle, [CANCELLED], [ALREADY], tells=answers,
    ),
    Scenario(
        "settle: a plain group with a late one",
        ("settle", "settle_rest"), plain_group, settle,
        [ACCEPTED, CANCELLED, REFUSED], [ALREADY, ALREADY, REFUSED], tells=answers,
    ),
    Scenario(
        "settle: a mixed group with a late one",
        ("settle",), mixed_group, settle,
        [ACCEPTED] * 3 + [CANCELLED, ACCEPTED, REFUSED], [ALREADY] * 5 + [REFUSED], tells=answers,
    ),
    Scenario(
        "settle: what had not started",
        ("settle",), not_started, settle, [ACCEPTED] * 3, [ALREADY] * 3, tells=answers,
    ),
    Scenario(
        "settle: expiry", ("settle",), expired, settle, [ACCEPTED], [ALREADY], tells=answers,
        ends=lambda verdicts: {verdicts[0].job_id: State.CANCELLED},
    ),
)  # fmt: skip
