"""What ends in one turn of the loop is judged and delivered together, at the beginning of the next.

A handler that has ended is over at once: nothing stops it any more, and it ends once. Its verdict, the place that
it leaves and the word to those who wait for either follow with those of all that ended in the same turn, so that a
thousand short handlers do not wake anybody a thousand times.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterable
from typing import Any

from unstuck.engine import concluding
from unstuck.engine.concluding import Stop
from unstuck.engine.handler import Kind
from unstuck.engine.pace import Pace
from unstuck.engine.page import Phase
from unstuck.engine.run import Ended, Run
from unstuck.engine.saying import Saying
from unstuck.engine.shift import Shift
from unstuck.model.errors import Steering
from unstuck.model.job import ClaimedJob
from unstuck.model.verdict import Verdict
from unstuck.rules import judging

log = logging.getLogger("unstuck.engine")

REST_SECONDS = 1.0
"""How long a place stays empty in which something could not even be started: what goes back comes again at once."""

ENDED = Phase.ENDED
"""To ask an enumeration for its member takes longer than to write it on the page."""


class BadPayload(Exception):
    """The arguments could not be read: nothing was called. `why` is what the handler's decoder raised."""

    def __init__(self, why: Exception):
        super().__init__()
        self.why = why


class Turning:
    """Ends runs; `free` are the places of each kind, and `start_next` fills them."""

    def __init__(
        self,
        shift: Shift,
        free: dict[Kind, int],
        start_next: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        ground: contextvars.Context,
    ):
        self._shift = shift
        self._free = free
        self._start_next = start_next
        self._loop = loop
        self._ground = ground
        self._saying = Saying(shift.env.now)
        self._ended: list[Ended] = []
        self._is_turning = False
        self.pace = Pace()

    def over(self, run: Run, result: Any, error: BaseException | None) -> None:
        """A handler has ended, on the loop: its verdict follows with those of all that end in this turn."""
        if run.is_over:
            return
        run.is_over = True
        run.ended_at = self._shift.env.now()
        self._ended.append((run, result, error))
        self.turn()

    def over_together(self, ended: Iterable[Ended]) -> None:
        """These handlers have ended, on the loop, at the moments that their runs say."""
        self._note(ended)
        self.turn()

    def conclude_group(self, ended: Iterable[Ended]) -> None:
        """Threads have ended these."""
        self._note(ended)
        self.go_on()

    def _note(self, ended: Iterable[Ended]) -> None:
        for each in ended:
            run = each[0]
            if not run.is_over:
                run.is_over = True
                self._ended.append(each)

    def _conclude_ended(self) -> None:
        ended, self._ended = self._ended, []
        learn, worker_id = self.pace.learn, self._shift.id
        for run, result, error in ended:
            if type(error) is not BadPayload:
                learn(run.job.task, run.ended_at - run.started_at)
            try:
                if error is None and not run.context.is_settled:
                    verdict = concluding.of_return(run.job, run.handler, run.verdict_id, worker_id, result)
                else:
                    verdict = self._judged(run, error)
            except Exception as unjudged:
                dice = self._shift.env.dice.random()
                words = concluding.error_info(unjudged)
                verdict = judging.failed(run.job, run.verdict_id, self._shift.id, words, dice)
            self._close(run, verdict)

    def _judged(self, run: Run, error: BaseException | None) -> Verdict:
        """What is not a plain return."""
        shift = self._shift
        if error is None:
            dice = shift.env.dice.random()
            return concluding.of_lost_settling(run.job, run.verdict_id, shift.id, dice)
        if run.stop is not Stop.NOT and not isinstance(error, Steering | BadPayload):
            return self.stopped(run)
        dice = shift.env.dice.random()
        if isinstance(error, BadPayload):
            return concluding.of_bad_payload(run.job, run.verdict_id, shift.id, error.why, dice)
        return concluding.of_error(run.job, run.handler, run.verdict_id, shift.id, error, dice)

    def stopped(self, run: Run) -> Verdict:
        """The verdict of what we stopped."""
        dice = self._shift.env.dice.random()
        return concluding.of_stop(run.job, run.stop, run.verdict_id, self._shift.id, dice, run.why)

    def isolated_ended(self, run: Run, task: asyncio.Task[Verdict]) -> None:
        """The task that waited for a process of its own has ended."""
        if run.is_over:
            return
        error = None if task.cancelled() else task.exception()
        if run.stop is Stop.NOT and (task.cancelled() or error is not None):
            self._could_not_start(run, "no process", error or asyncio.CancelledError())
        elif (
            task.cancelled()
            or error is not None
            or (run.stop is not Stop.NOT and task.result().detail.get("died"))
        ):
            self.conclude(run, self.stopped(run))
        else:
            self.conclude(run, task.result())

    def say_lack(self, job: ClaimedJob, lack: str, error: BaseException) -> str:
        """Tell people what could not be had, at most once a minute; answers what its row says."""
        text = "job %s goes back: %s could be had for it (%s)"
        self._saying.say(logging.ERROR, lack, text, job.id, lack, error)
        return f"{lack} could be had for it: {error}"

    def _could_not_start(self, run: Run, lack: str, error: BaseException) -> None:
        why = self.say_lack(run.job, lack, error)
        verdict = judging.handed_back(run.job, run.verdict_id, self._shift.id, started=True, why=why)
        self.conclude(run, verdict, is_to_rest=True)

    def conclude(
        self, run: Run, verdict: Verdict, *, is_to_rest: bool = False, is_abandoned: bool = False
    ) -> None:
        """This is how it ended: its place is free, and its slot stays until the store has the ending; for ever, where
        what was called has not come back."""
        self._close(run, verdict, is_to_rest=is_to_rest, is_abandoned=is_abandoned)
        self.turn()

    def _close(
        self, run: Run, verdict: Verdict, *, is_to_rest: bool = False, is_abandoned: bool = False
    ) -> None:
        shift = self._shift
        if run.patience is not None:
            run.patience.cancel()
        run.is_over = True
        del shift.runs[run.key]
        if is_to_rest:
            self.rest(run.kind)
        else:
            self._free[run.kind] += 1
        shift.page.set_phase(run.slot, Phase.ABANDONED if is_abandoned else ENDED)
        shift.put(verdict, run.ended_at or shift.env.now(), None if is_abandoned else run.slot)

    def turn(self) -> None:
        """See that places are filled and endings sent after all that ends in this turn of the loop."""
        if not self._is_turning:
            self._is_turning = True
            self._loop.call_soon(self.go_on, context=self._ground)

    def go_on(self) -> None:
        """After all that ended in this turn of the loop: deliver it, and fill the places that it left."""
        self._conclude_ended()
        self._is_turning = False
        shift = self._shift
        shift.settle_now()
        shift.gave_up_something()
        self._start_next()
        shift.claim_now()

    def rest(self, kind: Kind) -> None:
        """A place of this kind stays empty for a while."""
        self._loop.call_later(REST_SECONDS, self._rested, kind, context=self._ground)

    def _rested(self, kind: Kind) -> None:
        self._free[kind] += 1
        self.go_on()
