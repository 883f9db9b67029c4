"""What sweeps and prunings ask of the store: promote, expire, park, wake, notices, prune."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.crashpoints.acting import Scenario
from tests.crashpoints.scenarios.settling import BOOM
from tests.crashpoints.stages import SECOND, Stage
from unstuck.model.notice import Finding, Kind
from unstuck.model.states import Reason, State
from unstuck.model.verdict import Verdict
from unstuck.rules import judging

DAY = 86_400 * SECOND


def due(stage: Stage) -> None:
    """Two that are due, one that is not, one that has expired meanwhile."""
    stage.job(delay_us=SECOND)
    stage.job(delay_us=SECOND, queue="r", expires_in_us=3600 * SECOND)
    stage.job(delay_us=9 * SECOND)
    stage.elapse(2 * SECOND)


def expired_ones(stage: Stage) -> Any:
    jobs = [stage.job(expires_in_us=SECOND), stage.job(delay_us=5 * SECOND, expires_in_us=SECOND)]
    stage.elapse(2 * SECOND)
    return [stage.row(job.id) for job in jobs]


def unknown_ones(stage: Stage) -> Any:
    """Two ready jobs whose task no living worker knows."""
    stage.worker(tasks=("t",))
    jobs = [stage.job(task="u"), stage.job(task="u", priority=2)]
    stage.elapse(SECOND)
    return jobs


def parked(stage: Stage) -> Any:
    jobs = [stage.job(task="u"), stage.job(task="u", expires_in_us=3600 * SECOND)]
    stage.ask(stage.store.park([(job, Reason.NO_HANDLER, SECOND) for job in jobs]))
    stage.elapse(2 * SECOND)
    return [stage.row(job.id) for job in jobs]


def noticed(stage: Stage) -> Any:
    """One notice that goes, one that stays; a third appears."""
    old, stays = finding("a"), finding("b")
    stage.ask(stage.store.keep_notices([old, stays], [Kind.NO_WORKER.value]))
    stage.elapse(SECOND)
    return [stays, finding("c")]


def finding(subject: str) -> Finding:
    return Finding(Kind.NO_WORKER, subject, f"the queue {subject} has no worker")


def over(stage: Stage) -> None:
    """Two ended jobs with attempts and lines, and an ended worker with its tasks, none of them kept any longer."""
    worker = stage.worker()
    verdicts: list[Verdict] = []
    for _ in range(2):
        job = stage.start(worker)
        stage.ask(stage.store.write_logs([(job.id, job.fence, 1, "a line")]))
        verdicts.append(judging.failed(job, stage.id(), worker, BOOM, 0.5, may_retry=False))
    stage.ask(stage.store.settle(verdicts))
    stage.ask(stage.store.end_worker(worker, "stopped"))
    stage.elapse(40 * DAY)
    stage.job()


def notice_content(answer: Any) -> Any:
    appeared, went = answer
    return [notice.subject for notice in appeared], [notice.subject for notice in went]


EXPIRED: Callable[[Any], Any] = lambda jobs: {job.id: State.CANCELLED for job in jobs}  # noqa: E731

SCENARIOS = (
    Scenario(
        "promote", ("promote",), due, lambda acting, _: acting.store.promote(10),
        tells=lambda answer: answer[""], first=2, again=0,
    ),
    Scenario(
        "promote what is due of late", ("promote",), due,
        lambda acting, _: acting.store.promote(10, 10 * SECOND), tells=lambda answer: answer[""], first=2, again=0,
    ),
    Scenario(
        "find the expired", ("expired",), expired_ones, lambda acting, _: acting.store.expired(10),
        tells=len, first=2, again=2, ends=EXPIRED, is_reading=True,
    ),
    Scenario(
        "park", ("park",), unknown_ones,
        lambda acting, jobs: acting.store.park([(job, Reason.NO_HANDLER, 2 * SECOND) for job in jobs]),
        first=2, again=0,
    ),
    Scenario(
        "wake", ("wake",), parked, lambda acting, jobs: acting.store.wake(jobs), first=2, again=0
    ),
    Scenario(
        "keep notices", ("keep_notices",), noticed,
        lambda acting, found: acting.store.keep_notices(found, [Kind.NO_WORKER.value]),
        tells=notice_content, first=(["c"], ["a"]), again=([], []),
    ),
    Scenario(
        "prune", ("prune",), over, lambda acting, _: acting.store.prune(10), first=2, again=0
    ),
    Scenario(
        "survey", ("survey",), unknown_ones, lambda acting, _: acting.store.survey(),
        tells=lambda answer: [head.queue for head in answer.heads], first=["q"], again=["q"],
        is_reading=True,
    ),
    Scenario(
        "find what nobody can run", ("unhandled",), unknown_ones,
        lambda acting, _: acting.store.unhandled("q", 0, 10), tells=len, first=2, again=2, is_reading=True,
    ),
    Scenario(
        "find what waits for a handler", ("waiting_unhandled",), parked,
        lambda acting, _: acting.store.waiting_unhandled(10), tells=len, first=2, again=2, is_reading=True,
    ),
    Scenario(
        "list notices", ("notices",), noticed, lambda acting, _: acting.store.notices(),
        tells=len, first=2, again=2, is_reading=True,
    ),
)  # fmt: skip
