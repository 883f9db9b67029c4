"""Everything that is known about a run when it is over, read together, and written down for other checkers.

Four sources that do not know each other: what clients asked for and were told, what handlers saw, what the
store saw of itself (the ledger), and what the product says of its jobs, attempts and workers.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.chaos import effects
from tests.chaos.ledger import Entry, entries
from tests.processes.stores import Shelf
from tests.processes.witness import Witness, Word
from unstuck.cli.events import plain as as_exported
from unstuck.model.job import Attempt, Job
from unstuck.model.worker import Worker

EVENTS_PAGE = 5000
ROLLED_BACK = "enqueue_rolled_back"


@dataclass
class Call:
    """One request of a client, with what it was told in the end."""

    call: str
    kind: str
    jobs: Mapping[UUID, Mapping[str, Any]]
    """The facts of the jobs that it asked for, by id; for a cancel, of the one it was about."""

    is_acknowledged: bool = False
    unknowns: int = 0
    refusals: list[str] = field(default_factory=list)
    answer: Any = None

    @property
    def enqueues(self) -> bool:
        """Whether jobs must be there once it was acknowledged."""
        return "enqueue" in self.kind and self.kind != ROLLED_BACK


@dataclass
class History:
    """One run, whole."""

    calls: list[Call]
    words: list[Word]
    ledger: list[Entry]
    jobs: Mapping[UUID, Job]
    attempts: Mapping[tuple[UUID, int], Attempt]
    workers: Mapping[UUID, Worker]
    faults: list[dict[str, Any]]
    effects: Sequence[tuple[UUID, int]] = ()
    """Job and fence of each effect that was had in a transaction with its ending."""


def calls_of(lines: Iterable[str]) -> list[Call]:
    """The client log, call by call; a half line that a killed client left is no line."""
    found: dict[str, Call] = {}
    for text in lines:
        if not text.endswith("\n"):
            continue
        line = json.loads(text)
        match line["what"]:
            case "invoke":
                jobs = line.get("jobs") or [{"id": line["id"]}]
                found[line["call"]] = Call(line["call"], line["kind"], {UUID(job["id"]): job for job in jobs})
            case "ok":
                found[line["call"]].is_acknowledged = True
                found[line["call"]].answer = line["answer"]
            case "unknown":
                found[line["call"]].unknowns += 1
            case _:
                found[line["call"]].refusals.append(line["error"])
    return list(found.values())


def read(shelf: Shelf, folder: Path, witness: Witness, faults: list[dict[str, Any]]) -> History:
    """Everything, from the store and the run's folder."""
    log = folder / "client.jsonl"
    with log.open() as lines:
        calls = calls_of(lines)
    jobs = shelf.jobs()
    attempts = {
        (attempt.job_id, attempt.fence): attempt
        for job in jobs.values()
        if job.fence > 1 or job.result is None
        for attempt in shelf.run(shelf.store.attempts(job.id))
    }
    ledger = list(entries(shelf.url))
    return History(
        calls, witness.words(), ledger, jobs, attempts, shelf.workers(), faults, effects.read(shelf.url)
    )


def write(history: History, folder: Path) -> None:
    """What the store said, as JSON lines beside the logs of clients, faults and witness."""
    tables: dict[str, Iterable[Any]] = {
        "jobs": history.jobs.values(),
        "attempts": history.attempts.values(),
        "workers": history.workers.values(),
        "ledger": history.ledger,
        "effects": [{"job": job, "fence": fence} for job, fence in history.effects],
    }
    for name, rows in tables.items():
        with (folder / f"{name}.jsonl").open("w") as file:
            for row in rows:
                file.write(json.dumps(_plain(row)) + "\n")


def export_events(shelf: Shelf, folder: Path) -> None:
    """The product's own event log, as `unstuck events export` prints it."""
    after: tuple[str, int] | None = None
    with (folder / "events.jsonl").open("w") as file:
        while page := shelf.run(shelf.store.events(after, EVENTS_PAGE)):
            file.writelines(json.dumps(as_exported(line)) + "\n" for line in page)
            after = (page[-1].record, page[-1].number)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [part.name for part in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, datetime):
        return value.timestamp()
    return value if value is None or isinstance(value, bool | int | float) else str(value)
