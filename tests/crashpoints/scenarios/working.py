"""Workers: they begin, claim, renew, say what they do, and end, or are ended by others."""

from __future__ import annotations

from typing import Any

from tests.crashpoints.acting import Scenario
from tests.crashpoints.stages import LEASE, SECOND, Stage
from unstuck.model.states import Reason
from unstuck.storage.protocol import Since


def two_ready(stage: Stage) -> Any:
    worker = stage.worker()
    stage.job()
    stage.job(priority=5, timeout_us=60 * SECOND)
    return worker


def running(stage: Stage) -> Any:
    worker = stage.worker()
    return worker, stage.start(worker), stage.start(worker)


def waited_for(stage: Stage) -> Any:
    """Two jobs wait for somebody who knows their task."""
    for _ in range(2):
        job = stage.job(task="u")
        stage.ask(stage.store.park([(job, Reason.NO_HANDLER, 30 * SECOND)]))
    return stage.new_worker(tasks=("u", "t"))


def lapsed(stage: Stage) -> Any:
    """Two workers whose lease is over, one of them with a job, and one whose lease is far too long."""
    worker = stage.worker()
    stage.start(worker)
    stage.worker()
    far = stage.worker()
    stage.elapse(LEASE + SECOND)
    stage.ask(stage.store.renew([far], 1000 * SECOND))


def orphaned(stage: Stage) -> Any:
    """A running job whose worker has ended, and one whose worker was never there."""
    worker = stage.worker()
    stage.start(worker)
    stage.ask(stage.store.end_worker(worker, "died"))
    return worker


SCENARIOS = (
    Scenario(
        "claim", ("claim",), two_ready,
        lambda acting, worker: acting.store.claim(worker, "q", ["t"], 5),
        tells=len, first=2, again=0,
    ),
    Scenario(
        "write progress", ("write_progress",), running,
        lambda acting, it: acting.store.write_progress([(job.id, job.fence, "[1,2,\"\"]") for job in it[1:]]),
        tells=len, first=2, again=2,
    ),
    Scenario(
        "write log lines", ("write_logs",), running,
        lambda acting, it: acting.store.write_logs(
            [(job.id, job.fence, number, "a line") for job in it[1:] for number in (1, 2)]
        ),
        first=None, again=None,
    ),
    Scenario(
        "register", ("register",), waited_for,
        lambda acting, new: acting.store.register(new),
    ),
    Scenario(
        "renew", ("renew",), running,
        lambda acting, it: acting.store.renew([it[0]], LEASE, {it[0]: '{"free": 1}'}),
        tells=lambda answer: len(answer.alive), first=1, again=1,
    ),
    Scenario(
        "renew what has ended", ("renew",), orphaned,
        lambda acting, worker: acting.store.renew([worker], LEASE),
        tells=lambda answer: len(answer.alive), first=0, again=0,
    ),
    Scenario(
        "end a worker", ("end_worker",), running,
        lambda acting, it: acting.store.end_worker(it[0], "died"), first=True, again=False,
    ),
    Scenario(
        "end lapsed workers", ("end_lapsed",), lapsed,
        lambda acting, _: acting.store.end_lapsed(), tells=len, first=2, again=0,
    ),
    Scenario(
        "drain", ("drain",), running,
        lambda acting, it: acting.store.drain(it[0]), first=True, again=True,
    ),
    Scenario(
        "drain and leave", ("drain",), running,
        lambda acting, it: acting.store.drain(it[0], leave=True), first=True, again=True,
    ),
    Scenario(
        "mark a worker as stalled", ("mark_stalled",), running,
        lambda acting, it: acting.store.mark_stalled(it[0], True), first=True, again=True,
    ),
    Scenario(
        "mark a worker as ticking", ("mark_stalled",), running,
        lambda acting, it: acting.store.mark_stalled(it[0], False), first=True, again=True,
    ),
    Scenario(
        "look", ("look",), two_ready,
        lambda acting, worker: acting.store.look(worker, ["q", "r"], ["t"]),
        tells=lambda answer: sorted(answer.ready), first=["q"], again=["q"], is_reading=True,
    ),
    Scenario(
        "look from where it looked last", ("look",), two_ready,
        lambda acting, worker: acting.store.look(worker, ["q", "r"], ["t"], Since({"q": 0, "r": 0}, SECOND)),
        tells=lambda answer: sorted(answer.ready), first=["q"], again=["q"], is_reading=True,
    ),
    Scenario(
        "list workers", ("workers",), running,
        lambda acting, _: acting.store.workers(True), tells=len, first=1, again=1, is_reading=True,
    ),
    Scenario(
        "read what a worker owns", ("owned",), running,
        lambda acting, it: acting.store.owned(it[0]), tells=len, first=2, again=2, is_reading=True,
    ),
    Scenario(
        "find orphans", ("orphans",), orphaned,
        lambda acting, _: acting.store.orphans(10, True), tells=len, first=1, again=1, is_reading=True,
    ),
)  # fmt: skip
