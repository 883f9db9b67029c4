"""The ladder of migrations: numbered steps, each applied once, whole, with its record beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: its number, its name, the resolved SQL and the checksum of it."""

    number: int
    name: str
    text: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Status:
    """Where a store stands: `state` is "current", "empty", "behind", "ahead" or "half"; `sentence` says it to people."""

    state: str
    sentence: str
    applied: tuple[int, ...]
    missing: tuple[Rung, ...]

    @property
    def is_current(self) -> bool:
        """Whether this version of unstuck can work with the store."""
        return self.state == "current"


class Migrator(Protocol):
    """What `unstuck migrate` talks to; blocking."""

    def status(self) -> Status:
        """Where the store stands, by reading only."""
        ...

    def sql(self) -> str:
        """The text of the steps that are missing, as `apply` would run it."""
        ...

    def apply(self) -> list[Rung]:
        """Apply what is missing, step by step; answers the steps applied now. Raises SchemaMismatch."""
        ...
