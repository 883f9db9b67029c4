"""What a world can stand on: a store that gives connections to the wires and shows the auditor its rows.

A ground is asked after each write what is committed now, and a row that has not changed is the same object as
before, so that the auditor need not compare it. It is read besides everything else: no wire, no weather. Tables
in memory stand in this file; a real SQLite file in `sqlite_ground`, a real PostgreSQL in `postgres_ground`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.simulation.lane import Connection
from unstuck.storage.memory import MemoryConnection, MemoryStore, MemoryTables
from unstuck.storage.plan import Plan, run
from unstuck.storage.protocol import Store

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Rows = tuple[Mapping[UUID, Any], Mapping[UUID, Any]]


class Ground(ABC):
    """One store of one engine."""

    engine: str
    store: Store
    is_sql = True
    is_serial = True
    """Whether writes follow each other, so that none can commit after one that forbids it."""
    tells_time = True
    """Whether the moments of its event log are the world's."""

    @abstractmethod
    def connect(self) -> Connection:
        """One more connection."""

    def eye(self) -> Connection:
        """A connection that only reads, for a question from outside; whoever asks closes it."""
        return self.connect()

    @abstractmethod
    def rows(self) -> Rows:
        """Jobs and workers by id, as committed; a row that has not changed is the same object."""

    def keep_events(self) -> bool:
        """Let the store keep its event log from now on; False where this ground cannot."""
        return False

    def read(self, plan: Plan[Any]) -> Any:
        """Run a plan that reads, besides everything: no wire, no weather."""
        raise NotImplementedError

    def lock(self) -> Callable[[], None]:
        """Somebody else takes the lock for writing, if it is free; answers what lets go of it."""
        return lambda: None

    def moment(self, us: int) -> datetime:
        """Microseconds since the epoch as the rows spell them."""
        return EPOCH + timedelta(microseconds=us)

    @abstractmethod
    def close(self) -> None:
        """Give everything back."""


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """What the auditor wants to know of a worker's row."""

    id: UUID
    lease_until: datetime
    ended_at: datetime | None
    reason: str | None


class MemoryGround(Ground):
    """Tables in memory; a step is its own transaction."""

    engine = "memory"
    is_sql = False

    def __init__(self, clock: Callable[[], int]):
        self._tables = MemoryTables(clock, instance="simulated")
        self._connection = MemoryConnection(self._tables)
        self.store = MemoryStore()

    def connect(self) -> Connection:
        return self._connection

    def keep_events(self) -> bool:
        return self._tables.keep_events(True)

    def read(self, plan: Plan[Any]) -> Any:
        return run(self._connection, plan)

    def rows(self) -> Rows:
        return self._tables.jobs, self._tables.workers

    def close(self) -> None:
        """Nothing to give back: the tables go with the world."""


def open_ground(world: str, clock: Callable[[], int]) -> Ground:
    """The ground of that name."""
    if world == "memory":
        return MemoryGround(clock)
    if world == "sqlite":
        from tests.simulation.sqlite_ground import SqliteGround  # it stands on this file

        return SqliteGround(clock)
    raise ValueError(f"there is no world {world!r}, only memory and sqlite")
