"""What the loops of the engine do in one round, over real lanes; what they hold in memory they keep.

A round that fails is begun again by its loop (`engine/looping.py`), so that is how it is repeated here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.crashpoints.acting import WAIT_SECONDS, Acting, Scenario
from tests.crashpoints.recovering import SETTINGS, Task
from tests.crashpoints.scenarios import chores, working
from tests.crashpoints.scenarios.settling import BOOM
from tests.crashpoints.stages import LEASE, SECOND, Stage
from unstuck.engine import burying
from unstuck.engine.children import Child
from unstuck.engine.claiming import Claiming
from unstuck.engine.context import Context
from unstuck.engine.env import Env
from unstuck.engine.executing import Executor
from unstuck.engine.fencing import Fencing
from unstuck.engine.looking import Looking
from unstuck.engine.page import Page, Phase
from unstuck.engine.pruning import Pruning
from unstuck.engine.reconciling import Reconciling
from unstuck.engine.renewing import Renewing
from unstuck.engine.settling import Settling
from unstuck.engine.shift import Shift
from unstuck.engine.sweeping import Sweeping
from unstuck.model.states import State
from unstuck.rules import judging
from unstuck.rules.steadying import Steadiness
from unstuck.storage.plan import Plan

NOW = 1000.0
SLOTS = 16


def env_of(acting: Acting) -> Env:
    return acting.kept("env", lambda: Env(now=lambda: NOW, new_id=acting.id, dice=random.Random(1)))


class Unhurried:
    """A lane that cuts nobody off for being slow: where the machine is busy, that would be a fault nobody drew."""

    def __init__(self, lane: Any):
        self._lane = lane

    async def run(self, plan: Plan[Any], deadline: float | None = None) -> Any:
        return await self._lane.run(plan, WAIT_SECONDS)


def lane_of(acting: Acting) -> Any:
    def make() -> Any:
        lane = acting.keeper.lane("struck")
        acting.memory.setdefault("aclosing", []).append(lane.aclose)
        return Unhurried(lane)

    return acting.kept("lane", make)


def page_of(acting: Acting, age: float = 0.0) -> Page:
    """A page of a worker whose last renewal is that many leases old."""

    def make() -> Page:
        page = Page.private(SLOTS)
        page.renewed(NOW - age * SETTINGS.lease, SETTINGS.lease)
        return page

    return acting.kept("page", make)


def shift_of(acting: Acting, worker_id: Any) -> Shift:
    def make() -> Shift:
        from collections import Counter

        handlers = {name: Task(name, Counter()) for name in ("t", "u")}
        lane = lane_of(acting)
        return Shift(worker_id, acting.store, handlers, SETTINGS, env_of(acting), page_of(acting), lane, lane)

    return acting.kept("shift", make)


def executor_of(acting: Acting, worker_id: Any) -> Executor:
    return acting.kept("executor", lambda: Executor(shift_of(acting, worker_id)))


def steady(acting: Acting) -> Steadiness:
    steadiness = Steadiness(SETTINGS.lease)
    now = acting.stage.now_us / SECOND
    for step in range(9):
        away = (8 - step) * SETTINGS.lease / 8
        steadiness.saw(NOW - away, now - away)
    return steadiness


async def sweep(acting: Acting, it: Any) -> Any:
    sweeping = acting.kept(
        "sweeping",
        lambda: Sweeping(acting.store, lane_of(acting), SETTINGS, env_of(acting), steady(acting)),
    )
    return await sweeping.round()


async def renew(acting: Acting, it: Any) -> Any:
    page = page_of(acting)
    round = acting.kept(
        "renewing",
        lambda: (
            Renewing(
                acting.store, lane_of(acting), lambda: {it[0]: page}, SETTINGS, env_of(acting), steady(acting)
            ).round
        ),
    )
    await round()
    return page.is_lost


async def prune(acting: Acting, it: Any) -> Any:
    await Pruning(acting.store, lane_of(acting), SETTINGS, env_of(acting)).round()


async def look(acting: Acting, worker_id: Any) -> Any:
    executor = executor_of(acting, worker_id)
    shift = shift_of(acting, worker_id)
    looking = acting.kept("looking", lambda: Looking(shift, executor, Claiming(shift, executor)))
    await looking.round()
    return sorted(shift.ready)


async def claim(acting: Acting, worker_id: Any) -> Any:
    """Claims, and starts nothing: what it then holds is compared with the store."""
    executor = executor_of(acting, worker_id)
    shift = shift_of(acting, worker_id)
    claiming = acting.kept("claiming", lambda: Claiming(shift, executor))
    executor.start_next = lambda: None  # type: ignore[method-assign]
    shift.ready = {"q": 0}
    claiming.look_back("q")
    await claiming.round()


async def settle_and_claim(acting: Acting, it: Any) -> Any:
    """What has ended goes with the next claim, in one commit, or with none."""
    worker_id, job = it
    executor = executor_of(acting, worker_id)
    shift = shift_of(acting, worker_id)
    executor.start_next = lambda: None  # type: ignore[method-assign]

    def begin() -> Settling:
        shift.deliver(judging.succeeded(job, acting.id(), worker_id, "7"))
        return Settling(shift, executor)

    settling = acting.kept("settling", begin)
    claiming = acting.kept("claiming", lambda: Claiming(shift, executor, settling))
    shift.ready = {"q": 0}
    claiming.look_back("q")
    await claiming.round()
    await settling.round()
    return len(shift.outbox)


async def reconcile(acting: Acting, it: Any) -> Any:
    """Two attempts are running under this worker, and it knows one of them; the other goes back."""
    worker_id, known, _ = it
    executor = executor_of(acting, worker_id)
    shift = shift_of(acting, worker_id)
    shift.claims_made = 0
    acting.kept("held", lambda: shift.runs.setdefault((known.id, known.fence), None))  # type: ignore[arg-type]
    await Reconciling(shift).round()
    await acting.kept("settling", lambda: Settling(shift, executor)).round()


async def settle(acting: Acting, it: Any) -> Any:
    """The outbox goes out, with the words of the handlers: three endings, two lines, one progress."""
    worker_id, jobs = it
    executor = executor_of(acting, worker_id)
    shift = shift_of(acting, worker_id)

    def begin() -> Settling:
        settling = Settling(shift, executor)
        context = Context(jobs[0], worker_id, executor.wrote)
        context.log("one line")
        context.log("another")
        context.progress(3, 4)
        shift.deliver(judging.succeeded(jobs[0], acting.id(), worker_id, "7"))
        shift.deliver(judging.failed(jobs[1], acting.id(), worker_id, BOOM, 0.5))
        shift.deliver(judging.handed_back(jobs[2], acting.id(), worker_id, started=False))
        return settling

    settling = acting.kept("settling", begin)
    for _ in range(2):
        await settling.round()
    return len(shift.outbox)


async def fence(acting: Acting, it: Any) -> Any:
    worker_id = it[0]
    page_of(acting, age=0.6)
    executor = executor_of(acting, worker_id)
    shift = shift_of(acting, worker_id)
    await Fencing(shift, executor, lane_of(acting), False).round()
    return shift.page.is_lost


def three_running(stage: Stage) -> Any:
    worker = stage.worker()
    return worker, [stage.start(worker) for _ in range(3)]


def child_of(acting: Acting, worker_id: Any, running: Any) -> Any:
    """The dead child as its supervisor knows it: what its page shows, and nothing else."""

    def make() -> Any:
        page = page_of(acting)
        page.write_slot(running.id, running.fence, Phase.RUNNING, 0.0)
        child = object.__new__(Child)
        child.verdict_ids = {}
        child.worker_id, child.page = worker_id, page
        return child

    return acting.kept("child", make)


async def bury(acting: Acting, it: Any) -> Any:
    worker_id, jobs = it
    child = child_of(acting, worker_id, jobs[0])
    env = env_of(acting)
    await burying.bury(child, {"signal": 9}, "died: signal 9", acting.store, lane_of(acting), env, 5.0)


async def take_unstarted(acting: Acting, it: Any) -> Any:
    worker_id, jobs = it
    page = child_of(acting, worker_id, jobs[0]).page
    await burying.take_unstarted(worker_id, page, acting.store, lane_of(acting), env_of(acting), 5.0)


def one_ended(stage: Stage) -> Any:
    worker = stage.worker()
    running = stage.start(worker)
    stage.job()
    return worker, running


def due_and_owned(stage: Stage) -> Any:
    chores.due(stage)
    worker = stage.worker()
    running = stage.start(worker)
    stage.ask(stage.store.ask_cancel([running.id]))
    return worker


def unknown(stage: Stage) -> Any:
    """Jobs that nobody can run, ready for too long, and one that waits for a handler that has come."""
    woken = stage.job(task="t")
    stage.job(task="u")
    stage.ask(stage.store.park([(woken, judging.Reason.NO_HANDLER, SECOND)]))
    stage.elapse(int(SETTINGS.recovery_bound * SECOND) + SECOND)
    stage.worker(tasks=("t",))


def long_gone(stage: Stage) -> None:
    chores.over(stage)


def many_lapsed(stage: Stage) -> Any:
    """Two lapsed workers with jobs; one job's last loss, one asked to cancel."""
    first, second = stage.worker(), stage.worker()
    stage.start(first)
    asked = stage.start(first)
    stage.start(second, then=(stage.new_job(task="u"),))
    stage.ask(stage.store.ask_cancel([asked.id]))
    stage.elapse(LEASE + SECOND)


