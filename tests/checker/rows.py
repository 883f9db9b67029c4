"""What any single row must say, wherever it is read: in the rows at the end, and in every line of the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.checker.book import Book
from tests.checker.lifecycle import BUDGETS, FINAL, HORIZON_US, STATES, WAITS

Row = Mapping[str, Any]


def moment(value: Any) -> int | None:
    """A moment in microseconds: a fraction is seconds."""
    return round(value * 1_000_000) if isinstance(value, float) else value


def check_job(book: Book, record: str, row: Row, limits: str, *lines: Row) -> None:
    """A job's own row; `limits` says under which name its limits are judged."""
    state, wake_at = row["state"], row["wake_at"]
    owned = row["worker_id"] is not None
    attended = state in FINAL or state == "ready" or (state == "running" and owned) or wake_at is not None
    book.look("S1", state in STATES and attended, record, f"is {state} without owner and alarm", *lines)
    book.look("S3", owned == (state == "running"), record, f"is {state}, owner {row['worker_id']}", *lines)
    if state in FINAL:
        rests = (
            row["finished_at"] is not None and row["keep_until"] is not None and wake_at is None and not owned
        )
        book.look("S5", rests, record, f"has ended as {state} and does not rest", *lines)
    else:
        has_end = row["finished_at"] is not None or row["keep_until"] is not None
        book.look("S5", not has_end, record, f"is {state} and has an end or a retention", *lines)
    for count, (_, limit) in limits_of(row).items():
        book.look(limits, row[count] <= limit, record, f"has {row[count]} {count} of {limit}", *lines)


def limits_of(row: Row) -> dict[str, tuple[int, int]]:
    """Each count with its value and its limit; a row of the product has its policy beside it."""
    policy = row.get("policy") or row
    found: dict[str, tuple[int, int]] = {}
    for count, (name, usual) in BUDGETS.items():
        limit = policy.get(name)
        found[count] = (row[count], usual if limit is None else limit)
    return found


def check_jobs_at_the_end(book: Book, jobs: Mapping[str, Row], workers: Mapping[str, Row], run: Row) -> None:
    """The rows of jobs together with those of workers, in one consistent read."""
    now, bound = run.get("now_us"), run.get("bound_us")
    has_clock = now is not None and bound is not None
    if not has_clock:
        book.lacks("the run does not say the store's now and R", "S2", "S15")
    is_attended = has_clock and any(
        worker["ended_at"] is None
        and moment(worker["started_at"]) < now - bound  # type: ignore[operator]
        and (moment(worker["lease_until"]) or 0) > now
        for worker in workers.values()
    )
    if has_clock and not is_attended:
        book.lacks("no worker has lived for longer than R", "S2")
    for record, row in jobs.items():
        check_job(book, record, row, "S4", row)
        wake_at = moment(row["wake_at"])
        if is_attended and row["state"] in WAITS and wake_at is not None:
            book.look("S2", wake_at >= now - bound, record, f"is {row['state']}, due long ago", row)
        if has_clock and wake_at is not None:
            book.look("S1", wake_at <= now + HORIZON_US, record, "has an alarm beyond the horizon", row)
        if row["worker_id"] is not None:
            owner = workers.get(row["worker_id"])
            ended = None if owner is None else moment(owner["ended_at"])
            is_fresh = owner is not None and (ended is None or (has_clock and ended >= now - bound))
            book.look("S13", is_fresh, record, f"is owned by {row['worker_id']}", row, owner or {})
        if run.get("is_over"):
            book.look("L2", row["state"] in FINAL, record, f"is {row['state']} ({row['reason']})", row)
    for record, row in workers.items():
        is_attended_itself = row["ended_at"] is not None or row["lease_until"] is not None
        book.look("S1", is_attended_itself, record, "is a worker with neither lease nor end", row)
        if has_clock and not run.get("has_steady_clock", True):
            book.lacks("the store's clock jumped, and a lease that was fine may look long over", "S15")
        elif has_clock and row["ended_at"] is None:
            until = moment(row["lease_until"]) or 0
            book.look("S15", until >= now - bound, record, "is shown alive, its lease long over", row)


def check_references(book: Book, jobs: Mapping[str, Row], attempts: list[Row]) -> None:
    """Nothing refers to what is not there, and no attempt lies beyond its job's fence."""
    for attempt in attempts:
        job = jobs.get(attempt["job_id"])
        is_known = job is not None and attempt["fence"] <= job["fence"]
        book.look(
            "S19", is_known, attempt["job_id"], f"has an attempt {attempt['fence']}", attempt, job or {}
        )
