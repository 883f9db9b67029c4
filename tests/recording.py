"""What a store says of itself, written down for the history checker: its event log, and its rows at the end.

The checker imports nothing of the product, so somebody must read the product for it: this does, through
the ordinary promises, page by page, and turns what it read into plain lines. `run` is whatever runs a
plan: a keeper's, or a simulated ground's. The formats stand in the essay of `tests/checker`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from unstuck.model.happening import LoggedEvent
from unstuck.model.job import Attempt, Job
from unstuck.model.moments import micros
from unstuck.storage.plan import Plan
from unstuck.storage.protocol import Filter, Store

Run = Callable[[Plan[Any]], Any]
Line = dict[str, Any]

PAGE = 1000
PLAIN = frozenset({str, int, float, bool, type(None)})
NOT_TOLD = ("args", "result", "error", "then", "progress", "labels")


def events_of(run: Run, store: Store) -> Iterator[Line]:
    """The event log."""
    after: tuple[str, int] | None = None
    while lines := run(store.events(after, PAGE)):
        yield from map(_line, lines)
        after = (lines[-1].record, lines[-1].number)


def snapshot_of(run: Run, store: Store) -> dict[str, list[Line]]:
    """The rows of jobs and workers, and of attempts that did not simply succeed."""
    jobs: list[Job] = []
    while page := run(store.find(Filter(after=jobs[-1].id if jobs else None, limit=PAGE))):
        jobs += page
    attempts: list[Attempt] = []
    for job in jobs:
        if job.fence > 1 or job.failures or job.crashes or job.losses or job.handbacks:
            attempts += run(store.attempts(job.id))
    workers = run(store.workers(include_ended=True))
    return {"jobs": [*map(row, jobs)], "workers": [*map(row, workers)], "attempts": [*map(row, attempts)]}


def write(folder: Path, run: Run, store: Store, known: Mapping[str, Any]) -> None:
    """Leave the log and the rows in a folder, with what is known of the run."""
    tables: dict[str, Iterable[Line]] = {"events": events_of(run, store), **snapshot_of(run, store)}
    for name, lines in tables.items():
        with (folder / f"{name}.jsonl").open("w") as file:
            for line in lines:
                file.write(json.dumps(line) + "\n")
    (folder / "run.json").write_text(json.dumps(known))


def row(record: Any) -> Line:
    """A row under its columns' names, without what users put in."""
    return {name: value for name, value in _plain(record).items() if name not in NOT_TOLD}


def _line(line: LoggedEvent) -> Line:
    told: Line = _plain(line)
    return told


@cache
def _columns(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind)) if is_dataclass(kind) else ()


def _plain(value: Any) -> Any:
    if type(value) in PLAIN:
        return value
    if names := _columns(type(value)):
        parts = ((name, getattr(value, name)) for name in names)
        return {name: part if type(part) in PLAIN else _plain(part) for name, part in parts}
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, UUID | str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): part if type(part) in PLAIN else _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value
