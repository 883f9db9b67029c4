"""The event log's nouns: what has happened to a record, and one line of the log.

A store that keeps the log (`App(..., event_log=True)`) writes a line in the transaction of every change
of a job, a worker or a queue, whoever makes it. A line is ordered only among those of the same record:
`number` counts them from 1, and no order between two records is promised, because no engine has one
without a price. `facts` are the columns of the row as the change left it, moments as whole microseconds,
so the last line of a record says what its row must say; a deleted row has none.

Kept are columns that decide about a record's life, never arguments, results, errors or progress: a log
that is handed to somebody else tells what happened, not what was in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Happening(StrEnum):
    """What one line says. `CHANGED` is whatever no operation of unstuck does: somebody's own hands."""

    FOUND = "found"
    INSERTED = "inserted"
    PROMOTED = "promoted"
    CLAIMED = "claimed"
    SETTLED = "settled"
    CANCEL_ASKED = "cancel_asked"
    PARKED = "parked"
    WOKEN = "woken"
    MOVED = "moved"
    REVIVED = "revived"
    FORGOTTEN = "forgotten"
    REGISTERED = "registered"
    DRAINING = "draining"
    LEAVING = "leaving"
    STALLED = "stalled"
    TICKING = "ticking"
    ENDED = "ended"
    PAUSED = "paused"
    RESUMED = "resumed"
    CHANGED = "changed"
    DELETED = "deleted"


MEANING = {
    Happening.FOUND: "the record was there already when the log was turned on",
    Happening.INSERTED: "a job, or the row of a queue, came to be",
    Happening.PROMOTED: "a scheduled job became ready",
    Happening.CLAIMED: "a worker took a job",
    Happening.SETTLED: "a verdict on a job was recorded: its ending, or what comes next",
    Happening.CANCEL_ASKED: "a running job was asked to stop",
    Happening.PARKED: "a job waits, for the reason in its row",
    Happening.WOKEN: "a waiting job became ready",
    Happening.MOVED: "an operator changed a job's priority",
    Happening.REVIVED: "an ended job runs again, as a new generation",
    Happening.FORGOTTEN: "an ended job is kept no longer",
    Happening.REGISTERED: "a worker came",
    Happening.DRAINING: "a worker takes nothing new",
    Happening.LEAVING: "a worker takes nothing new and leaves",
    Happening.STALLED: "a worker's process does not tick",
    Happening.TICKING: "a stalled worker's process ticks again",
    Happening.ENDED: "a worker ended, or was declared lost",
    Happening.PAUSED: "nothing is claimed from a queue",
    Happening.RESUMED: "a queue goes on",
    Happening.CHANGED: "a row was changed, not by an operation of unstuck",
    Happening.DELETED: "the row is gone: its retention was over, or somebody deleted it",
}
"""What each line says."""

KINDS = ("job", "worker", "queue")
"""The kinds of record that have a log."""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One line of the log.

    `record` is the id of a job or worker, or the name of a queue; `kind` says which. `at` is the store's
    moment, and None where a test gave the store a clock of its own. `facts` is empty for a deleted row.
    """

    record: str
    number: int
    kind: str
    name: Happening
    at: datetime | None
    facts: Mapping[str, Any]
