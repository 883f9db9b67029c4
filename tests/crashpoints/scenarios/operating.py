"""What operators ask: cancel, run again, forget, priorities, queues; and the same for many, in portions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.crashpoints.acting import Acting, Scenario
from tests.crashpoints.scenarios.settling import BOOM
from tests.crashpoints.stages import SECOND, Stage
from unstuck.app import commands
from unstuck.cli import changing
from unstuck.model.states import UNFINISHED, Reason, State
from unstuck.rules import judging
from unstuck.storage.protocol import Filter


def running(stage: Stage) -> Any:
    worker = stage.worker()
    return stage.start(worker), stage.start(worker)


def ended(stage: Stage) -> Any:
    """A success, and a last failure with an attempt."""
    worker = stage.worker()
    fine, bad = stage.start(worker), stage.start(worker)
    stage.ask(
        stage.store.settle(
            [
                judging.succeeded(fine, stage.id(), worker, "7"),
                judging.failed(bad, stage.id(), worker, BOOM, 0.5, may_retry=False),
            ]
        )
    )
    return [fine.id, bad.id]


def waiting(stage: Stage) -> Any:
    return [stage.job().id, stage.job(delay_us=2 * SECOND, queue="r").id]


def paused(stage: Stage) -> Any:
    stage.ask(stage.store.set_queue("q", paused=True))
    return stage.job()


def in_every_state(stage: Stage) -> Any:
    """Ready, scheduled, waiting, running, succeeded, failed: and each has its own way to end."""
    over = ended(stage)
    worker = stage.worker()
    running = stage.start(worker).id
    jobs = [stage.job().id, stage.job(delay_us=2 * SECOND).id, stage.job().id]
    stage.ask(stage.store.park([(stage.row(jobs[2]), Reason.NO_HANDLER, 9 * SECOND)]))
    stage.elapse(SECOND)
    return running, jobs, over


def resume(stage: Stage) -> None:
    stage.ask(stage.store.set_queue("q", paused=False))


def end_jobs(states: Any, reason: Reason) -> Any:
    """As the command line does it."""

    def act(acting: Acting, it: Any) -> Any:
        which = Filter(queue="q", states=tuple(states))
        return changing.end_jobs(acting.keeper, which, reason, lambda done: None)

    return act


def revive_jobs(acting: Acting, it: Any) -> Any:
    which = Filter(queue="q", states=(State.FAILED, State.SUCCEEDED))
    return changing.revive_jobs(acting.keeper, which, lambda done: None)


def cancel(acting: Acting, job_id: UUID) -> Any:
    return commands.cancel(acting.store, job_id, acting.id)


def whole(changed: changing.Changed) -> Any:
    return changed.ended, changed.asked, changed.revived, changed.forgotten, len(changed.left)


SCENARIOS = (
    Scenario(
        "ask running jobs to cancel", ("ask_cancel",), running,
        lambda acting, jobs: acting.store.ask_cancel([jobs[0].id]), first=1, again=0,
    ),
    Scenario(
        "revive", ("revive",), ended, lambda acting, ids: acting.store.revive(ids),
        tells=len, first=2, again=0,
    ),
    Scenario(
        "forget", ("forget",), ended, lambda acting, ids: acting.store.forget(ids),
        tells=len, first=2, again=2,
    ),
    Scenario(
        "set priorities", ("set_priority",), waiting,
        lambda acting, ids: acting.store.set_priority([(ids[0], 5), (ids[1], -5)]), first=2, again=2,
    ),
    Scenario(
        "pause a queue", ("set_queue",), waiting,
        lambda acting, _: acting.store.set_queue("q", paused=True, step_us=SECOND),
        tells=lambda info: info.paused_at is not None, first=True, again=True, heal=resume,
    ),
    Scenario(
        "resume a queue", ("set_queue",), paused,
        lambda acting, _: acting.store.set_queue("q", paused=False),
        tells=lambda info: info.paused_at is not None, first=False, again=False, heal=resume,
    ),
    Scenario(
        "cancel a ready job", ("commands.cancel",), lambda stage: stage.job().id, cancel,
        first=True, again=True, masks=("verdict_id",),
    ),
    Scenario(
        "cancel a running job", ("commands.cancel",),
        lambda stage: running(stage)[0].id, cancel, first=True, again=True,
    ),
    Scenario(
        "cancel jobs by filter", ("changing.end_jobs",), in_every_state,
        end_jobs(UNFINISHED, Reason.CANCELLED), tells=whole, first=(3, 1, 0, 0, 0), again=(0, 1, 0, 0, 0),
        masks=("verdict_id",), colours=("blocking",),
    ),
    Scenario(
        "delete jobs by filter", ("changing.end_jobs",), in_every_state,
        end_jobs(State, Reason.DELETED), tells=whole, first=(3, 1, 0, 2, 0), again=(0, 1, 0, 5, 0),
        masks=("verdict_id",), colours=("blocking",),
    ),
    Scenario(
        "purge a queue", ("changing.end_jobs",), in_every_state,
        end_jobs([state for state in UNFINISHED if state is not State.RUNNING], Reason.PURGED),
        tells=whole, first=(3, 0, 0, 0, 0), again=(0, 0, 0, 0, 0), masks=("verdict_id",),
        colours=("blocking",),
    ),
    Scenario(
        "retry jobs by filter", ("changing.revive_jobs",), in_every_state, revive_jobs,
        tells=whole, first=(0, 0, 2, 0, 0), again=(0, 0, 0, 0, 0), colours=("blocking",),
    ),
)  # fmt: skip
