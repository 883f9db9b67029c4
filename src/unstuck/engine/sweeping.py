"""Recovery: nobody's job, no leader, and one bad row does not stop it.

A sweep declares lost whose lease is over (only after a steady lease of its own, `rules.steadying`), then
settles what workers that have ended still seem to run, through the same `settle` as everybody. An
*orphan* is a running job whose worker's row has ended or is missing: a fact that never changes back, so
an old snapshot cannot be wrong about it, and the fence decides in the end. A dead child's own supervisor
knows what had started and goes first; strangers step in when that supervisor is gone too, or silent for
a lease.

The sweep also expires what nobody started in time, parks jobs whose task no living worker knows, and
keeps the notices. Its steps fail apart from each other, and one that fails is itself on notice.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from unstuck.engine.env import Env
from unstuck.engine.saying import Saying
from unstuck.model.errors import StoreUnavailable
from unstuck.model.job import NO_HANDLER_LAST_US, Job
from unstuck.model.notice import Finding, Kind
from unstuck.model.states import Reason
from unstuck.model.verdict import Verdict
from unstuck.model.worker import LAPSED, Worker
from unstuck.rules import judging, noticing, rescuing
from unstuck.rules.retrying import no_handler_delay_us
from unstuck.rules.settings import Settings
from unstuck.rules.steadying import Steadiness
from unstuck.storage.plan import Lane, Plan
from unstuck.storage.protocol import Store, Survey

R = TypeVar("R")

log = logging.getLogger("unstuck.engine")

SWEEP_MAX = 500
HOLDERS_EVERY = 60.0
"""Seconds between two looks for old snapshots."""


class Sweeping:
    """The sweeping loop of a supervisor or of a worker alone; any number may run at once."""

    def __init__(
        self,
        store: Store,
        lane: Lane,
        settings: Settings,
        env: Env,
        steadiness: Steadiness,
        saw: Callable[[Survey], None] | None = None,
    ):
        self._store = store
        self._lane = lane
        self._settings = settings
        self._env = env
        self._steadiness = steadiness
        self._saw = saw
        self._missing_at = env.now()
        self._began_at = env.now()
        self._unknown_at: dict[str, float] = {}
        self._saying = Saying(env.now)
        self._held_at: float | None = None
        self.recovered = 0
        self.answered_at = env.now()

    async def round(self) -> float:
        """Sweep once; answers the time to the next sweep."""
        survey = await self._do(self._store.survey())
        # The writing statement is sent only where the survey shows something for it to do.
        if any(_is_over(worker) for worker in survey.workers) and self._steadiness.is_steady(self._env.now()):
            for worker in await self._do(self._store.end_lapsed(self._steadiness.seen_us)):
                log.warning(
                    "worker %s (pid %s on %s) is lost: its lease is over", worker.id, worker.pid, worker.host
                )
            survey = await self._do(self._store.survey())
        if self._saw is not None:
            self._saw(survey)
        findings: list[Finding] = []
        failed: list[Exception] = []
        for name, step in (
            ("rescue", self._rescue),
            ("expire", self._expire),
            ("handlers", self._find_handlers),
            ("snapshots", self._find_holders),
        ):
            try:
                findings += await step(survey)
            except StoreUnavailable:
                raise
            except Exception as error:
                failed.append(error)
                findings.append(noticing.sweep_finding(name, error))
        await self._notice(survey, findings)
        self.answered_at = self._env.now()
        if failed:
            raise failed[0]
        return self._settings.sweep

    async def _rescue(self, survey: Survey) -> Sequence[Finding]:
        living = {worker.id for worker in survey.workers}
        include_missing = self._env.now() - self._missing_at > self._settings.lease
        if include_missing:
            self._missing_at = self._env.now()
        while survey.has_orphans or include_missing:
            orphans = await self._do(self._store.orphans(SWEEP_MAX, include_missing))
            is_whole = len(orphans) < SWEEP_MAX  # where the answer is cut, nobody can be said to be alone
            suspects = Counter(job_worker(worker) for job, worker in orphans if job.is_suspect)
            verdicts = [
                rescuing.orphaned(
                    job,
                    self._env.new_id(),
                    worker,
                    alone=is_whole and suspects[job_worker(worker)] == 1,
                )
                for job, worker in orphans
                if self._is_ours_to_rescue(worker, living, survey.now_us)
            ]
            settled = await self._settle(verdicts)
            self.recovered += settled
            if is_whole or not settled:
                break
        return ()

    def _is_ours_to_rescue(self, worker: Worker | None, living: set[UUID], now_us: int) -> bool:
        if (
            worker is None
            or worker.ended_at is None
            or worker.supervisor_id not in living
            or worker.reason == LAPSED
        ):
            return True
        ended_us = worker.ended_at.timestamp() * 1_000_000
        return now_us - ended_us > self._settings.lease_us

    async def _expire(self, survey: Survey) -> Sequence[Finding]:
        while survey.has_expired:
            jobs = await self._do(self._store.expired(SWEEP_MAX))
            settled = await self._settle(
                [judging.ended_by_request(job, self._env.new_id(), Reason.EXPIRED) for job in jobs]
            )
            if len(jobs) < SWEEP_MAX or not settled:
                break
        return ()

    async def _find_handlers(self, survey: Survey) -> list[Finding]:
        """Park what nobody can run, wake what somebody now can; answers the tasks that nobody knows."""
        bound_us = int(self._settings.recovery_bound * 1_000_000)
        unknown: dict[str, None] = {}
        parked: list[tuple[Job, Reason, int]] = []
        served = {queue for worker in survey.workers for queue in worker.queues}
        for head in survey.heads:
            # Where no worker lives at all (each child was just killed, say) nothing is known of its tasks.
            if head.queue in served and head.oldest_us > bound_us and not head.tasks <= survey.known_tasks:
                for job in await self._do(self._store.unhandled(head.queue, bound_us, SWEEP_MAX)):
                    unknown[job.task] = None
                    parked.append((job, Reason.NO_HANDLER, no_handler_delay_us(0)))
        woken: list[Job] = []
        waiting: list[tuple[Job, bool]] = []
        if survey.has_unhandled:
            waiting = await self._do(self._store.waiting_unhandled(SWEEP_MAX))
        for job, is_known in waiting:
            if is_known:
                woken.append(job)
            else:
                unknown[job.task] = None
                overdue_us = survey.now_us - int(job.created_at.timestamp() * 1_000_000)
                parked.append((job, Reason.NO_HANDLER, no_handler_delay_us(overdue_us)))
        now = self._env.now()
        self._unknown_at |= dict.fromkeys(unknown, now)
        # A parked job comes up at its alarm, an hour apart at most: a task not met for longer has none left.
        patience = NO_HANDLER_LAST_US / 1_000_000 + self._settings.recovery_bound
        stays = [
            notice.subject
            for notice in survey.notices
            if notice.kind is Kind.NO_HANDLER
            and notice.subject not in survey.known_tasks
            and now - self._unknown_at.get(notice.subject, self._began_at) < patience
        ]
        findings = [noticing.task_finding(task) for task in dict.fromkeys([*unknown, *stays])]
        if parked:
            # Said first: if nobody comes as far as the park, the job stays in plain sight and is found again.
            await self._keep(findings, [Kind.NO_HANDLER])
            await self._do(self._store.park(parked))
        if woken:
            await self._do(self._store.wake(woken))
        return findings

    async def _find_holders(self, survey: Survey) -> list[Finding]:
        """Who holds back the cleaning of the store: asked once a minute, in between what stands stays."""
        now = self._env.now()
        if self._held_at is not None and now - self._held_at < HOLDERS_EVERY:
            standing = [notice for notice in survey.notices if notice.kind is Kind.OLD_SNAPSHOT]
            return [Finding(notice.kind, notice.subject, notice.sentence) for notice in standing]
        holders = await self._do(self._store.holders())
        self._held_at = now
        return [
            noticing.holder_finding(holder.kind, holder.who, holder.seconds, holder.bytes)
            for holder in holders
        ]

    async def _notice(self, survey: Survey, findings: list[Finding]) -> None:
        bound_us = int(self._settings.recovery_bound * 1_000_000)
        for head in survey.heads:
            found = noticing.queue_finding(
                head.queue, head.oldest_us, head.is_paused, survey.workers, bound_us
            )
            if found is not None:
                findings.append(found)
        stall = noticing.stall_finding(self._steadiness.last_stall(), self._env.now())
        findings += [stall] if stall is not None else _standing_stalls(survey)
        for worker in survey.workers:
            for found in (noticing.worker_finding(worker), noticing.unsettled_finding(worker, bound_us)):
                findings += [found] if found else []
        standing = {
            (notice.kind, notice.subject) for notice in survey.notices if notice.kind in noticing.SWEPT_KINDS
        }
        if not findings and not standing:
            return
        await self._keep(findings, noticing.SWEPT_KINDS)

    async def _keep(self, findings: Sequence[Finding], kinds: Sequence[Kind]) -> None:
        """Make the notices of these kinds equal to the findings, and tell what has changed."""
        plan = self._store.keep_notices(findings, [kind.value for kind in kinds])
        appeared, went = await self._do(plan)
        for notice in appeared:
            log.warning("notice: %s", notice.sentence)
        for notice in went:
            log.warning("notice over: %s", notice.sentence)

    async def _settle(self, verdicts: Sequence[Verdict]) -> int:
        """Settle what was found; a group that fails is bisected, the one bad record is logged and left.

        Answers how many were recorded, so that whoever goes on while there is more does not go on in vain.
        """
        if not verdicts:
            return 0
        try:
            return sum(each.is_recorded for each in await self._do(self._store.settle(verdicts)))
        except StoreUnavailable:
            raise
        except Exception as error:
            if len(verdicts) == 1:
                self._saying.say(
                    logging.ERROR,
                    type(error).__name__,
                    "job %s cannot be recovered (%s); the next sweep tries again",
                    verdicts[0].job_id,
                    error,
                )
                return 0
            middle = len(verdicts) // 2
            return await self._settle(verdicts[:middle]) + await self._settle(verdicts[middle:])

    async def _do(self, plan: Plan[R]) -> R:
        return await self._lane.run(plan, self._settings.deadline)


def _standing_stalls(survey: Survey) -> list[Finding]:
    """Stalls that another sweeper saw: whoever saw none itself leaves them on notice for their time."""
    shown_us = noticing.STALL_SHOWN * 1_000_000
    return [
        Finding(notice.kind, notice.subject, notice.sentence)
        for notice in survey.notices
        if notice.kind is Kind.LOCK_HELD and survey.now_us - notice.since.timestamp() * 1_000_000 <= shown_us
    ]


def _is_over(worker: Worker) -> bool:
    """Whether its lease has run out, or reaches further than a lease can."""
    left_us = worker.lease_left_us
    return left_us is None or not 0 <= left_us <= worker.lease_us


def job_worker(worker: Worker | None) -> UUID | None:
    """Whose attempts are counted together: those of one worker."""
    return None if worker is None else worker.id
