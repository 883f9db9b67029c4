"""A worker fences itself: whoever is unsure of its lease begins nothing, and at its end stops.

The supervisor renews; if its last renewal is older than half a lease, the child renews itself. Claiming
and starting end with `safe_until`, two thirds of a lease after the last confirmed renewal was *sent*. At
the lease's end without contact, or when a renewal found the row ended, coroutines are cancelled,
isolated jobs killed and `ctx.cancelled` set; what ends so is handed back uncounted if it is still ours
when the store answers. If threads still run a lease later, the process asks to be replaced.

On SQLite a write lock held by somebody else is a stall, not a partition: nobody else can write either. As
long as a read of the own row shows it not ended, handlers go on.
"""

from __future__ import annotations

import logging

from unstuck.engine.executing import Executor
from unstuck.engine.patience import SHORTEST_REST
from unstuck.engine.shift import Shift
from unstuck.model.errors import StoreError
from unstuck.storage.plan import Lane

log = logging.getLogger("unstuck.engine")

LOOK_PAUSE = 0.5
LOOKS_IN_A_LEASE = 10
"""How often a worker looks at its page: every half second, or so often in a short lease. The moments that it must not
miss, half a lease and a whole one after its last renewal, are met as they come."""


class Fencing:
    """The watch that a worker keeps over itself; `read_lane` is used for nothing else."""

    def __init__(self, shift: Shift, executor: Executor, read_lane: Lane, is_one_file: bool):
        self._shift = shift
        self._executor = executor
        self._lane = read_lane
        self._is_one_file = is_one_file
        self._stopped_at: float | None = None

    async def round(self) -> float:
        """Look at the clock and the page; answers the time to the next look at them."""
        try:
            return await self._look()
        finally:
            if self._shift.must_leave:
                self._shift.parting.ring()

    async def _look(self) -> float:
        shift, page, now = self._shift, self._shift.page, self._shift.env.now()
        lease = shift.settings.lease
        pause = min(LOOK_PAUSE, lease / LOOKS_IN_A_LEASE)
        page.tick = now
        if page.drain_level and not shift.is_draining:
            shift.is_draining = True
        if (shift.is_draining or shift.is_quiet) and shift.buffer:
            shift.hand_back_buffer("the worker is " + ("leaving" if shift.is_draining else "quiet"))
        if page.is_lost:
            self._stop("the worker's row has ended", now)
            shift.gone.set()
            return pause
        age = now - page.renewed_at
        if age > lease / 2:
            await self._renew()
            age = shift.env.now() - page.renewed_at
        if age <= lease:
            self._stopped_at = None
        elif not (self._is_one_file and await self._is_stall()):
            self._stop("the lease is over and the store does not answer", now)
        ahead = [moment - age for moment in (lease / 2, lease) if moment > age]
        return max(SHORTEST_REST, min([pause, *ahead]))

    async def _renew(self) -> None:
        shift = self._shift
        sent = shift.env.now()
        try:
            plan = shift.store.renew([shift.id], shift.settings.lease_us)
            renewed = await self._lane.run(plan, shift.settings.deadline)
        except StoreError:
            return
        if shift.id in renewed.alive:
            shift.page.renewed(sent, shift.settings.lease)
        else:
            shift.page.lose()

    async def _is_stall(self) -> bool:
        """Whether a read shows our row not ended: then nobody can have taken our jobs."""
        shift = self._shift
        try:
            look = await self._lane.run(shift.store.look(shift.id, [], []), shift.settings.deadline)
        except StoreError:
            return False
        return look.is_alive

    def _stop(self, why: str, now: float) -> None:
        if self._stopped_at is None:
            self._stopped_at = now
            log.warning("worker %s stops what it runs: %s", self._shift.id, why)
            self._executor.stop_coroutines(why)
            self._shift.hand_back_buffer(why)
        elif now - self._stopped_at > self._shift.settings.lease and self._shift.runs:
            self._shift.page.ask_replacement()