EXPIRE: Callable[[Any], Any] = lambda jobs: {job.id: State.CANCELLED for job in jobs}  # noqa: E731


def round_of(name: str, covers: str, prepare: Any, act: Any, **rest: Any) -> Scenario:
    """A round, in the one colour that the engine has."""
    rest = {"masks": ("verdict_id",), "colours": ("async",), "goes_on": True, "comes_again": True} | rest
    return Scenario(name, (covers,), prepare, act, **rest)


SCENARIOS = (
    round_of("sweep: lapsed workers and their jobs", "Sweeping.round", many_lapsed, sweep),
    round_of("sweep: orphans", "Sweeping.round", working.orphaned, sweep),
    round_of("sweep: expired jobs", "Sweeping.round", chores.expired_ones, sweep, ends=EXPIRE),
    round_of("sweep: jobs of unknown tasks", "Sweeping.round", unknown, sweep),
    # A report says how it went with the loops, this one among them, and so differs from round to round.
    round_of(
        "renew in a round",
        "Renewing.round",
        working.running,
        renew,
        first=False,
        again=False,
        masks=("verdict_id", "report"),
    ),
    round_of("prune in a round", "Pruning.round", long_gone, prune),
    round_of("look in a round, and promote", "Looking.round", due_and_owned, look),
    round_of("claim in a round", "Claiming.round", working.two_ready, claim),
    round_of("settle and claim in a round", "Claiming.round", one_ended, settle_and_claim, first=0, again=0),
    round_of("reconcile in a round", "Reconciling.round", working.running, reconcile),
    # Words that nobody takes hold up no ending, and after it there is no progress any more.
    round_of(
        "settle in a round",
        "Settling.round",
        three_running,
        settle,
        first=0,
        again=0,
        masks=("verdict_id", "progress"),
        may_lose_words=True,
    ),
    round_of("fence in a round", "Fencing.round", working.running, fence, first=False, again=False),
    round_of("bury a child", "burying.bury", three_running, bury),
    round_of("take back what had not started", "burying.take_unstarted", three_running, take_unstarted),
)
