"""Workers: the processes that claim, as rows that begin once and end once.

A worker's identity is drawn at its start and never used again; host and pid are labels for people.
`ended_at` is never cleared: who was declared lost stays lost, and comes back as somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

LAPSED = "lapsed"
"""The reason of a worker whose lease ran out: whoever saw it declared it lost."""


@dataclass(frozen=True, slots=True)
class NewWorker:
    """A worker about to be registered. `lease_us` is the length of its lease in microseconds."""

    id: UUID
    kind: str
    supervisor_id: UUID | None
    host: str
    pid: int
    lease_us: int
    queues: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker's row as a reader sees it: `draining_at` says since when it claims nothing, `leaving_at` since
    when it is also to leave. `late_endings` counts refused endings, from rows."""

    id: UUID
    kind: str
    supervisor_id: UUID | None
    host: str
    pid: int
    lease_us: int
    lease_until: datetime | None
    lease_left_us: int | None
    started_at: datetime
    ended_at: datetime | None
    reason: str | None
    draining_at: datetime | None
    leaving_at: datetime | None
    stalled_at: datetime | None
    queues: tuple[str, ...]
    version: str
    report: Mapping[str, Any] = field(default_factory=dict[str, Any])
    late_endings: int = 0
    running: int = 0
