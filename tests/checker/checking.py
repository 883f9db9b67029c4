"""The checker's one door: `checked(...)` for tests that have a history in hand, `checked_folder` for a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.checker.book import Book
from tests.checker.overtaking import check_overtaking
from tests.checker.readers import check_readers
from tests.checker.records import read_log
from tests.checker.rows import check_jobs_at_the_end, check_references
from tests.checker.sources import check_clients, check_effects, check_owners, check_replay, check_witness

Line = Mapping[str, Any]

NEED_LOG = (
    "H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10", "H11", "H12", "H13", "H18", "H22", "H23", "H24", "H26",
    "H27", "H28", "S6", "S20",
)  # fmt: skip
NEED_CLIENTS = ("H1", "H2", "H12", "H18", "H25")
NEED_WITNESS = ("H8", "H9", "H11", "H13")


def checked(
    events: Iterable[Line] | None,
    client_log: Iterable[Line] | None = None,
    witness: Iterable[Line] | None = None,
    snapshot: Mapping[str, Iterable[Line]] | None = None,
    run: Line | None = None,
    effects: Iterable[Line] | None = None,
) -> Book:
    """Judge a history; what is None was not written down. `snapshot` has `jobs`, `workers` and `attempts`.

    `events` come record by record, each in its order. The formats stand in the essay of the package.
    `findings` of the answer are the broken invariants; `told()` is a line for each.
    """
    book, known = Book(), run or {}
    attempts = list((snapshot or {}).get("attempts", ()))
    jobs = {str(row["id"]): row for row in (snapshot or {}).get("jobs", ())}
    workers = {str(row["id"]): row for row in (snapshot or {}).get("workers", ())}
    if snapshot is None:
        book.lacks("no rows were written down", "S1", "S2", "S3", "S4", "S5", "S13", "S15", "S19", "L2")
    else:
        check_jobs_at_the_end(book, jobs, workers, known)
        check_references(book, jobs, attempts)
        if not known.get("is_over"):
            book.lacks("nobody says that it is over", "L2")
    calls = None if client_log is None else list(client_log)
    if calls is None:
        book.lacks("there is no log of clients", *NEED_CLIENTS)
    else:
        check_readers(book, calls)
    if events is None:
        book.lacks("the store kept no event log", *NEED_LOG)
        return book
    log = read_log(book, events, bool(known.get("has_steady_clock")))
    check_owners(book, log, known)
    if "bound_us" not in known or not known.get("has_steady_clock"):
        book.lacks("the store's clock was stepped, or nobody says R", "H24")
    else:
        check_overtaking(book, log.waits, known["bound_us"] + known.get("slack_us", 0))
    if calls is not None:
        check_clients(book, log, calls)
    if witness is None:
        book.lacks("handlers wrote no witness", *NEED_WITNESS)
    else:
        words = list(witness)
        check_witness(book, log, words, attempts, known)
        if effects is None:
            book.lacks("nobody wrote down the effects of handlers", "H13")
        else:
            check_effects(book, log, words, effects)
    if snapshot is not None:
        check_replay(book, log, "job", jobs, {record: story.facts for record, story in log.jobs.items()})
        told = {record: None if known["is_deleted"] else known for record, known in log.workers.items()}
        check_replay(book, log, "worker", workers, told)
    return book


def checked_folder(folder: Path) -> Book:
    """Judge what a run has left in a folder."""
    there = {
        name: folder / f"{name}.jsonl"
        for name in ("events", "client", "witness", "effects", "jobs", "workers", "attempts")
    }
    run = folder / "run.json"
    snapshot = {
        name: lines_of(there[name]) for name in ("jobs", "workers", "attempts") if there[name].exists()
    }
    return checked(
        *(
            lines_of(there[name]) if there[name].exists() else None
            for name in ("events", "client", "witness")
        ),
        snapshot if "jobs" in snapshot else None,
        json.loads(run.read_text()) if run.exists() else {},
        lines_of(there["effects"]) if there["effects"].exists() else None,
    )


def lines_of(file: Path) -> Iterator[Line]:
    """The lines of a file, one at a time; half a line that a killed process left is none."""
    with file.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)
