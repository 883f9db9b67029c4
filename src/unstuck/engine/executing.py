"""Running claimed jobs: a place, a slot on the page, user code, and a verdict.

Places are counted per kind: coroutines on the loop, plain functions in our threads, isolated ones (and
suspects, whatever their kind) in processes of their own. A start is: write the slot, then look whether
it is still allowed; so a worker that was withdrawn or whose lease is unsure never starts anything that
others might start too.

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
from typing import Any

from unstuck.engine import concluding
from unstuck.engine.buffer import Held
from unstuck.engine.concluding import Stop
from unstuck.engine.context import Context, current_context
from unstuck.engine.deadlines import Deadlines
from unstuck.engine.handler import Kind
from unstuck.engine.page import Phase
from unstuck.engine.run import Isolate, Run, carried
from unstuck.engine.saying import Saying
from unstuck.engine.shift import Key, Shift
from unstuck.engine.threads import ThreadPool
from unstuck.model.errors import Steering
from unstuck.model.job import ClaimedJob
from unstuck.model.verdict import Verdict
from unstuck.rules import judging

log = logging.getLogger("unstuck.engine")

ASYNC, ISOLATED = Kind.ASYNC, Kind.ISOLATED
KINDS = tuple(Kind)

FAST_SECONDS = 0.05
FAST_SAMPLES = 20
MEMORY_OF_MEAN = 0.05
REST_SECONDS = 1.0
"""How long a place stays empty in which something could not even be started: what goes back comes again at once."""


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
        self._saying = Saying(shift.env.now)
        self._settle_inside = settle_inside
        settings = shift.settings
        self._places = {
            Kind.ASYNC: settings.concurrency,
            Kind.PLAIN: settings.threads,
            Kind.ISOLATED: settings.isolated,
        }
        self._free = dict(self._places)
        self._kinds = tuple({handler.kind: None for handler in shift.handlers.values()})
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPool(settings.threads, self._loop, shift.env)
        self._slots: dict[Key, int] = {}
        self._means: dict[str, tuple[int, float]] = {}
        # Jobs are started and ended from inside other jobs' tasks; what they begin must not see those contexts.
        self._ground = contextvars.copy_context()
        self._deadlines = Deadlines(shift.env.now, shift.runs.values, self._time_out, self._ground)
        self._is_turning = False
        self.wrote: Callable[[Context], None] = lambda context: None

    def room(self, kind: Kind) -> int:
        """Free places of this kind."""
        return self._free[kind]

    def places(self, kind: Kind) -> int:
        """All places of this kind, free or not."""
        return self._places[kind]

    def room_for_slow(self, kind: Kind) -> int:
        """Places of this kind in which nothing slow runs and for which nothing slow waits. What is fast leaves
        its place in a moment, and must not keep others from being claimed however much of it there is."""
        runs, held = self._shift.runs.values(), self._shift.buffer.of(kind)
        running = sum(run.kind is kind and not self.is_fast(run.job.task) for run in runs)
        return self._places[kind] - running - sum(not self.is_fast(each.job.task) for each in held)

    def mean(self, task: str) -> float:
        """The recent mean of a task's running time, in seconds; a second where nothing is known."""
        return self._means.get(task, (0, 1.0))[1]

    def is_fast(self, task: str) -> bool:
        """Whether its recent mean is under 50 ms, so that claiming more than the free places pays."""
        samples, mean = self._means.get(task, (0, 1.0))
        return samples >= FAST_SAMPLES and mean < FAST_SECONDS

    def take(self, jobs: Sequence[ClaimedJob], withdrawn: int, now: float) -> None:
        """Claimed jobs arrive: start what has a place, keep the rest in the buffer."""
        shift = self._shift
        for job in jobs:
            handler = shift.handlers.get(job.task)
            if handler is None:
                shift.hand_back(job, started=False, why="its task is not known here")
                continue
            is_alone = job.is_suspect and self._isolate is not None
            shift.buffer.put(Held(job, withdrawn, now, Kind.ISOLATED if is_alone else handler.kind))
        if jobs:
            shift.page.busy_at = now
        self.start_next()

    def start_next(self) -> None:
        """Start from the buffer whatever has a place, in order of the line within each kind."""
        buffer = self._shift.buffer
        for kind in KINDS:
            while (
                (places := min(self._free[kind], buffer.count(kind))) > 0
                and self._shift.may_start
                and self._begin(kind, places)
            ):
                pass
        self._show_places()

    def _show_places(self) -> None:
        """What supervisor and sweeps may know of this worker: free places of the fullest kind, and idleness."""
        shift = self._shift
        free = max(0, min((self._free[kind] - shift.buffer.count(kind) for kind in self._kinds), default=0))
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
        for held in taken:
            job = held.job
            deadline = 0.0 if job.timeout_us is None else now + job.timeout_us / 1_000_000
            slot = page.write_slot(job.id, job.fence, phase, deadline)
            if slot is None:
                break
            group.append((held, slot))
        for held in reversed(taken[len(group) :]):
            shift.buffer.put_back(held)
        withdrawn, may_start = page.withdrawn, shift.may_start
        for held, slot in group if may_start else reversed(group):
            if held.withdrawn != withdrawn:
                page.set_phase(slot, Phase.EMPTY)
                shift.hand_back(held.job, started=False, why="withdrawn before its start")
            elif not may_start:
                page.set_phase(slot, Phase.EMPTY)
                shift.buffer.put_back(held)
            else:
                self._start(held, slot, now)
        return may_start and len(group) == len(taken)

    def _start(self, held: Held, slot: int, now: float) -> None:
        shift, job, kind = self._shift, held.job, held.kind
        verdict_id = shift.env.new_id()
        context = Context(job, shift.id, self.wrote, self._settle_inside, verdict_id)
        run = Run(job, shift.handlers[job.task], kind, slot, verdict_id, context, now)
        key = job.id, job.fence
        self._free[kind] -= 1
        self._slots[key] = slot
        shift.runs[key] = run
        if job.timeout_us is not None:
            run.deadline = now + job.timeout_us / 1_000_000
            self._deadlines.expect(run.deadline)
        self._launch(run)

    def _launch(self, run: Run) -> None:
        try:
            arguments = run.handler.decode(run.job.args)
        except Exception as error:
            dice = self._shift.env.dice.random()
            verdict = concluding.of_bad_payload(run.job, run.verdict_id, self._shift.id, error, dice)
            self._conclude(run, verdict)
            return
        scope = self._ground.copy()
        scope.run(current_context.set, run.context)
        if run.kind is ISOLATED and self._isolate is not None:
            # A copy: we may be running in the ground itself, and nobody enters a context twice.
            run.task = self._ground.copy().run(asyncio.ensure_future, self._isolate(run))
            run.task.add_done_callback(lambda task: self._isolated_ended(run, task), context=self._ground)
        elif run.handler.kind is ASYNC:
            work = carried(run, arguments, self._shift.env.now, self._ended)
            run.task = self._loop.create_task(work, context=scope)
        else:
            function, now = run.handler.function, self._shift.env.now

            def call() -> Any:
                run.started_at = now()
                run.thread_id = (
                    ctypes.pythonapi.PyThread_get_thread_ident() if run.handler.interrupt_threads else None
                )
                try:
                    result = scope.run(function, **arguments)
                    # A wrapper that is not async itself may give the coroutine of what it wraps.
                    if result is None or not asyncio.iscoroutine(result):
                        return result
                    return scope.run(asyncio.run, result)
                finally:
                    run.thread_id = None

            try:
                self._pool.submit(call, lambda result, error: self._ended(run, result, error))
            except RuntimeError as error:
                self._could_not_start(run, "no thread", error, started=False)

    def find_ended(self) -> None:
        """Conclude what somebody else cancelled before its first step: it ends without a word."""
        for run in list(self._shift.runs.values()):
            if run.task is not None and run.kind is Kind.ASYNC and run.task.done():
                self._ended(run, None, asyncio.CancelledError("cancelled before its first step"))

    def _isolated_ended(self, run: Run, task: asyncio.Task[Verdict]) -> None:
        if run.is_over:
            return
        error = None if task.cancelled() else task.exception()
        if run.stop is Stop.NOT and (task.cancelled() or error is not None):
            self._could_not_start(run, "no process", error or asyncio.CancelledError(), started=True)
        elif (
            task.cancelled()
            or error is not None
            or (run.stop is not Stop.NOT and task.result().detail.get("died"))
        ):
            self._conclude(run, self._stopped(run))
        else:
            self._conclude(run, task.result())

    def _ended(self, run: Run, result: Any, error: BaseException | None) -> None:
        if run.is_over:
            return
        self._learn(run)
        try:
            verdict = self._judged(run, result, error)
        except Exception as unjudged:
            dice = self._shift.env.dice.random()
            words = concluding.error_info(unjudged)
            verdict = judging.failed(run.job, run.verdict_id, self._shift.id, words, dice)
        self._conclude(run, verdict)

    def _judged(self, run: Run, result: Any, error: BaseException | None) -> Verdict:
        shift = self._shift
        if error is None and run.context.is_settled:
            dice = shift.env.dice.random()
            return concluding.of_lost_settling(run.job, run.verdict_id, shift.id, dice)
        if error is None:
            return concluding.of_return(run.job, run.handler, run.verdict_id, shift.id, result)
        if run.stop is not Stop.NOT and not isinstance(error, Steering):
            return self._stopped(run)
        dice = shift.env.dice.random()
        return concluding.of_error(run.job, run.handler, run.verdict_id, shift.id, error, dice)

    def _stopped(self, run: Run) -> Verdict:
        dice = self._shift.env.dice.random()
        return concluding.of_stop(run.job, run.stop, run.verdict_id, self._shift.id, dice, run.why)

    def _could_not_start(self, run: Run, lack: str, error: BaseException, *, started: bool) -> None:
        text = "job %s goes back: %s could be had for it (%s)"
        self._saying.say(logging.ERROR, lack, text, run.job.id, lack, error)
        why = f"{lack} could be had for it: {error}"
        verdict = judging.handed_back(run.job, run.verdict_id, self._shift.id, started=started, why=why)
        self._conclude(run, verdict, rest=REST_SECONDS)

    def _conclude(self, run: Run, verdict: Verdict, rest: float = 0.0) -> None:
        shift = self._shift
        if run.patience is not None:
            run.patience.cancel()
        run.is_over = True
        del shift.runs[run.key]
        if rest:
            self._loop.call_later(rest, self._rested, run.kind, context=self._ground)
        else:
            self._free[run.kind] += 1
        shift.page.set_phase(run.slot, Phase.ENDED)
        shift.deliver(verdict)
        if not self._is_turning:
            self._is_turning = True
            self._loop.call_soon(self._go_on, context=self._ground)

    def _go_on(self) -> None:
        """After all that ended in this turn of the loop: fill the places that they left."""
        self._is_turning = False
        self.start_next()
        self._shift.claim_now()

    def _rested(self, kind: Kind) -> None:
        self._free[kind] += 1
        self._go_on()

    def confirmed(self, key: Key) -> None:
        """The store has the ending of this attempt: its slot is free."""
        slot = self._slots.pop(key, None)
        if slot is not None:
            self._shift.page.set_phase(slot, Phase.EMPTY)

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
        if run.task is not None:
            if run.kind is Kind.ASYNC:
                # Before its first step a task ends without coming to its coroutine.
                run.task.add_done_callback(lambda task: self._ended(run, None, asyncio.CancelledError()))
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
        self._conclude(run, self._stopped(run))

    def put_off(self, job: ClaimedJob) -> None:
        """A suspect found no free place of its own: let it come again in a second."""
        self._shift.deliver(judging.put_off(job, self._shift.env.new_id(), self._shift.id))

    def close(self) -> None:
        """Let idle threads end."""
        self._pool.close()

    def _learn(self, run: Run) -> None:
        took = self._shift.env.now() - run.started_at
        samples, mean = self._means.get(run.job.task, (0, took))
        self._means[run.job.task] = (samples + 1, mean + (took - mean) * MEMORY_OF_MEAN)
