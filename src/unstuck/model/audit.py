"""What an operator's hand changed beyond the ordinary run of things, and why: kept, never edited.

A repair is an ordinary operation (settle, end a worker, wake, promote) that somebody asked for because an
invariant was broken. Its entry is written in the transaction of the operation itself, so there is no
repair without an entry and no entry of something that did not happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Repair:
    """About to be written beside the change: who did what to which record, and what was wrong with it.

    `action` is the operation, `kind` the noun it changed ("job", "worker", "queue"), `subject` the record,
    `cause` the stable name of the check that found it.
    """

    id: UUID
    actor: str
    action: str
    kind: str
    subject: str
    cause: str
    sentence: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A repair as it stands in the store; `at` by the store's clock."""

    id: UUID
    at: datetime
    actor: str
    action: str
    kind: str
    subject: str
    cause: str
    sentence: str
