"""The memory keeper behind `memory://`: one process, real time, gone with the process.

It runs plans of both colours on the same tables, and its hints are calls into the loops that listen.
For tests of an application and for first steps; nothing is kept, and no other process sees it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import TypeVar

from unstuck.storage.memory.connection import AsyncMemoryConnection, MemoryConnection
from unstuck.storage.memory.store import MemoryStore
from unstuck.storage.memory.tables import MemoryTables
from unstuck.storage.migrating import Rung, Status
from unstuck.storage.opening import Ear, Keeper
from unstuck.storage.plan import Lane, Plan, run, run_async

R = TypeVar("R")


def _real_us() -> int:
    return time.time_ns() // 1_000


class MemoryLane:
    """A lane on memory tables: nothing to heal, nothing to wait for."""

    def __init__(self, tables: MemoryTables):
        self._connection = AsyncMemoryConnection(tables)

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        """Run a plan; no deadline can pass."""
        return await run_async(self._connection, plan)

    async def aclose(self) -> None:
        """Nothing to close."""


class MemoryEar:
    """Hears the hints given in this process, on the loop that it was made in."""

    is_proved = True

    def __init__(self, ears: list[MemoryEar]):
        self._ears = ears
        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Queue[frozenset[str] | None] = asyncio.Queue()

    def hear(self, queues: frozenset[str] | None) -> None:
        """Called from any thread; None ends the listening. A loop that is closed hears nothing."""
        try:
            self._loop.call_soon_threadsafe(self._heard.put_nowait, queues)
        except RuntimeError:
            self._leave()

    async def __aiter__(self) -> AsyncIterator[frozenset[str]]:
        while (queues := await self._heard.get()) is not None:
            yield queues

    async def aclose(self) -> None:
        """Stop listening."""
        self._leave()
        self.hear(None)

    def _leave(self) -> None:
        with suppress(ValueError):
            self._ears.remove(self)


class MemoryMigrator:
    """There is no schema to migrate."""

    def __init__(self, keeper: MemoryKeeper):
        self._keeper = keeper

    def status(self) -> Status:
        """Always current."""
        return Status("current", "memory has no schema", applied=(), missing=())

    def sql(self) -> str:
        """Nothing."""
        return ""

    def apply(self) -> list[Rung]:
        """Nothing."""
        return []

    def keep_events(self, is_on: bool) -> bool:
        """Turn the event log on or off; False where nothing was to be done."""
        return self._keeper.tables.keep_events(is_on)


class MemoryKeeper(Keeper):
    """One store in memory. `tables` may be given, with a clock of the caller's own; `event_log` turns theirs on."""

    engine = "memory"
    url_shown = "memory://"
    dialect = None

    def __init__(self, tables: MemoryTables | None = None, event_log: bool = False):
        self.tables = tables or MemoryTables(_real_us)
        if event_log:
            self.tables.keep_events(True)
        self.store = MemoryStore()
        self.migrator = MemoryMigrator(self)
        self._ears: list[MemoryEar] = []
        self._ears_lock = threading.Lock()

    def run(self, plan: Plan[R]) -> R:
        return run(MemoryConnection(self.tables), plan)

    async def arun(self, plan: Plan[R]) -> R:
        return await run_async(AsyncMemoryConnection(self.tables), plan)

    def lane(self, name: str) -> Lane:
        return MemoryLane(self.tables)

    def ear(self) -> Ear | None:
        ear = MemoryEar(self._ears)
        with self._ears_lock:
            self._ears.append(ear)
        return ear

    def hint(self, queues: Iterable[str]) -> None:
        named = frozenset(queues)
        with self._ears_lock:
            ears = list(self._ears)
        for ear in ears:
            ear.hear(named)

    def close(self) -> None:
        """Nothing to close; the tables stay."""

    async def aclose(self) -> None:
        """Nothing to close; the tables stay."""
