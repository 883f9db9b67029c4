"""R for the workers that there are: when must what somebody left be recovered?

R = lease + 2 × sweep + poll, counted from the later of the lease's end and the first healthy worker. The
lease stands in every worker's row, sweep and poll in what it reports with each renewal; where nothing was
reported yet the defaults count. The slowest of the living decides, because any of them may be the one
that sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from unstuck.model.invariant import USUAL_BOUNDS, Bounds
from unstuck.model.worker import LAPSED, Worker
from unstuck.rules.settings import Settings

USUAL = Settings()


def living(workers: Iterable[Worker]) -> list[Worker]:
    """The workers whose lease runs."""
    return [worker for worker in workers if worker.ended_at is None and (worker.lease_left_us or 0) > 0]


def sweepers(workers: Iterable[Worker]) -> list[Worker]:
    """The living workers that recover what others left: supervisors, and workers that are their own."""
    return [worker for worker in living(workers) if worker.kind != "child"]


def bounds_of(workers: Iterable[Worker]) -> Bounds:
    """The bounds that hold for a store with these workers; the usual ones where none lives."""
    alive = living(workers)
    if not alive:
        return USUAL_BOUNDS
    return replace(
        USUAL_BOUNDS,
        lease_us=max(worker.lease_us for worker in alive),
        grace_us=max(_sweeps_and_poll_us(worker) for worker in alive),
        timeout_grace_us=max(_seconds_us(worker, "timeout_grace", USUAL.timeout_grace) for worker in alive),
    )


def due_by(since: datetime, lease_us: int, workers: Sequence[Worker]) -> datetime | None:
    """Until when what was left at `since` (the end of a lease of this length) must be recovered.

    None where nobody lives that could do it.
    """
    healers = sweepers(workers)
    if not healers:
        return None
    bounds = bounds_of(healers)
    first = min(worker.started_at for worker in healers)
    return max(since, first) + timedelta(microseconds=max(lease_us, bounds.lease_us) + bounds.grace_us)


def left_at(worker: Worker, fallback: datetime) -> datetime:
    """From when on what this worker owned waits for recovery: the end of its lease, or its own end if that came first."""
    moments = [at for at in (worker.ended_at, worker.lease_until) if at is not None]
    if worker.reason == LAPSED and worker.lease_until is not None:
        return worker.lease_until
    return min(moments, default=fallback)


def _sweeps_and_poll_us(worker: Worker) -> int:
    return 2 * _seconds_us(worker, "sweep", USUAL.sweep) + _seconds_us(worker, "poll", USUAL.poll)


def _seconds_us(worker: Worker, name: str, usual: float) -> int:
    said = worker.report.get(name, usual)
    return int((said if isinstance(said, int | float) else usual) * 1_000_000)
