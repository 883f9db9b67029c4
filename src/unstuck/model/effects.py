"""Effects: what else a transition does, in the same transaction.

An insert or a verdict carries a few of these; storage applies them together with the row's own change
or not at all. Features speak only through effects, so a room needs no SQL. The list is closed: gates
(take and free a key or a permit, park, wake) and groups join it when their rooms arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

from unstuck.model.job import NewJob


@dataclass(frozen=True, slots=True)
class Insert:
    """Insert these jobs with the ending that carries this effect."""

    jobs: tuple[NewJob, ...]


Effect = Insert
