"""A worker that is its own supervisor: every loop in one process, for development, tests and simulation.

The loops are the same as in production; only the page lies in ordinary memory, and nobody outside renews
while user code holds the interpreter. A solo worker whose row has ended comes back under a new identity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from unstuck.engine.env import Env
from unstuck.engine.handler import Handler
from unstuck.engine.looping import Loop
from unstuck.engine.page import Page
from unstuck.engine.pruning import Pruning
from unstuck.engine.renewing import Renewing
from unstuck.engine.run import Isolate
from unstuck.engine.sweeping import Sweeping
from unstuck.engine.worker import Left, Worker, slots_of
from unstuck.model.errors import StoreError
from unstuck.rules.settings import Settings
from unstuck.rules.steadying import Steadiness
from unstuck.storage.opening import Ear
from unstuck.storage.plan import Lane
from unstuck.storage.protocol import Store

OpenLane = Callable[[str], Lane]


class Solo:
    """Runs workers one after the other in this process until told to stop."""

    def __init__(
        self,
        store: Store,
        open_lane: OpenLane,
        handlers: Mapping[str, Handler],
        settings: Settings,
        env: Env | None = None,
        *,
        application: str | None = None,
        url: str | None = None,
        settle_inside: Any = None,
        is_one_file: bool = False,
        open_ear: Callable[[], Ear | None] | None = None,
        isolate: Isolate | None = None,
    ):
        self._store = store
        self._open_lane = open_lane
        self._handlers = handlers
        self._settings = settings
        self._env = env or Env()
        self._application = application
        self._url = url
        self._settle_inside = settle_inside
        self._is_one_file = is_one_file
        self._open_ear = open_ear
        self._isolate = isolate
        self._page: Page | None = None
        self._stop_level = 0
        self.worker: Worker | None = None
        self.sweeping: Sweeping | None = None

    def stop(self, level: int = 1) -> None:
        """Leave: 1 lets running jobs finish within grace, 2 does not wait."""
        self._stop_level = max(self._stop_level, level)
        if self._page is not None:
            self._page.drain(self._stop_level)
        if self.worker is not None:
            self.worker.shift.parting.ring()

    async def run(self) -> Left:
        """Work until stopped; answers how the last worker left."""
        left = Left.LOST
        while left is not Left.CLEAN and not self._stop_level:
            left = await self._one_life()
            if left is Left.STUCK:
                break
        return left

    async def _one_life(self) -> Left:
        settings, env, store = self._settings, self._env, self._store
        page = self._page = Page.private(slots_of(settings))
        lanes = {name: self._open_lane(name) for name in ("claim", "settle", "fence", "keep", "sweep")}
        ear = self._open_ear() if self._open_ear else None
        worker = self.worker = Worker(
            env.new_id(),
            store,
            self._handlers,
            settings,
            env,
            page,
            lanes,
            ear=ear,
            application=self._application,
            url=self._url,
            settle_inside=self._settle_inside,
            is_one_file=self._is_one_file,
            isolate=self._isolate,
        )
        steadiness = Steadiness(settings.lease)

        def roster() -> Mapping[UUID, Page]:
            return {worker.id: page}

        self.sweeping = Sweeping(store, lanes["sweep"], settings, env, steadiness)
        rounds = {
            "renewing": Renewing(store, lanes["keep"], roster, settings, env, steadiness).round,
            "sweeping": self.sweeping.round,
            "pruning": Pruning(store, lanes["sweep"], settings, env).round,
        }
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._register(worker)
            for name, round in rounds.items():
                loop = Loop(name, round, env, page, settings.lease, settings.poll)
                tasks.append(asyncio.create_task(loop.run(), name=name))
            left = await worker.run()
            # A thread that still works would overlap with whoever got its job: then the lease tells.
            if left is Left.CLEAN:
                with suppress(StoreError):
                    await lanes["keep"].run(store.end_worker(worker.id, "stopped"), settings.deadline)
            return left
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if ear is not None:
                await ear.aclose()
            for lane in lanes.values():
                await lane.aclose()

    async def _register(self, worker: Worker) -> None:
        while True:
            try:
                await worker.register()
                return
            except StoreError:
                if self._stop_level:
                    raise
                await asyncio.sleep(self._settings.poll)
