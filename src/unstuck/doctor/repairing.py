"""Repairs: what an ordinary operation can heal is healed by that operation, and written down with it.

Nothing here changes a row by a way of its own: jobs end or go back through `settle`, are woken, promoted or
parked; workers are ended. Each change and its audit entry are one transaction. What is recovering by itself
inside the published bound is left to those who do it. A worker is declared lost only after the doctor has
itself seen a full lease of steady answers, as a sweep does: after a stall every lease looks over at once.

What no operation heals is named with what a person can do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID

from unstuck.doctor.looking import Looking
from unstuck.doctor.recovering import due
from unstuck.engine.env import boottime
from unstuck.model.audit import Repair
from unstuck.model.invariant import SCANS, Invariant
from unstuck.model.job import Job
from unstuck.model.moments import micros
from unstuck.model.states import Reason, State
from unstuck.model.verdict import Settled, Verdict
from unstuck.model.worker import LAPSED, Worker
from unstuck.rules import judging, rescuing
from unstuck.rules.retrying import no_handler_delay_us
from unstuck.rules.steadying import Steadiness
from unstuck.storage.plan import Plan
from unstuck.storage.protocol import Survey

R = TypeVar("R")

GROUP = 500
ROUNDS_MAX = 10_000
SECOND_US = 1_000_000

BY_HAND = {
    Invariant.OWNED_BUT_NOT_RUNNING: "harmless while it does not run; its next claim sets the owner anew",
    Invariant.ENDED_WITH_ALARM: "harmless: nobody answers the alarm of an ended job; unstuck jobs delete removes it",
    Invariant.ENDED_WITHOUT_MOMENT: "unstuck jobs retry runs it again, unstuck jobs delete removes it",
    Invariant.ENDED_WITHOUT_RETENTION: "it is kept for ever: unstuck jobs delete removes it",
    Invariant.RUNNING_NEVER_CLAIMED: "unstuck jobs cancel ends it with its worker",
    Invariant.MORE_FAILURES_THAN_TRIES: "its counts are as they are; its next failure ends it",
    Invariant.MORE_CRASHES_THAN_ALLOWED: "its counts are as they are; its next crash ends it",
    Invariant.MORE_LOSSES_THAN_ALLOWED: "its counts are as they are; its next loss ends it",
    Invariant.ENDED_BEFORE_IT_BEGAN: "the store's clock was set back; nothing follows from it",
    Invariant.ALARM_BEYOND_HORIZON: "unstuck jobs cancel ends it, if nobody meant that",
    Invariant.TIMEOUT_WITHOUT_ALARM: "its worker keeps the timeout by itself; unstuck jobs cancel asks again",
    Invariant.TIMEOUT_OVERDUE: "unstuck workers stop replaces the child that holds it",
    Invariant.UNREADABLE: "unstuck jobs cancel ends it; no worker can run it",
    Invariant.ATTEMPT_BEYOND_ITS_FENCE: "the job's row is older than its history: was a copy put back?",
    Invariant.ATTEMPT_OF_NO_JOB: "harmless: rows that nobody reads",
    Invariant.ATTEMPT_ENDED_BUT_RUNNING: "its worker's ending will be refused, and its lease recovers it",
    Invariant.LOG_OF_NO_JOB: "harmless: rows that nobody reads",
}
"""What a person can do about an offence that no ordinary operation heals."""


@dataclass
class Repairing:
    """One pass of repairs. `said` are those that were made and written down."""

    looking: Looking
    actor: str
    draw: Callable[[], UUID]
    tell: Callable[[str], None] = lambda text: None
    said: list[Repair] = field(default_factory=list[Repair])

    async def run(self) -> list[Repair]:
        """Heal what can be healed, workers first, because jobs follow from them."""
        await self._end_silent_workers()
        await self._settle_orphans()
        for id in await self._offenders("jobs", Invariant.UNFINISHED_WITHOUT_OWNER_OR_ALARM):
            await self._attend(id)
        for id in await self._offenders("jobs", Invariant.EXPIRY_WITHOUT_ALARM):
            await self._alarm_again(id)
        await self._answer_alarms()
        return self.said

    async def _end_silent_workers(self) -> None:
        survey = await self._survey()
        broken = [worker for worker in survey.workers if self._is_broken(worker, survey)]
        if not broken:
            return
        lease = max(worker.lease_us for worker in broken) / SECOND_US
        self.tell(f"watching the store for one lease ({lease:g} s) before anybody is declared lost")
        seen_us = await self._steady(lease)
        too_long = [worker for worker in broken if (worker.lease_left_us or 0) > worker.lease_us]

        def ended(workers: Sequence[Worker]) -> list[Repair]:
            gone = {worker.id for worker in workers}
            return [
                self._repair("end_worker", "worker", worker.id, Invariant.LAPSED_WORKER_NOT_ENDED, "its lease was over")
                for worker in workers
            ] + [
                self._repair("end_worker", "worker", worker.id, Invariant.LEASE_LONGER_THAN_ALLOWED, "its lease was pulled in")
                for worker in too_long
                if worker.id not in gone
            ]  # fmt: skip

        await self._do(self.looking.store.end_lapsed(seen_us), ended)
        for worker in broken:
            if worker.lease_until is None:
                plan = self.looking.store.end_worker(worker.id, LAPSED)
                await self._do(plan, self._if_ended(worker))

    def _is_broken(self, worker: Worker, survey: Survey) -> bool:
        """Whether its lease is missing, longer than it can be, or over for longer than the bound allows."""
        if worker.ended_at is not None:
            return False
        left_us = worker.lease_left_us
        if left_us is None or left_us > worker.lease_us + SECOND_US:
            return True
        if left_us > 0:
            return False
        until = due(worker, survey)
        return until is None or micros(until) < survey.now_us

    async def _settle_orphans(self) -> None:
        survey = await self._survey()
        for _ in range(ROUNDS_MAX):
            orphans = await self._ask(self.looking.store.orphans(GROUP, include_missing=True))
            settled = 0
            for job, worker in orphans:
                until = None if worker is None else due(worker, survey)
                if until is not None and micros(until) >= survey.now_us:
                    continue  # somebody lives whose business it is, and is still in time
                cause = Invariant.OWNER_MISSING if worker is None else Invariant.OWNER_ENDED_AND_NOT_RECOVERED
                settled += await self._settle(rescuing.orphaned(job, self.draw(), worker), cause)
            if not settled or len(orphans) < GROUP:
                return

    async def _attend(self, id: UUID) -> None:
        """A job that nobody owns and nothing wakes: what ran was lost, what waited goes on."""
        job = await self._ask(self.looking.store.get(id))
        cause = Invariant.UNFINISHED_WITHOUT_OWNER_OR_ALARM
        if job is None or job.is_final:
            return
        if job.state is State.RUNNING:
            await self._settle(rescuing.lost(job, self.draw(), None, "it had no owner"), cause)
        elif job.wake_at is None and job.state is not State.READY:
            await self._do(
                self.looking.store.wake([job]), self._if_moved("wake", job, cause, "it had no alarm")
            )

    async def _alarm_again(self, id: UUID) -> None:
        """A job whose expiry nobody would notice: leaving and coming back sets its alarm anew."""
        job = await self._ask(self.looking.store.get(id))
        cause = Invariant.EXPIRY_WITHOUT_ALARM
        if job is None or job.state not in (State.READY, State.WAITING):
            return
        if job.state is State.READY:
            await self._do(
                self.looking.store.park([(job, Reason.NO_HANDLER, SECOND_US)]),
                self._if_moved("park", job, cause, "for a moment, to be woken with its alarm"),
            )
            job = replace(job, state=State.WAITING)
        await self._do(
            self.looking.store.wake([job]), self._if_moved("wake", job, cause, "with the alarm of its expiry")
        )

    async def _answer_alarms(self) -> None:
        """What should have been expired, woken or promoted long ago."""
        store, bounds = self.looking.store, await self.looking.bounds()
        cause = Invariant.ALARM_OVERDUE
        late = set(await self._offenders("alarms", cause))
        lag = await self._ask(store.lagging(bounds.bound_us))
        if not late and not lag.overdue:
            return
        for job in await self._ask(store.expired(GROUP)):
            await self._settle(judging.ended_by_request(job, self.draw(), Reason.EXPIRED), cause)
        for job, is_known in await self._ask(store.waiting_unhandled(GROUP)):
            if is_known:
                await self._do(
                    store.wake([job]), self._if_moved("wake", job, cause, "a worker knows its task now")
                )
            else:
                await self._do(
                    store.park([(job, Reason.NO_HANDLER, no_handler_delay_us(0))]),
                    self._if_moved("park", job, cause, "no living worker knows its task"),
                )
        for _ in range(ROUNDS_MAX):
            promoted = await self._do(store.promote(GROUP), self._promoted)
            if promoted.get("", 0) < GROUP:
                return

    def _promoted(self, lowest: Any) -> list[Repair]:
        count = lowest.get("", 0)
        queues = sorted(queue for queue in lowest if queue)
        if not count:
            return []
        what = f"{count:,} due job{'' if count == 1 else 's'} made ready"
        return [self._repair("promote", "queue", ", ".join(queues), Invariant.ALARM_OVERDUE, what)]

    async def _offenders(self, scan: str, invariant: Invariant) -> list[UUID]:
        """All records that break an invariant, each once."""
        assert invariant in SCANS[scan]
        bounds, after = await self.looking.bounds(), None
        found: dict[UUID, None] = {}
        while True:
            plan = self.looking.store.inspect(scan, bounds, after, self.looking.limits.portion)
            portion = await self._ask(plan)
            found |= {UUID(id): None for broken, id in portion.found if broken is invariant}
            after = portion.after
            if after is None:
                return list(found)

    async def _settle(self, verdict: Verdict, cause: Invariant) -> int:
        def recorded(settled: Sequence[Settled]) -> list[Repair]:
            sentence = f"{verdict.source} to {verdict.target} ({verdict.reason or 'no reason'})"
            return [
                self._repair("settle", "job", one.verdict.job_id, cause, sentence)
                for one in settled
                if one.is_recorded
            ]

        settled = await self._do(self.looking.store.settle([verdict]), recorded)
        return sum(one.is_recorded for one in settled)

    def _if_moved(self, action: str, job: Job, cause: Invariant, why: str) -> Callable[[int], list[Repair]]:
        return lambda moved: [self._repair(action, "job", job.id, cause, why)] if moved else []

    def _if_ended(self, worker: Worker) -> Callable[[bool], list[Repair]]:
        cause = Invariant.WORKER_WITHOUT_LEASE_OR_END
        why = "it had neither lease nor end"
        return lambda is_ended: (
            [self._repair("end_worker", "worker", worker.id, cause, why)] if is_ended else []
        )

    def _repair(self, action: str, kind: str, subject: object, cause: Invariant, sentence: str) -> Repair:
        return Repair(self.draw(), self.actor, action, kind, str(subject), cause.value, sentence)

    async def _do(self, plan: Plan[R], repairs: Callable[[R], list[Repair]]) -> R:
        """Run an operation with its record; what was written down is remembered once it has happened."""
        written: list[Repair] = []

        def note(answer: R) -> Sequence[Repair]:
            written[:] = repairs(answer)
            return written

        answer = await self._ask(self.looking.store.audited(plan, note))
        self.said += written
        return answer

    async def _survey(self) -> Survey:
        return await self._ask(self.looking.store.survey())

    async def _ask(self, plan: Plan[R]) -> R:
        self.looking.until = self.looking.clock() + self.looking.limits.scan
        return await self.looking.ask(plan)

    async def _steady(self, lease: float) -> int:
        """Watch until the store has answered steadily for a lease; answers its clock as last seen."""
        steadiness = Steadiness(lease)
        while True:
            said = await self._ask(self.looking.store.meta())
            now = boottime()
            steadiness.saw(now, int(said["now_us"]) / SECOND_US)
            if steadiness.is_steady(now):
                return steadiness.seen_us
            await asyncio.sleep(lease / 10)
