"""A worker: one identity, its loops, and the way it leaves.

The loops know only the shift. Leaving is always the same walk: nothing new starts, what has not started
goes back at once, what runs may finish within grace, coroutines are then cancelled, awaited and handed
back, and the outbox is emptied. Threads that still run afterwards cannot be stopped from inside: `run`
says so, and whoever owns the process kills it first and hands back second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any
from uuid import UUID

from unstuck.engine.claiming import Claiming
from unstuck.engine.context import Context
from unstuck.engine.demand import AHEAD_PORTIONS, UNSETTLED_PORTIONS
from unstuck.engine.env import Env
from unstuck.engine.executing import Executor
from unstuck.engine.fencing import Fencing
from unstuck.engine.handler import Handler
from unstuck.engine.isolating import Isolating
from unstuck.engine.listening import Listening
from unstuck.engine.looking import Looking
from unstuck.engine.looping import STUCK_LEASES, Loop
from unstuck.engine.page import Page
from unstuck.engine.patience import SHORTEST_REST
from unstuck.engine.reconciling import Reconciling
from unstuck.engine.run import Isolate
from unstuck.engine.saying import Saying
from unstuck.engine.settling import Settling
from unstuck.engine.shift import PORTION_MAX, PORTION_OF_ONE_FILE, Shift
from unstuck.model.errors import StoreError
from unstuck.model.worker import NewWorker
from unstuck.rules.settings import Settings
from unstuck.storage.opening import Ear
from unstuck.storage.plan import Lane
from unstuck.storage.protocol import Store

log = logging.getLogger("unstuck.engine")

UNCONFIRMED_SLOTS = (AHEAD_PORTIONS + UNSETTLED_PORTIONS + 1) * PORTION_MAX
"""Places on the page for attempts that have ended and whose ending the store has not confirmed yet: what there may be
of these when the last claim goes, what is in hand then, and what that claim brings."""


class Left(Enum):
    """How a worker left."""

    CLEAN = 0
    STUCK = 70
    LOST = 75


def slots_of(settings: Settings) -> int:
    """How many slots the page of a worker needs."""
    return settings.concurrency + settings.threads + settings.isolated + UNCONFIRMED_SLOTS


class Worker:
    """One worker and its loops."""

    def __init__(
        self,
        worker_id: UUID,
        store: Store,
        handlers: Mapping[str, Handler],
        settings: Settings,
        env: Env,
        page: Page,
        lanes: Mapping[str, Lane],
        *,
        kind: str = "solo",
        supervisor_id: UUID | None = None,
        ear: Ear | None = None,
        application: str | None = None,
        url: str | None = None,
        settle_inside: Any = None,
        is_one_file: bool = False,
        isolate: Isolate | None = None,
    ):
        self.id = worker_id
        self._kind = kind
        self._supervisor_id = supervisor_id
        self._lanes = lanes
        self._ear = ear
        self.shift = Shift(worker_id, store, handlers, settings, env, page, lanes["claim"], lanes["settle"])
        if is_one_file:
            self.shift.portion = PORTION_OF_ONE_FILE
        if isolate is None and application:
            isolate = Isolating(application, worker_id, env.dice, url).run
        self.executor = Executor(self.shift, isolate, self._settle_inside_of(settle_inside))
        settling = Settling(self.shift, self.executor)
        claiming = self._claiming = Claiming(self.shift, self.executor, settling if is_one_file else None)
        looking = Looking(self.shift, self.executor, claiming)
        fencing = Fencing(self.shift, self.executor, lanes["fence"], is_one_file)
        reconciling = Reconciling(self.shift)
        self._loops = {
            name: Loop(name, round, env, page, patience, settings.poll)
            for name, round, patience in (
                ("fencing", fencing.round, settings.lease),
                ("looking", looking.round, settings.lease),
                ("claiming", claiming.round, settings.lease),
                ("settling", settling.round, settings.lease),
                ("reconciling", reconciling.round, settings.lease),
            )
        }
        self.shift.look_now = self._loops["looking"].wake
        self.shift.claim_now = self._loops["claiming"].wake
        self.shift.settle_now = self._loops["settling"].wake
        self.shift.reconcile_now = self._loops["reconciling"].wake

    @staticmethod
    def _settle_inside_of(settle_inside: Any) -> Any:
        def joined(context: Context, tx: Any, result: Any) -> Any:
            return settle_inside(context, tx, result)

        return joined if settle_inside else None

    async def register(self) -> None:
        """Insert this worker's row, trying again until the store answers."""
        shift, settings = self.shift, self.shift.settings
        row = NewWorker(
            id=self.id,
            kind=self._kind,
            supervisor_id=self._supervisor_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            lease_us=settings.lease_us,
            queues=tuple(share.name for share in settings.queues),
            tasks=tuple(shift.handlers),
        )
        sent = shift.env.now()
        await shift.settle_lane.run(shift.store.register(row), settings.deadline)
        shift.page.round_trip = shift.env.now()
        shift.page.renewed(sent, settings.lease)
        shift.page.busy_at = sent

    async def run(self) -> Left:
        """Work until asked to leave (the page's drain level), lost or in need of replacement."""
        shift = self.shift
        tasks = [asyncio.create_task(loop.run(), name=name) for name, loop in self._loops.items()]
        if self._ear is not None:
            claiming = self._claiming
            listening = Listening(
                self._ear, shift.settings, shift.look_now, claiming.expect, claiming.rest_while_in_sight
            )
            tasks.append(asyncio.create_task(self._listen(listening), name="listening"))
        try:
            while not (shift.must_leave or self._is_stuck()):
                await shift.parting.rest(shift.settings.poll)
            return await self._leave()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.executor.close()

    def _is_stuck(self) -> bool:
        """Whether one of the loops fails for good; then this process asks to be replaced, and says why."""
        page, settings = self.shift.page, self.shift.settings
        unsettled = page.unsettled_since
        for loop in self._loops.values():
            why = loop.why_stuck(page.renewed_at) if loop.is_failing else None
            if why is None:
                continue
            # Words that nobody takes fail the settling loop too: that holds up nobody's ending.
            if loop.name == "settling" and not (
                unsettled and self.shift.env.now() - unsettled > STUCK_LEASES * settings.lease
            ):
                continue
            log.critical("worker %s leaves: %s", self.id, why)
            page.ask_replacement()
            return True
        return False

    async def _listen(self, listening: Listening) -> None:
        saying = Saying(self.shift.env.now)
        while True:
            try:
                await listening.listen()
            except Exception as error:
                text = "hints are not heard (%s); polling goes on"
                saying.say(logging.WARNING, type(error).__name__, text, error)
            await asyncio.sleep(self.shift.settings.lease / 3)

    async def _leave(self) -> Left:
        shift, settings = self.shift, self.shift.settings
        is_lost = shift.gone.is_set()
        shift.is_draining = True
        if not is_lost:
            with suppress(StoreError):
                await shift.settle_lane.run(shift.store.drain(self.id, leave=True), settings.deadline)
            # What it brings is ours, and would be left behind running if we were gone when it comes.
            await self._wait(lambda: not shift.claims_in_flight, settings.deadline)
        shift.hand_back_buffer("the worker is leaving")
        grace = settings.lease if is_lost else settings.grace
        await self._wait(lambda: not shift.runs or shift.page.drain_level > 1, grace)
        self.executor.stop_coroutines("the worker is leaving")
        await self._wait(lambda: not shift.runs, 0.0 if is_lost else settings.timeout_grace)
        await self._wait(lambda: not shift.outbox, settings.lease)
        shift.page.leave()
        if is_lost:
            return Left.LOST
        return Left.STUCK if shift.runs or shift.outbox or shift.page.wants_replacement else Left.CLEAN

    async def _wait(self, done: Callable[[], bool], seconds: float) -> None:
        end = self.shift.env.now() + seconds
        while not done() and (left := end - self.shift.env.now()) > 0.0:
            await self.shift.parting.rest(max(SHORTEST_REST, min(left, self.shift.settings.poll)))
