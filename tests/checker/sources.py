"""The log against the other sources: owners, queues, clients, handlers, and the rows at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tests.checker.book import Book
from tests.checker.lifecycle import CLEAN_ENDS, FINAL
from tests.checker.records import JobStory, Log
from tests.checker.rows import moment

Line = Mapping[str, Any]

ROLLED_BACK = "enqueue_rolled_back"


def check_owners(book: Book, log: Log, run: Line) -> None:
    """Losses need a worker that has ended; who drains or has ended claims nothing; nor is a paused queue touched."""
    for job, owner, line in log.losses:
        worker = log.workers.get(owner)
        ended = worker is not None and worker.get("ended_at") is not None
        book.look(
            "H27", ended, job, f"counts a loss, and its owner {owner} has not ended", line, worker or {}
        )
    if not run.get("has_steady_clock"):
        book.lacks("the store's clock was stepped, or nobody says that it was not", "H23", "S20")
        return
    slack = run.get("slack_us", 0)
    for job, story in log.jobs.items():
        for line in story.claims.values():
            facts = line["facts"]
            at = facts["claimed_at"]
            worker = log.workers.get(facts["worker_id"])
            for column in ("draining_at", "ended_at"):
                until = None if worker is None else worker.get(column)
                if until is not None:
                    kept = at <= until + slack
                    book.look("H28", kept, job, f"is claimed at {at} by a worker with {column} {until}", line)
            for since, until in log.pauses.get(facts["queue"], ()):
                kept = at <= since + slack or (until is not None and at >= until)
                book.look("H23", kept, job, f"is claimed at {at}, its queue paused at {since}", line)


def check_clients(book: Book, log: Log, calls: Iterable[Line]) -> None:
    """What clients asked for and were told."""
    invoked: dict[str, Line] = {}
    asked: set[str] = set()
    follows: dict[str, str] = {}
    refused: set[str] = set()
    acknowledged: dict[str, Line] = {}
    for line in calls:
        call = str(line["call"])
        if line["what"] == "invoke":
            invoked[call] = line
            for job in line.get("jobs", ()):
                if line["kind"] == ROLLED_BACK:
                    refused.add(job["id"])
                    continue
                asked.add(job["id"])
                if job.get("then"):
                    asked.add(job["then"])
                    follows[job["then"]] = job["id"]
        elif line["what"] == "ok":
            acknowledged[call] = line
    for call, answer in acknowledged.items():
        line = invoked[call]
        if line["kind"] == "cancel":
            if answer.get("answer") is True:
                story = log.jobs.get(line["id"])
                kept = story is not None and story.has_cancel
                book.look("H22", kept, line["id"], "its cancel was acknowledged, and never was", line, answer)
        elif line["kind"] != ROLLED_BACK:
            for job in line.get("jobs", ()):
                _is_there(book, job["id"], log.jobs.get(job["id"]), line, answer)
    for job, story in log.jobs.items():
        if story.is_whole:
            book.look("H2", job in asked or job in refused, job, "was never asked for", story.facts or {})
    for job in sorted(refused - asked):
        story = log.jobs.get(job)
        book.look("H12", story is None, job, "was rolled back, and is there", (story and story.facts) or {})
    for follow, parent in follows.items():
        _follows(book, follow, log.jobs.get(follow), log.jobs.get(parent))


def _is_there(book: Book, job: str, story: JobStory | None, *lines: Line) -> None:
    kept = story is not None and (story.facts is not None or story.had_ended)
    book.look("H1", kept, job, "was acknowledged, and is gone without having ended", *lines)


def _follows(book: Book, follow: str, story: JobStory | None, parent: JobStory | None) -> None:
    if parent is None:
        book.look("H18", story is None, follow, "is there, and its parent never was")
        return
    succeeded = any(line["facts"].get("state") == "succeeded" for line in parent.endings.values())
    if succeeded or story is not None or (parent.facts or {}).get("state") in FINAL:
        sentence = (
            f"is {'there' if story else 'not there'}, its parent {'succeeded' if succeeded else 'did not'}"
        )
        book.look("H18", succeeded == (story is not None), follow, sentence, parent.facts or {})


def check_witness(book: Book, log: Log, words: Iterable[Line], attempts: Iterable[Line], run: Line) -> None:
    """What handlers saw, job by job, in the order of the host's own clock."""
    outcomes = {(row["job_id"], row["fence"]): row["outcome"] for row in attempts}
    said: dict[str, list[Line]] = defaultdict(list)
    for word in words:
        said[word["job"]].append(word)
    for job, heard in said.items():
        heard.sort(key=lambda word: word["at"])
        story = log.jobs.get(job)
        if story is None or not story.is_whole:
            book.look("H9", story is not None, job, "speaks, and is in no log", heard[0])
            continue
        _starts(book, job, story, heard)
        _overlaps(book, log, job, story, heard, outcomes)
        _returns(book, job, story, heard)
    if run.get("is_witnessed"):
        for job, story in log.jobs.items():
            has_succeeded = any(line["facts"].get("state") == "succeeded" for line in story.endings.values())
            if has_succeeded and story.is_whole:
                book.look(
                    "H11", job in said, job, "succeeded, and its handler never spoke", story.facts or {}
                )


