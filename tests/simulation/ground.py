"""The stores that a world can stand on: memory tables, and a real SQLite file.

A ground gives connections to the wires and shows the auditor the rows after each write. On SQLite each
wire is a real connection, and the rows are read by one more that only looks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from unstuck.storage.memory import MemoryConnection, MemoryStore, MemoryTables
from unstuck.storage.plan import BlockingConnection
from unstuck.storage.protocol import Store

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Rows = tuple[Mapping[UUID, Any], Mapping[UUID, Any]]


class Ground(ABC):
    """One store of one engine."""

    store: Store
    is_sql = True

    @abstractmethod
    def connect(self) -> BlockingConnection:
        """One more connection."""

    @abstractmethod
    def rows(self) -> Rows:
        """Jobs and workers by id, as committed; a row that has not changed is the same object."""

    def moment(self, us: int) -> datetime:
        """Microseconds since the epoch as the rows spell them."""
        return EPOCH + timedelta(microseconds=us)

    def close(self) -> None:
        """Give everything back."""


class MemoryGround(Ground):
    """Tables in memory; a step is its own transaction."""

    is_sql = False

    def __init__(self, clock: Callable[[], int]):
        self._tables = MemoryTables(clock, instance="simulated")
        self._connection = MemoryConnection(self._tables)
        self.store = MemoryStore()

    def connect(self) -> BlockingConnection:
        return self._connection

    def rows(self) -> Rows:
        return self._tables.jobs, self._tables.workers


def open_ground(world: str, clock: Callable[[], int]) -> Ground:
    """The ground of that name."""
    if world == "memory":
        return MemoryGround(clock)
    raise ValueError(f"there is no world {world!r}: memory is one")
