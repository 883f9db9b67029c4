"""Connections to the memory tables, one per colour: a step is applied at once, under the lock.

A plan of this keeper yields one `Step`, so the step is its own transaction: begin and commit have
nothing to do, and a rollback can only follow a step that failed and so left nothing behind. Whoever
wants the world to stop between a change and its answer wraps these four methods.
"""

from __future__ import annotations

from typing import Any

from unstuck.storage.memory.tables import MemoryTables
from unstuck.storage.plan import Mode, Request, Step


def _apply(tables: MemoryTables, request: Request) -> Any:
    if not isinstance(request, Step):
        raise TypeError(f"the memory keeper runs steps, not a {type(request).__name__}")
    if request.reads:
        with tables.lock:
            return request.apply(tables)
    return tables.in_one_step(request.apply)


class MemoryConnection:
    """The blocking colour; may be shared by threads."""

    def __init__(self, tables: MemoryTables):
        self.tables = tables

    def begin(self, mode: Mode) -> None:
        """Nothing to do: a step is its own transaction."""

    def execute(self, request: Request) -> Any:
        """Apply the step, wholly or, where it raises, not at all."""
        return _apply(self.tables, request)

    def commit(self, mode: Mode) -> None:
        """Nothing to do."""

    def rollback(self, mode: Mode) -> None:
        """Nothing to do: a step that failed left nothing behind."""

    def close(self) -> None:
        """Nothing to do: the tables outlive their connections."""


class AsyncMemoryConnection:
    """The async colour; it never waits."""

    def __init__(self, tables: MemoryTables):
        self.tables = tables

    async def begin(self, mode: Mode) -> None:
        """Nothing to do: a step is its own transaction."""

    async def execute(self, request: Request) -> Any:
        """Apply the step, wholly or, where it raises, not at all."""
        return _apply(self.tables, request)

    async def commit(self, mode: Mode) -> None:
        """Nothing to do."""

    async def rollback(self, mode: Mode) -> None:
        """Nothing to do: a step that failed left nothing behind."""

    async def aclose(self) -> None:
        """Nothing to do: the tables outlive their connections."""
