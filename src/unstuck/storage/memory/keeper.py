"""The memory keeper behind `memory://`: one set of tables per keeper, for tests and trials in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from unstuck.storage.memory.connection import AsyncMemoryConnection, MemoryConnection
from unstuck.storage.memory.store import MemoryStore
from unstuck.storage.memory.tables import MemoryTables
from unstuck.storage.migrating import Rung, Status
from unstuck.storage.opening import Ear, Keeper
from unstuck.storage.plan import Lane, Plan, run, run_async

R = TypeVar("R")


class MemoryKeeper(Keeper):
    """Tables that live as long as this object; nothing of them is durable."""

    engine = "memory"
    dialect = None

    def __init__(self, clock: Callable[[], int] = lambda: time.time_ns() // 1000):
        self.url_shown = "memory://"
        self.store = MemoryStore()
        self.migrator = NoMigrations()
        self.tables = MemoryTables(clock)

    def run(self, plan: Plan[R]) -> R:
        return run(MemoryConnection(self.tables), plan)

    async def arun(self, plan: Plan[R]) -> R:
        return await run_async(AsyncMemoryConnection(self.tables), plan)

    def lane(self, name: str) -> Lane:
        return MemoryLane(self.tables)

    def ear(self) -> Ear | None:
        return None

    def hint(self, queues: Iterable[str]) -> None:
        pass

    def close(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class MemoryLane:
    """Runs plans on the tables; no deadline ever passes."""

    def __init__(self, tables: MemoryTables):
        self._tables = tables

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        """Run the plan."""
        return await run_async(AsyncMemoryConnection(self._tables), plan)

    async def aclose(self) -> None:
        """Nothing to do."""


class NoMigrations:
    """Tables in memory are always of this version."""

    def status(self) -> Status:
        """Always current."""
        return Status("current", "tables in memory need no migration", (), ())

    def sql(self) -> str:
        """Nothing to run."""
        return ""

    def apply(self) -> list[Rung]:
        """Nothing to apply."""
        return []
