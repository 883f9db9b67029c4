"""A run of real processes as the history checker reads it: the store's event log, the witness, the rows.

`kept` turns the log on before anything happens; `agrees` is called when the workers have gone, so that what
is read stays as it is. The checker shares no code with the product nor with the tests that drive it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from tests.checker.book import Book
from tests.checker.checking import checked, lines_of
from tests.processes.pace import Pace
from tests.processes.stores import Shelf
from tests.processes.witness import Witness
from tests.recording import events_of, snapshot_of


def kept(shelf: Shelf) -> Shelf:
    """The same store, which keeps its event log from now on."""
    shelf.keeper.migrator.keep_events(True)
    return shelf


def agrees(shelf: Shelf, witness: Witness, asked: Iterable[UUID], pace: Pace) -> Book:
    """The checker's book about a run in which all jobs were acknowledged and have ended; fails where it finds anything."""
    run = {
        "now_us": int(shelf.run(shelf.store.meta())["now_us"]),
        "bound_us": round(pace.bound * 1_000_000),
        "slack_us": round(pace.lease * 1_000_000),
        "has_steady_clock": True,
        "is_over": True,
        "is_witnessed": True,
    }
    book = checked(
        events_of(shelf.run, shelf.store),
        _enqueued(asked),
        lines_of(witness.file),
        snapshot_of(shelf.run, shelf.store),
        run,
    )
    assert not book.findings, book.told()
    return book


def _enqueued(asked: Iterable[UUID]) -> Iterator[dict[str, Any]]:
    line = {"call": 1, "kind": "enqueue_many", "jobs": [{"id": str(job_id)} for job_id in asked]}
    yield {**line, "what": "invoke"}
    yield {**line, "what": "ok"}
