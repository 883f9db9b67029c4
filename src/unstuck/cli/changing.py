"""Changing many jobs, in portions of 500, through the operations that everybody else uses.

Which jobs is judged anew for each portion, from a read of them: what runs is asked to cancel, what does not
run is settled under the fence and state in which it was read, what has ended is kept no longer (where ended
jobs are meant at all). A job that moved in between (a worker claimed it) is refused by that fence, read
again and treated as what it has become. So an operator can be late, but cannot end a job behind the back
of whoever owns it. Jobs enqueued after the command began are left alone, so that the command ends even
while others enqueue, and changes no more than it has shown.
An interruption leaves whole portions done and the rest untouched; the same command may be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from unstuck.model.errors import StoreUnavailable
from unstuck.model.ids import uuid7
from unstuck.model.job import Job
from unstuck.model.moments import moment
from unstuck.model.states import Reason, State
from unstuck.rules.judging import ended_by_request
from unstuck.storage.opening import Keeper
from unstuck.storage.protocol import Filter

PORTION = 500
ROUNDS = 10
"""How often a job that moves under our eyes is read again."""


@dataclass
class Changed:
    """What was done: how many were ended, asked to end, run again or kept no longer, and which ids were not."""

    ended: int = 0
    asked: int = 0
    revived: int = 0
    forgotten: int = 0
    left: list[UUID] = field(default_factory=list[UUID])

    @property
    def total(self) -> int:
        """How many jobs the command had an effect on."""
        return self.ended + self.asked + self.revived + self.forgotten


def end_jobs(keeper: Keeper, which: Filter, reason: Reason, told: Callable[[int], None]) -> Changed:
    """End what does not run, ask what runs to cancel, forget what has ended, within the filter's states.

    `told` hears the progress.
    """
    changed = Changed()
    for portion in _portions(keeper, which):
        waiting: Sequence[Job] = portion
        for _ in range(ROUNDS):
            waiting = _end_once(keeper, waiting, which, reason, changed)
            if not waiting:
                break
        changed.left += [job.id for job in waiting]
        told(changed.total)
    return changed


def revive_jobs(keeper: Keeper, which: Filter, told: Callable[[int], None]) -> Changed:
    """Run ended jobs again, each as a new generation."""
    changed = Changed()
    for portion in _portions(keeper, which):
        answers = keeper.run(keeper.store.revive([job.id for job in portion]))
        revived = set(answers)
        changed.revived += len(revived)
        changed.left += [job.id for job in portion if job.id not in revived]
        keeper.hint({job.queue for job in portion if job.id in revived})
        told(changed.total)
    return changed


def _end_once(
    keeper: Keeper, jobs: Sequence[Job], which: Filter, reason: Reason, changed: Changed
) -> Sequence[Job]:
    """One round; answers the jobs that moved meanwhile, read again, as far as they are still meant."""
    store = keeper.store
    running = [job for job in jobs if job.state is State.RUNNING]
    over = [job.id for job in jobs if job.is_final]
    verdicts = [
        ended_by_request(job, uuid7(), reason)
        for job in jobs
        if job.state is not State.RUNNING and not job.is_final
    ]
    unsettled: list[UUID] = []
    if over:
        forgotten = keeper.run(store.forget(over))
        changed.forgotten += len(forgotten)
        unsettled += set(over).difference(forgotten)
    if verdicts:
        for answer in keeper.run(store.settle(verdicts)):
            if answer.is_recorded:
                changed.ended += 1
            else:
                unsettled.append(answer.verdict.job_id)
    if running:
        asked = keeper.run(store.ask_cancel([job.id for job in running]))
        already = sum(job.cancel_asked_at is not None for job in running)
        if asked + already >= len(running):
            changed.asked += len(running)
        else:
            unsettled += _not_asked(keeper, running, changed)
    if not unsettled:
        return []
    return keeper.run(store.find(replace(which, ids=tuple(unsettled), after=None, limit=len(unsettled))))


def _not_asked(keeper: Keeper, running: Sequence[Job], changed: Changed) -> list[UUID]:
    """Of jobs that were asked to cancel, those that did not hear it because they no longer ran."""
    ids = tuple(job.id for job in running)
    now = keeper.run(keeper.store.find(Filter(ids=ids, limit=len(ids))))
    missed = [job.id for job in now if job.cancel_asked_at is None]
    changed.asked += len(running) - len(missed)
    return missed


def _portions(keeper: Keeper, which: Filter) -> Iterator[list[Job]]:
    """What was there when we began, 500 at a time, in the order of ids."""
    if not which.states:
        return
    began = moment(int(keeper.run(keeper.store.meta())["now_us"]))
    after = which.after
    while True:
        page = keeper.run(keeper.store.find(replace(which, after=after, limit=PORTION)))
        older = [job for job in page if job.created_at <= began]
        if older:
            yield older
        if len(page) < PORTION or not older:
            return
        if after is not None and page[-1].id <= after:
            raise StoreUnavailable("the store answers pages that do not go on; nothing more was changed")
        after = page[-1].id
