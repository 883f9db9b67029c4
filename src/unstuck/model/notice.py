"""Notices: what the system says by itself when neither an owner nor an alarm has helped in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What a notice is about: a closed list."""

    NO_WORKER = "no_worker"
    NO_HANDLER = "no_handler"
    UNATTENDED = "unattended"
    STALLED = "stalled"
    LOCK_HELD = "lock_held"
    OLD_SNAPSHOT = "old_snapshot"
    UNSETTLED = "unsettled"
    SWEEP_FAILED = "sweep_failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something found just now: kind, the queue, task or record it is about, and one sentence."""

    kind: Kind
    subject: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A finding as it stands in the store: since when, and when it was last confirmed."""

    kind: Kind
    subject: str
    sentence: str
    since: datetime
    last_seen: datetime
