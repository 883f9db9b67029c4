"""Running claimed jobs: a place, a slot on the page, user code, and a verdict.

Places are counted per kind: coroutines on the loop, plain functions in our threads, isolated ones (and
suspects, whatever their kind) in processes of their own. A start is: write the slot, then look whether
it is still allowed; so a worker that was withdrawn or whose lease is unsure never starts anything that
others might start too. The loop does so for coroutines and processes, in groups; a thread does it itself with its next
job (`plain`).

What ends in one turn of the loop is judged and delivered together, at the beginning of the next.

The timeout ladder: at the timeout `ctx.cancelled` turns true and a coroutine is cancelled, an isolated
process is killed; one grace later the attempt is settled as timed out whatever still runs, and this
process asks to be replaced, because a thread cannot be killed. A handler that returns within the grace
has succeeded.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from unstuck.engine.buffer import Held
from unstuck.engine.concluding import Stop
from unstuck.engine.context import Context
from unstuck.engine.deadlines import Deadlines
from unstuck.engine.driving import Driving
from unstuck.engine.handler import Kind
from unstuck.engine.page import Phase
from unstuck.engine.plain import Plain
from unstuck.engine.run import Isolate, Run
from unstuck.engine.shift import Key, Shift
from unstuck.engine.threads import ThreadPool
from unstuck.engine.turning import BadPayload, Turning
from unstuck.model.job import ClaimedJob
from unstuck.rules import judging

log = logging.getLogger("unstuck.engine")

ASYNC, PLAIN, ISOLATED = Kind.ASYNC, Kind.PLAIN, Kind.ISOLATED
ON_THE_LOOP = (ASYNC, ISOLATED)
"""Kinds that the loop starts; threads take what is theirs."""

EMPTY = Phase.EMPTY
"""To ask an enumeration for its member takes longer than to write it on the page."""

NO_ENDING = (0.0, None)

_new = tuple.__dict__["__new__"]


class Executor:
    """Starts what fits, stops what must stop, and delivers a verdict for everything that started."""

    def __init__(
        self,
        shift: Shift,
        isolate: Isolate | None = None,
        settle_inside: Callable[[Context, Any, Any], Any] | None = None,
    ):
        self._shift = shift
        self._isolate = isolate
        self._settle_inside = settle_inside
        settings = shift.settings
        self._places = {
            ASYNC: settings.concurrency,
            PLAIN: settings.threads,
            ISOLATED: settings.isolated,
        }
        self._free = dict(self._places)
        self._kinds = tuple({handler.kind: None for handler in shift.handlers.values()})
        self._loop = asyncio.get_running_loop()
        # Jobs are started and ended from inside other jobs' tasks; what they begin must not see those contexts.
        self._ground = contextvars.copy_context()
        self._turning = Turning(shift, self._free, self.start_next, self._loop, self._ground)
        self.pace = self._turning.pace
        self._driving = Driving(self._loop, self._ground, shift.env.now, self._turning.over_together)
        self._deadlines = Deadlines(shift.env.now, shift.runs.values, self._time_out, self._ground)
        self._plain = Plain(
            shift, self._free, self._run_of, self._deadlines, self._turning.go_on, self._loop, self._ground
        )
        waiting = partial(shift.buffer.count, PLAIN)
        self._pool = ThreadPool(
            settings.threads,
            self._loop,
            waiting,
            self._plain.begin,
            self._turning.conclude_group,
            shift.env,
        )
        self.wrote: Callable[[Context], None] = lambda context: None

    def room(self, kind: Kind) -> int:
        """Free places of this kind."""
        return self._plain.room if kind is PLAIN else self._free[kind]

    def places(self, kind: Kind) -> int:
        """All places of this kind, free or not."""
        return self._places[kind]

    def room_for_slow(self, kind: Kind) -> int:
        """Places of this kind in which nothing slow runs and for which nothing slow waits. What is fast leaves
        its place in a moment, and must not keep others from being claimed however much of it there is."""
        runs, held, is_fast = list(self._shift.runs.values()), self._shift.buffer.of(kind), self.pace.is_fast
        running = sum(run.kind is kind and not is_fast(run.job.task) for run in runs)
        return self._places[kind] - running - sum(not is_fast(each.job.task) for each in held)

    def take(
        self, jobs: Sequence[ClaimedJob], withdrawn: int, now: float, *, are_ahead: bool = False
    ) -> None:
        """Claimed jobs arrive: start what has a place, keep the rest in the buffer.

        Where they are as many as were asked for beyond the free places (`are_ahead`), the next claim goes first: they start in
        the next turn of the loop.
        """
        shift, can_isolate = self._shift, self._isolate is not None
        for job in jobs:
            handler = shift.handlers.get(job.task)
            if handler is None:
                shift.hand_back(job, started=False, why="its task is not known here")
                continue
            is_alone = job.is_suspect and self._isolate is not None
            kind = ISOLATED if is_alone else handler.kind
            held: Held = _new(
                Held, (job, withdrawn, now, PLAIN if kind is ISOLATED and not can_isolate else kind)
            )
            shift.buffer.put(held)
        if jobs:
            shift.page.busy_at = now
        if are_ahead:
            self._turning.turn()
        else:
            self.start_next()

    def start_next(self) -> None:
        """Start from the buffer whatever has a place, in order of the line within each kind."""
        buffer = self._shift.buffer
        for kind in ON_THE_LOOP:
            while (
                (places := min(self._free[kind], buffer.count(kind))) > 0
                and self._shift.may_start
                and self._begin(kind, places)
            ):
                pass
        if buffer.count(PLAIN) and self.room(PLAIN) > 0:
            self._call_threads()
        self._show_places()

    def _call_threads(self) -> None:
        """See that threads come for what waits for them, and give back what they must not begin."""
        shift, withdrawn = self._shift, self._shift.page.withdrawn
        with shift.buffer.lock:
            first = shift.buffer.first(PLAIN)
        if first is not None and first.withdrawn != withdrawn:
            for held in shift.buffer.take_where(
                lambda each: each.kind is PLAIN and each.withdrawn != withdrawn
            ):
                shift.hand_back(held.job, started=False, why="withdrawn before its start")
        try:
            if shift.may_start:
                self._pool.call()
        except RuntimeError as error:
            for held in shift.buffer.take(PLAIN, 1):
                self._free[PLAIN] -= 1
                self._turning.rest(PLAIN)
                why = self._turning.say_lack(held.job, "no thread", error)
                shift.hand_back(held.job, started=False, why=why)

    def _show_places(self) -> None:
        """What supervisor and sweeps may know of this worker: free places of the fullest kind, and idleness."""
        shift = self._shift
        free = max(0, min([self.room(kind) - shift.buffer.count(kind) for kind in self._kinds], default=0))
        shift.page.free_places = free
        if not free or shift.buffer:
            shift.page.busy_at = shift.env.now()

    def _begin(self, kind: Kind, places: int) -> bool:
        """Begin as many as there are places: write their slots, *then* look whether they may start. False
        where nothing more can begin now."""
        shift, page, now = self._shift, self._shift.page, self._shift.env.now()
        phase = Phase.ISOLATED if kind is Kind.ISOLATED else Phase.RUNNING
        taken = shift.buffer.take(kind, places)
        group: list[tuple[Held, int]] = []
        with shift.buffer.lock:
            for held in taken:
                job = held.job
                slot = page.write_slot(job.id, job.fence, phase, _deadline_of(job, now))
                if slot is None:
                    break
                group.append((held, slot))
        for held in reversed(taken[len(group) :]):
            shift.buffer.put_back(held)
        withdrawn, may_start = page.withdrawn, shift.may_start
        ids = iter(shift.env.new_ids(len(group)) if may_start else ())
        for held, slot in group if may_start else reversed(group):
            if held.withdrawn != withdrawn:
                page.set_phase(slot, Phase.EMPTY)
                shift.hand_back(held.job, started=False, why="withdrawn before its start")
            elif not may_start:
                page.set_phase(slot, Phase.EMPTY)
                shift.buffer.put_back(held)
            else:
                self._start(held, slot, now, next(ids))
        self._driving.call()
        return may_start and len(group) == len(taken)

    def _run_of(self, held: Held, slot: int, now: float, verdict_id: UUID | None = None) -> Run:
        shift, job = self._shift, held.job
        verdict_id = verdict_id or shift.env.new_id()
        context = Context(job, shift.id, self.wrote, self._settle_inside, verdict_id)
        run = Run(job, shift.handlers[job.task], held.kind, slot, verdict_id, context, now)
        if job.timeout_us is not None:
            run.deadline = _deadline_of(job, now)
        return run

    def _start(self, held: Held, slot: int, now: float, verdict_id: UUID) -> None:
        run = self._run_of(held, slot, now, verdict_id)
        self._free[run.kind] -= 1
        self._shift.runs[run.key] = run
        if run.deadline is not None:
            self._deadlines.expect(run.deadline)
        try:
            arguments = run.handler.decode(run.job.args)
        except Exception as error:
            self._turning.over(run, None, BadPayload(error))
            return
        if run.kind is ISOLATED:
            assert self._isolate is not None
            # A copy: we may be running in the ground itself, and nobody enters a context twice.
            run.task = self._ground.copy().run(asyncio.ensure_future, self._isolate(run))
            run.task.add_done_callback(
                lambda task: self._turning.isolated_ended(run, task), context=self._ground
            )
        else:
            self._driving.add(run, arguments)

    def recall(self) -> None:
        """See that somebody comes for coroutines that have not begun: who was to may have been cancelled."""
        self._driving.recall()

    def confirmed(self, key: Key) -> None:
        """The store has the ending of this attempt: its slot is free."""
        _, slot = self._shift.endings.pop(key, NO_ENDING)
        if slot is not None:
            self._shift.page.set_phase(slot, EMPTY)

    def ask_cancel(self, key: Key) -> None:
        """Somebody asked this attempt to cancel."""
        run = self._shift.runs.get(key)
        if run is not None and run.stop is Stop.NOT:
            self._stop(run, Stop.CANCEL, "cancel asked for")

    def stop_coroutines(self, why: str) -> None:
        """Stop what can be stopped (coroutines, isolated processes), to be handed back; tell threads."""
        for run in list(self._shift.runs.values()):
            if run.stop is Stop.NOT:
                if run.kind is Kind.PLAIN:
                    run.context.ask_to_stop()
                else:
                    self._stop(run, Stop.HAND_BACK, why)

    def refused(self, key: Key) -> None:
        """The store says that this attempt is no longer ours: its handler should stop."""
        run = self._shift.runs.get(key)
        if run is not None:
            run.context.ask_to_stop()

    def _time_out(self, run: Run) -> None:
        self._stop(run, Stop.TIMEOUT, "timeout")

    def _stop(self, run: Run, stop: Stop, why: str) -> None:
        if run.is_over:
            return
        run.stop, run.why = stop, why
        run.context.ask_to_stop()
        if run.task is None and run.kind is ASYNC:
            self._turning.over(run, None, asyncio.CancelledError())  # it has not begun, and will not
            return
        if run.task is not None:
            run.task.cancel()
        elif run.thread_id is not None and stop is Stop.TIMEOUT:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(run.thread_id), ctypes.py_object(TimeoutError)
            )
        if stop is not Stop.CANCEL or run.kind is not Kind.PLAIN:
            loop, grace = asyncio.get_running_loop(), self._shift.settings.timeout_grace
            if run.patience is None:
                run.patience = loop.call_later(grace, self._give_up, run, context=self._ground)

    def _give_up(self, run: Run) -> None:
        if run.is_over:
            return
        log.warning(
            "job %s (%s) did not stop within %g s after %s; its process will be replaced",
            run.job.id,
            run.job.task,
            self._shift.settings.timeout_grace,
            run.why,
        )
        self._shift.page.ask_replacement()
        if run.stop is Stop.HAND_BACK:
            return  # it is still at work: only who has ended this process may give it to somebody else
        if run.kind is Kind.PLAIN:
            self._pool.abandon()
        is_here = run.kind is not Kind.ISOLATED
        self._turning.conclude(run, self._turning.stopped(run), is_abandoned=is_here)

    def put_off(self, job: ClaimedJob) -> None:
        """A suspect found no free place of its own: let it come again in a second."""
        self._shift.deliver(judging.put_off(job, self._shift.env.new_id(), self._shift.id))

    def close(self) -> None:
        """Let idle threads end."""
        self._pool.close()


def _deadline_of(job: ClaimedJob, now: float) -> float:
    """When it times out; 0 where it never does, as its slot says it."""
    return 0.0 if job.timeout_us is None else now + job.timeout_us / 1_000_000