def _starts(book: Book, job: str, story: JobStory, heard: list[Line]) -> None:
    seen: dict[int, Line] = {}
    for word in heard:
        if word["what"] != "start":
            continue
        fence = word["fence"]
        claim = story.claims.get(fence)
        book.look("H9", fence not in seen, job, f"starts twice under {fence}", seen.get(fence, {}), word)
        owner = None if claim is None else claim["facts"]["worker_id"]
        is_own = claim is not None and word.get("worker") in (None, owner)
        book.look("H9", is_own, job, f"starts under {fence}, claimed so by {owner}", word, claim or {})
        seen[fence] = word


def _overlaps(
    book: Book,
    log: Log,
    job: str,
    story: JobStory,
    heard: list[Line],
    outcomes: Mapping[tuple[str, int], str],
) -> None:
    newest: Line | None = None
    for word in heard:
        if newest is not None and word["fence"] < newest["fence"]:
            claim = story.claims.get(word["fence"])
            owner = None if claim is None else log.workers.get(claim["facts"]["worker_id"])
            lost = (
                owner is not None and owner.get("ended_at") is not None and owner["reason"] not in CLEAN_ENDS
            )
            lost = lost or outcomes.get((job, word["fence"])) == "timed_out"
            sentence = f"{word['what']} under {word['fence']} after the start under {newest['fence']}"
            book.look("H8", lost, job, sentence, newest, word, owner or {})
        elif word["what"] == "start":
            if newest is not None:
                book.look("H8", True, job, "")
            newest = word


def _returns(book: Book, job: str, story: JobStory, heard: list[Line]) -> None:
    ends = {word["fence"]: word for word in heard if word["what"] == "end"}
    for fence, line in story.endings.items():
        if line["facts"].get("state") == "succeeded":
            end = ends.get(fence)
            returned = end is not None and end.get("how", "returned") == "returned"
            book.look("H11", returned, job, f"succeeded under {fence}, and did not return", line, end or {})


def check_effects(book: Book, log: Log, words: Iterable[Line], effects: Iterable[Line]) -> None:
    """What shares a transaction with a success is there once with it, and without it not at all."""
    had = Counter((line["job"], line["fence"]) for line in effects)
    may = {(word["job"], word["fence"]): word for word in words if word.get("has_effect")}
    for job, fence in sorted(had.keys() | may.keys()):
        story = log.jobs.get(job)
        if story is None or not story.is_whole:
            book.look("H13", story is not None, job, f"has an effect under {fence}, and is in no log")
            continue
        line = story.endings.get(fence)
        due = int(line is not None and line["facts"].get("state") == "succeeded")
        sentence = f"has had {had[job, fence]} effects under {fence}, and {due} are due"
        book.look("H13", had[job, fence] == due, job, sentence, may.get((job, fence), {}), line or {})


def check_replay(
    book: Book, log: Log, kind: str, rows: Mapping[str, Line], told: Mapping[str, Line | None]
) -> None:
    """The last line of every record says what its row says, and what has no row was deleted."""
    for record, facts in told.items():
        row = rows.get(record)
        if facts is None or row is None:
            same = (facts is None) == (row is None)
            book.look("H26", same, record, f"{kind}: the log ends with {facts}, the row is {row}")
            continue
        differences = {
            name: (value, row[name])
            for name, value in facts.items()
            if name in row and not _same(name, value, row[name])
        }
        book.look("H26", not differences, record, f"{kind}: (log, row) differ in {differences}", facts)
    for record in rows.keys() - told.keys():
        book.look("H26", False, record, f"{kind}: has a row and no log", rows[record])


def _same(name: str, logged: Any, shown: Any) -> bool:
    if name.endswith(("_at", "_until")):
        return logged == moment(shown)
    return bool(logged == shown)
