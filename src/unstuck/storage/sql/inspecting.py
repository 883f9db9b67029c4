"""Looking for rows that break an invariant, in SQL: one index at a time, in portions.

Row by row the jobs are walked by their primary key; what a row breaks comes back as bits, so that a clean
portion answers nothing. Owners are found by hopping from worker to worker through the index of owned jobs,
alarms at the early end of theirs. No statement reads more than its portion, however large the table, and
each sees its own snapshot: every invariant is judged within one statement.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from unstuck.model.invariant import SCANS, USUAL_BOUNDS, Bounds, Invariant, Portion
from unstuck.model.job import DEFAULT_POLICY
from unstuck.storage.plan import Mode, Requests, Rows, Statement, planned
from unstuck.storage.sql import rows
from unstuck.storage.sql.library import block

JOBS_END = block("inspect_jobs_end")
INSPECT_JOBS = block("inspect_jobs")
ATTEMPTS_END = block("inspect_attempts_end")
INSPECT_ATTEMPTS = block("inspect_attempts")
LOGS_END = block("inspect_logs_end")
INSPECT_LOGS = block("inspect_logs")
INSPECT_OWNERS = block("inspect_owners")
OWNED_IDS = block("owned_ids")
INSPECT_ALARMS = block("inspect_alarms")
INSPECT_WORKERS = block("inspect_workers")

FOUND_MAX = 1000
"""How many offenders a scan that is no walk answers at most."""

SHOWN = 20
HORIZON_US = 11 * 366 * 86_400 * 1_000_000
CLOCK_STEP_US = 60_000_000
"""By how much a clock may have been set back between two moments of one row without being called an offence."""

CODEC = 1
LAST = UUID(int=2**128 - 1)
WHOLE = 10_000


@planned(Mode.READ)
def inspect(
    scan: str, bounds: Bounds = USUAL_BOUNDS, after: Any = None, limit: int = WHOLE
) -> Requests[Portion]:
    """One portion of a scan."""
    return (yield from _inspect(scan, bounds, after, limit))


@planned(Mode.READ)
def offenders(bounds: Bounds = USUAL_BOUNDS) -> Requests[dict[str, list[str]]]:
    """The snapshot invariants, each with the first ids that break it."""
    broken: dict[str, list[str]] = {}
    for scan, invariants in SCANS.items():
        broken |= {invariant.value: [] for invariant in invariants}
        after: Any = None
        while True:
            portion = yield from _inspect(scan, bounds, after, WHOLE)
            for invariant, id in portion.found:
                if len(broken[invariant.value]) < SHOWN:
                    broken[invariant.value].append(id)
            after = portion.after
            if after is None:
                break
    return broken


def _inspect(scan: str, bounds: Bounds, after: Any, limit: int) -> Requests[Portion]:
    if scan == "jobs":
        return (yield from _walked(scan, JOBS_END, INSPECT_JOBS, after, limit))
    if scan == "attempts":
        return (yield from _walked(scan, ATTEMPTS_END, INSPECT_ATTEMPTS, after, limit))
    if scan == "logs":
        return (yield from _walked(scan, LOGS_END, INSPECT_LOGS, after, limit))
    if scan == "owners":
        return (yield from _owners(bounds, after, limit))
    statement = {"alarms": INSPECT_ALARMS, "workers": INSPECT_WORKERS}[scan]
    found: Rows = yield Statement(
        statement,
        {
            "bound_us": bounds.bound_us,
            "grace_us": bounds.grace_us,
            "timeout_bound_us": bounds.bound_us + bounds.timeout_grace_us,
            "limit": FOUND_MAX,
        },
    )
    pairs = [(Invariant(name), str(id)) for name, id in found]
    return Portion(pairs, None, is_cut=len(pairs) >= FOUND_MAX)


def _walked(scan: str, end: str, look: str, after: UUID | None, limit: int) -> Requests[Portion]:
    """One portion of a walk by id: rows behind `after`, up to the one that stands `limit` further on."""
    begin = after or rows.NIL
    last: Rows = yield Statement(end, {"after": begin, "skip": limit - 1})
    until = rows.uuid(last[0][0]) if last else None
    found: Rows = yield Statement(look, {"after": begin, "until": until or LAST, **_FIXED[scan]})
    pairs: list[tuple[Invariant, str]] = []
    for id, bits, *counts in found:
        broken = {invariant for place, invariant in enumerate(SCANS[scan]) if int(bits) >> place & 1}
        if Invariant.MORE_FAILURES_THAN_TRIES in broken:
            broken = broken - {Invariant.MORE_FAILURES_THAN_TRIES} | _beyond_limits(*counts)
        pairs += [(invariant, str(id)) for invariant in SCANS[scan] if invariant in broken]
    return Portion(pairs, until)


def _beyond_limits(failures: int, crashes: int, losses: int, options: str) -> set[Invariant]:
    """Counts against the policy that the row carries, read as everybody reads it."""
    try:
        policy, _ = rows.options(options)
    except (msgspec.MsgspecError, TypeError, AttributeError):
        return {Invariant.UNREADABLE}
    broken: set[Invariant] = set()
    if failures > policy.tries:
        broken.add(Invariant.MORE_FAILURES_THAN_TRIES)
    if crashes > policy.crash_limit:
        broken.add(Invariant.MORE_CRASHES_THAN_ALLOWED)
    if losses > policy.loss_limit:
        broken.add(Invariant.MORE_LOSSES_THAN_ALLOWED)
    return broken


def _owners(bounds: Bounds, after: UUID | None, limit: int) -> Requests[Portion]:
    found: Rows = yield Statement(
        INSPECT_OWNERS,
        {
            "after": after or rows.NIL,
            "limit": limit,
            "bound_us": bounds.bound_us,
            "grace_us": bounds.grace_us,
        },
    )
    pairs: list[tuple[Invariant, str]] = []
    for worker_id, _, name in found:
        if name and len(pairs) < FOUND_MAX:
            jobs: Rows = yield Statement(OWNED_IDS, {"worker_id": worker_id, "limit": FOUND_MAX - len(pairs)})
            pairs += [(Invariant(name), str(job_id)) for (job_id,) in jobs]
    ends = [rows.uuid(worker_id) for worker_id, number, _ in found if number == limit]
    return Portion(pairs, ends[0] if ends else None, is_cut=len(pairs) >= FOUND_MAX)


_FIXED: dict[str, dict[str, Any]] = {
    "jobs": {
        "tries": DEFAULT_POLICY.tries,
        "crash_limit": DEFAULT_POLICY.crash_limit,
        "loss_limit": DEFAULT_POLICY.loss_limit,
        "horizon_us": HORIZON_US,
        "clock_step_us": CLOCK_STEP_US,
        "codec": CODEC,
        "document": "{%}",
    },
    "attempts": {},
    "logs": {},
}
