"""The plainest keeper: each promise one atomic step on dict tables; the oracle of the tests."""

from unstuck.storage.memory.connection import AsyncMemoryConnection, MemoryConnection
from unstuck.storage.memory.store import MemoryStore
from unstuck.storage.memory.tables import MemoryTables

__all__ = ["AsyncMemoryConnection", "MemoryConnection", "MemoryStore", "MemoryTables"]
