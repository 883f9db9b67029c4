"""The event log, record by record: each line against the one before it, and what is remembered of all.

Only the order of one record's lines is used. What must be compared with another record (an owner, a
queue, a witness) is kept small and judged when the whole log has been read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from tests.checker.book import Book
from tests.checker.lifecycle import COUNTS, FINAL, MOVES
from tests.checker.overtaking import Waits
from tests.checker.rows import check_job, limits_of

Line = Mapping[str, Any]


@dataclass
class JobStory:
    """What the log says of one job, as far as other sources are compared with it."""

    facts: Line | None = None
    lines: int = 0
    claims: dict[int, Line] = field(default_factory=dict)
    endings: dict[int, Line] = field(default_factory=dict)
    has_cancel: bool = False
    """Whether it was asked to cancel, or ended as cancelled."""

    had_ended: bool = False
    """Whether it had ended when it was deleted."""

    is_whole: bool = True
    """Whether the log was on from its first moment."""


@dataclass
class Log:
    """What is remembered of all records."""

    jobs: dict[str, JobStory] = field(default_factory=dict)
    workers: dict[str, Line] = field(default_factory=dict)
    pauses: dict[str, list[tuple[int, int | None]]] = field(default_factory=dict)
    waits: Waits = field(default_factory=Waits)
    losses: list[tuple[str, str, Line]] = field(default_factory=list)
    """(job, the owner that lost it, the line)."""


def read_log(book: Book, events: Iterable[Line], has_steady_clock: bool) -> Log:
    """Walk through the log once."""
    log = Log()
    for record, lines in groupby(events, key=lambda line: str(line["record"])):
        numbered = list(lines)
        kind = numbered[0]["kind"]
        _in_order(book, record, numbered)
        if kind == "job":
            if record in log.jobs:
                book.look("H26", False, record, "its lines do not stand together", numbered[0])
            log.jobs[record] = _job(book, log, record, numbered, has_steady_clock)
        elif kind == "worker":
            log.workers[record] = _worker(book, record, numbered)
        else:
            log.pauses[record] = list(_pauses(numbered))
    return log


def _in_order(book: Book, record: str, lines: Sequence[Line]) -> None:
    numbers = [line["number"] for line in lines]
    whole = list(range(1, len(lines) + 1))
    book.look("H26", numbers == whole, record, f"its lines are numbered {numbers[:10]}", lines[0])


def _job(book: Book, log: Log, record: str, lines: Sequence[Line], steady: bool) -> JobStory:
    story = JobStory(lines=len(lines))
    before: Line | None = None
    verdicts: set[str] = set()
    due: int | None = None
    last = lines[0]
    for line in lines:
        now: Line | None = line["facts"] or None
        name = line["name"]
        if name == "found":
            story.is_whole = story.is_whole and before is not None
        else:
            _step(book, log, record, (last, line), before, now, verdicts)
        if now is not None:
            check_job(book, record, now, "S6", line)
            if steady:
                _moments(book, record, line, now, due if name == "claimed" else None)
                if now["state"] == "scheduled":
                    due = now["wake_at"]
                elif now["state"] in ("succeeded", "failed", "cancelled"):
                    due = None  # whoever revives it wants it now
            if now["verdict_id"] is not None:
                verdicts.add(now["verdict_id"])
        log.waits.note(record, line)
        if name == "claimed" and now is not None:
            story.claims[now["fence"]] = line
            due = None
        elif name == "settled" and before is not None and before["state"] == "running":
            story.endings[before["fence"]] = line
        if name == "cancel_asked" or (now is not None and now["state"] == "cancelled"):
            story.has_cancel = True
        if now is None:
            story.had_ended = before is not None and before["state"] in FINAL
        before, last = now, line
    story.facts = before
    return story


def _step(
    book: Book,
    log: Log,
    record: str,
    pair: tuple[Line, Line],
    before: Line | None,
    now: Line | None,
    verdicts: set[str],
) -> None:
    name = pair[1]["name"]
    was, is_now = before and before["state"], now and now["state"]
    book.look("H5", (was, is_now) in MOVES.get(name, ()), record, f"{name}: {was} -> {is_now}", *pair)
    book.look("H3", (name == "inserted") == (before is None), record, f"{name} after {was}", *pair)
    if was in FINAL:
        allowed = name in ("revived", "forgotten", "deleted")
        book.look("H4", allowed, record, f"was {was}, and then {name}", *pair)
    if before is None or now is None:
        if now is not None:
            is_new = not now["fence"] and not any(now[count] for count in COUNTS) and now["generation"] == 1
            book.look("H10", is_new, record, "begins with a fence, a count or a generation", *pair)
        return
    new_generation = now["generation"] - before["generation"]
    book.look("H4", new_generation == (name == "revived"), record, f"{name}: generation", *pair)
    rise = now["fence"] - before["fence"]
    book.look("H6", rise == (name == "claimed"), record, f"{name}: fence rises by {rise}", *pair)
    if name == "settled":
        is_own = now["verdict_id"] is not None and now["verdict_id"] not in verdicts
        book.look("H6", is_own, record, f"ends by verdict {now['verdict_id']}, which is not new", *pair)
    else:
        same = now["verdict_id"] == before["verdict_id"]
        book.look("H6", same, record, f"{name} changes its verdict", *pair)
    if was == is_now == "running":
        book.look("H7", now["worker_id"] == before["worker_id"], record, f"{name} changes its owner", *pair)
    if name == "claimed":
        book.look("H7", before["worker_id"] is None, record, "is claimed while it has an owner", *pair)
        for count, (value, limit) in limits_of(before).items():
            book.look("H10", value < limit, record, f"starts with {value} {count} of {limit}", *pair)
    _counts(book, log, record, pair, before, now)
    if name == "settled" and before["cancel_asked_at"] is not None:
        book.look("H22", is_now == "cancelled", record, f"was asked to cancel, and ends as {is_now}", *pair)


def _counts(book: Book, log: Log, record: str, pair: tuple[Line, Line], before: Line, now: Line) -> None:
    name = pair[1]["name"]
    rises = {count: now[count] - before[count] for count in COUNTS if now[count] != before[count]}
    if name == "revived":
        is_so = not any(now[count] for count in COUNTS)
    elif name == "settled":
        is_so = list(rises.values()) in ([], [1])
    else:
        is_so = not rises
    book.look("H10", is_so, record, f"{name} counts {rises}", *pair)
    if rises.get("losses", 0) > 0 and before["worker_id"] is not None:
        log.losses.append((record, before["worker_id"], pair[1]))


def _moments(book: Book, record: str, line: Line, now: Line, due: int | None) -> None:
    made, claimed, ended = now["created_at"], now["claimed_at"], now["finished_at"]
    is_so = (claimed is None or claimed >= made) and (ended is None or ended >= max(made, claimed or made))
    book.look("S20", is_so, record, f"made {made}, claimed {claimed}, ended {ended}", line)
    if due is not None:
        book.look("S20", claimed >= due, record, f"was claimed at {claimed}, due at {due}", line)


def _worker(book: Book, record: str, lines: Sequence[Line]) -> Line:
    """Everything known of a worker in the end, with `is_deleted`."""
    known: dict[str, Any] = {}
    for line in lines:
        now = line["facts"]
        if known and now:
            for column in ("ended_at", "draining_at"):
                kept = known[column] is None or known[column] == now[column]
                book.look("H28", kept, record, f"{column} was {known[column]}, is {now[column]}", line)
        is_ours = line["name"] != "changed"
        book.look("H5", is_ours, record, "was changed, not by an operation of the product", line)
        known.update(now)
        known["is_deleted"] = not now
    return known


def _pauses(lines: Sequence[Line]) -> Iterator[tuple[int, int | None]]:
    """From when to when a queue was paused by the store's clock; an open end is None."""
    since: int | None = None
    for line in lines:
        paused_at = line["facts"].get("paused_at") if line["facts"] else None
        if since is None:
            since = paused_at
        elif paused_at is None:
            if line["at"] is not None:
                yield since, line["at"]
            since = None
    if since is not None:
        yield since, None
