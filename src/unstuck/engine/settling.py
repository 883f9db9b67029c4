"""Endings go to the store in groups, and stay in hand until the store has them.

Whatever ended since the last flush goes with the next statement; there is no timer. A flush whose answer
was lost is simply repeated: every verdict keeps its id, so what was recorded is answered *already*. A
refused verdict means that somebody else owns the job; it is dropped here and stamped there. A group that
fails for another reason is bisected; a verdict that still fails alone after a lease is settled as one
whose result could not be kept.

Where the store has one writer only, a claim that is about to be sent takes along what has ended, in one transaction
and one commit (`lend`). Nothing of that changes what a verdict means: had the two gone one after the other, both might
have been lost as well. A group that did not arrive so goes by itself next, so that no bad verdict holds up claims.

Progress and log lines ride along, fenced like everything else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import islice
from uuid import UUID

import msgspec

from unstuck.engine.context import Context
from unstuck.engine.executing import Executor
from unstuck.engine.saying import Saying
from unstuck.engine.shift import Key, Shift
from unstuck.model.errors import StoreConflict, StoreError, StoreUnavailable
from unstuck.model.job import ErrorInfo
from unstuck.model.states import Event
from unstuck.model.verdict import Answer, Outcome, Settled, Verdict

log = logging.getLogger("unstuck.engine")

FAILURES = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CRASHED})
PROGRESS_EVERY = 1.0
SOON_SECONDS = 0.02
"""For how long endings wait for a claim that is not due yet: what some hundreds of jobs that do next to nothing take."""
ACCEPTED, SUCCEED = Answer.ACCEPTED, Event.SUCCEED


class Settling:
    """The flusher of one worker."""

    def __init__(self, shift: Shift, executor: Executor):
        self._shift = shift
        self._executor = executor
        self._spoke: dict[Key, Context] = {}
        self._progress_at: dict[Key, float] = {}
        self._bad_since: dict[Key, float] = {}
        self._group_max = shift.portion
        self._saying = Saying(shift.env.now)
        self._is_under_way = False
        self._is_alone = False
        self._is_waiting = False
        self._waits_since: float | None = None
        self.is_claiming_next: Callable[[], bool] | None = None
        self.is_claiming_soon: Callable[[], bool] | None = None
        executor.wrote = self._note

    def _note(self, context: Context) -> None:
        self._spoke[context.job.id, context.job.fence] = context

    async def round(self) -> float:
        """Flush once what is there; wait to be woken where there is nothing."""
        shift = self._shift
        unsaid: Exception | None = None
        try:
            await self._write_words()
        except Exception as error:
            unsaid = error  # words that nobody takes must not hold up the endings of everybody
        shift.page.unsettled_since = next(iter(shift.endings.values()), (0.0, None))[0]
        self._is_waiting = self._is_under_way or self._goes_with_a_claim()
        is_put_off = not self._is_waiting and self._waits_a_moment()
        stays = self._is_waiting or is_put_off
        group = [] if stays else list(islice(shift.outbox.values(), self._group_max))
        if group:
            self._is_under_way = self._is_alone = True
            try:
                await self._flush(group)
                self._is_alone = False
            finally:
                self._is_under_way = False
                if self.is_claiming_next is not None:
                    shift.claim_now()  # it may have waited for this to be over
        if unsaid is not None:
            raise unsaid
        if is_put_off:
            return SOON_SECONDS
        if not group:
            return PROGRESS_EVERY if self._spoke else shift.settings.lease
        return 0.0

    def _goes_with_a_claim(self) -> bool:
        asks = self.is_claiming_next
        return asks is not None and not self._is_alone and self._may_be_lent() and asks()

    def _waits_a_moment(self) -> bool:
        """Whether what has ended is left for a claim that will come, as long as that may be waited for. One group
        can go with it; two wait for nobody."""
        asks, since, self._waits_since = self.is_claiming_soon, self._waits_since, None
        is_much = len(self._shift.outbox) >= 2 * self._group_max
        if asks is None or is_much or self._is_alone or not self._may_be_lent() or not asks():
            return False
        now = self._shift.env.now()
        if since is not None and now - since >= SOON_SECONDS:
            return False
        self._waits_since = now if since is None else since
        return True

    def _may_be_lent(self) -> bool:
        """Whether there is something, and nothing that inserts jobs: one must not be claimed before it was there
        for everybody to see."""
        outbox = self._shift.outbox
        return bool(outbox) and not any(each.effects for each in islice(outbox.values(), self._group_max))

    @property
    def is_under_way(self) -> bool:
        """Whether endings are on their way to the store, so that nobody else should take them there."""
        return self._is_under_way

    @property
    def is_waiting(self) -> bool:
        """Whether this loop waits for a claim that takes along what has ended."""
        return self._is_waiting

    def lend(self) -> Sequence[Verdict]:
        """What waits for the store, for a transaction that goes there anyway; `take_back` must follow where there
        is anything. Nothing, where a group that was lent did not arrive: this loop finds out why."""
        if self._is_under_way or self._is_alone or not self._may_be_lent():
            return ()
        group = list(islice(self._shift.outbox.values(), self._group_max))
        self._is_under_way, self._waits_since = bool(group), None
        return group

    def take_back(self, settled: list[Settled] | None) -> None:
        """What was lent is back, with the answers of the store, or without any."""
        self._is_under_way = False
        if settled is None:
            self._is_alone = True
        else:
            self._note_answers(settled)
        self._shift.settle_now()

    async def _flush(self, group: Sequence[Verdict]) -> None:
        shift = self._shift
        try:
            settled = await shift.settle_lane.run(shift.store.settle(group), shift.settings.deadline)
        except (StoreUnavailable, StoreConflict):
            self._stand_back(group)
            raise
        except Exception as error:
            await self._bisect(group, error)
            return
        self._note_answers(settled)

    def _note_answers(self, settled: Sequence[Settled]) -> None:
        shift = self._shift
        self._group_max = min(shift.portion, self._group_max * 2)
        shift.page.round_trip = shift.env.now()
        ended = failed = 0
        forget, confirmed = shift.outbox.pop, self._executor.confirmed
        for verdict, answer in settled:
            key = verdict.job_id, verdict.fence
            if answer is ACCEPTED:
                if verdict.event is SUCCEED:
                    ended += 1
                else:
                    ended += verdict.is_final
                    failed += verdict.outcome is not None and verdict.outcome in FAILURES
            elif answer is Answer.REFUSED:
                log.info("the ending of job %s was refused: it is no longer ours", verdict.job_id)
            forget(key, None)
            if self._bad_since:
                self._bad_since.pop(key, None)
            confirmed(key)
        shift.page.settled(ended, failed)
        shift.gave_up_something()

    def _stand_back(self, group: Sequence[Verdict]) -> None:
        """A lock or a deadline met this group: the next one is half as large, and others go first, so that
        one row that somebody holds does not hold up every ending."""
        self._group_max = max(1, len(group) // 2)
        for verdict in group:
            key = verdict.job_id, verdict.fence
            self._shift.outbox[key] = self._shift.outbox.pop(key)

    async def _bisect(self, group: Sequence[Verdict], error: Exception) -> None:
        """Find the bad verdict. If every half fails, nothing tells a bad verdict from a bad store: the
        error goes up, and only what has stood alone in its failure for a lease is set aside."""
        if len(group) == 1:
            self._set_aside(group[0], error)
            raise error
        middle = len(group) // 2
        errors: list[Exception] = []
        for half in (group[:middle], group[middle:]):
            try:
                await self._flush(half)
            except StoreUnavailable:
                raise
            except Exception as failed:
                errors.append(failed)
        if len(errors) == 2:
            raise errors[0]

    def _set_aside(self, verdict: Verdict, error: Exception) -> None:
        key, now = (verdict.job_id, verdict.fence), self._shift.env.now()
        if now - self._bad_since.setdefault(key, now) < self._shift.settings.lease:
            return
        self._saying.say(
            logging.ERROR,
            type(error).__name__,
            "the ending of job %s cannot be stored (%s); it is set aside",
            verdict.job_id,
            error,
        )
        self._shift.outbox[key] = verdict._replace(
            result=None,
            effects=(),
            error=ErrorInfo("CannotSettle", f"the ending could not be stored: {type(error).__name__}"),
            outcome=Outcome.FAILED,
            detail={"set_aside": True},
        )

    async def _write_words(self) -> None:
        if not self._spoke:
            return
        spoke, self._spoke = self._spoke, {}
        await self._write_lines(spoke)
        await self._write_progress(spoke)

    async def _write_lines(self, spoke: dict[Key, Context]) -> None:
        shift = self._shift
        taken = {key: context.take_lines() for key, context in spoke.items()}
        rows = [(*key, number, text) for key, lines in taken.items() for number, text in lines]
        if not rows:
            return
        try:
            await shift.settle_lane.run(shift.store.write_logs(rows), shift.settings.deadline)
        except StoreError:
            for key, context in spoke.items():
                context.put_back(taken[key])
            self._spoke = spoke | self._spoke
            raise

    async def _write_progress(self, spoke: dict[Key, Context]) -> None:
        shift, now = self._shift, self._shift.env.now()
        rows: list[tuple[UUID, int, str]] = []
        for key, context in spoke.items():
            is_due = now - self._progress_at.get(key, -PROGRESS_EVERY) >= PROGRESS_EVERY
            if not is_due and key not in shift.outbox:
                self._spoke.setdefault(key, context)
            elif (progress := context.take_progress()) is not None:
                rows.append((*key, msgspec.json.encode(progress).decode()))
                self._progress_at[key] = now
        if rows:
            took = await shift.settle_lane.run(shift.store.write_progress(rows), shift.settings.deadline)
            for job_id, fence, _ in rows:
                if job_id not in took:
                    self._executor.refused((job_id, fence))
        for key in [key for key in self._progress_at if key not in shift.runs]:
            del self._progress_at[key]
