"""Plain functions: the thread that has done with one takes the next job from the buffer itself, and calls it.

A thread begins a job as the loop does: its slot on the page, *then* the look whether it may start. All of that happens
with the lock of the buffer held, so that at each moment a job either waits or is among what runs. What may not start
stays where it is, and the loop gives it back. Jobs are taken one by one, however short they are: whoever takes a
job that lasts holds nothing else in his hands, and nothing stands on the page as started that has not begun.

This runs once per job with nobody else on the way, so it is the price of a short job: what the page says is read
in one piece, one moment serves for slot, look and start, and what may fail comes before the job leaves its line.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from unstuck.engine.buffer import Held
from unstuck.engine.context import current_context
from unstuck.engine.deadlines import Deadlines
from unstuck.engine.handler import Kind
from unstuck.engine.page import Phase
from unstuck.engine.run import Run
from unstuck.engine.shift import Shift
from unstuck.engine.turning import BadPayload

PLAIN = Kind.PLAIN
EMPTY, RUNNING, ENDED = Phase.EMPTY, Phase.RUNNING, Phase.ENDED
"""To ask an enumeration for its member takes longer than to write it on the page."""

UNHEARD_MAX = 500
"""So many jobs that threads have ended and of which the loop has not heard mean that it stands still: what would be
started behind its back could not be settled either."""

IDS_AT_ONCE = 100
"""For so many of those that wait, ids of their verdicts are drawn together: at a quarter of the price, and none for
later."""


class Plain:
    """What threads do with the jobs of one worker; `free` are the places of each kind as the loop knows them, `go_on` has
    the loop give back what may not start."""

    def __init__(
        self,
        shift: Shift,
        free: dict[Kind, int],
        run_of: Callable[[Held, int, float, UUID], Run],
        deadlines: Deadlines,
        go_on: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        ground: contextvars.Context,
    ):
        self._shift = shift
        self._free = free
        self._run_of = run_of
        self._deadlines = deadlines
        self._go_on = go_on
        self._loop = loop
        self._ground = ground
        self._taken = 0
        self._verdict_ids: list[UUID] = []

    @property
    def room(self) -> int:
        """Free places; fewer than none where threads are ahead of what the loop has heard."""
        return self._free[PLAIN] - self._taken

    def begin(self) -> tuple[Run, Callable[[Run], Any]] | None:
        """For the thread that asks: its next job, and what is to be called with it."""
        shift = self._shift
        page, buffer = shift.page, shift.buffer
        with buffer.lock:
            line = buffer.line(PLAIN)
            if not line or self._free[PLAIN] - self._taken <= -UNHEARD_MAX:
                return None
            held = line[0]
            job, now = held.job, shift.env.now()
            deadline = 0.0 if job.timeout_us is None else now + job.timeout_us / 1_000_000
            slot = page.write_slot(job.id, job.fence, RUNNING, deadline)
            if slot is None:
                return None
            run = None
            try:
                if page.permits(held.withdrawn, now) and not shift.is_draining and not shift.is_quiet:
                    if not self._verdict_ids:
                        self._verdict_ids = shift.env.new_ids(min(len(line), IDS_AT_ONCE))
                    run = self._run_of(held, slot, now, self._verdict_ids.pop())
            finally:
                if run is None:
                    page.set_phase(slot, EMPTY)
            if run is not None:
                line.popleft()
                self._taken += 1
                shift.runs[run.key] = run
        if run is None:
            self._tell(self._go_on)
            return None
        if deadline and self._deadlines.is_first(deadline):
            self._tell(self._deadlines.expect, deadline)
        return run, self._call

    def _tell(self, what: Callable[..., object], *said: object) -> None:
        """From a thread to the loop."""
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(what, *said, context=self._ground)

    def _call(self, run: Run) -> Any:
        """In its thread, from the arguments to what the function answers."""
        handler = run.handler
        try:
            arguments = handler.decode(run.job.args)
        except Exception as error:
            raise BadPayload(error) from None
        scope = self._ground.copy()
        scope.run(current_context.set, run.context)
        if handler.interrupt_threads:
            run.thread_id = ctypes.pythonapi.PyThread_get_thread_ident()
        try:
            result = scope.run(handler.function, **arguments)
            # A wrapper that is not async itself may give the coroutine of what it wraps.
            if result is None or not asyncio.iscoroutine(result):
                return result
            return scope.run(asyncio.run, result)
        finally:
            run.thread_id = None
            run.ended_at = self._shift.env.now()
            # The loop may be long in coming, and whoever is killed with it then should not be taken for guilty.
            self._shift.page.set_phase(run.slot, ENDED)
