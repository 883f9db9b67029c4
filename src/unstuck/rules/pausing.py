"""How long a loop may be silent: a lease on top of the pause that it makes anyway.

Every loop rests between two rounds, each as long as its work allows. A process reports with its renewals how
long ago each of its loops last went round; this says when that is too long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unstuck.model.worker import Worker
from unstuck.rules.settings import Settings

PRUNE_EVERY = 60.0
"""Seconds between prunings where nothing is left to delete."""

USUAL = Settings()


def pause_of(loop: str, lease: float, sweep: float, poll: float) -> float:
    """The longest pause, in seconds, that a healthy loop makes between two rounds."""
    match loop:
        case "pruning":
            return PRUNE_EVERY * 1.1
        case "sweeping":
            return sweep
        case "renewing":
            return lease / 5
        case "looking" | "fencing":
            return poll
        case _:
            # They wait to be woken, or compare once a lease.
            return lease


def is_silent(loop: str, age: float, lease: float, sweep: float, poll: float) -> bool:
    """Whether a loop whose last good round is `age` seconds ago should have made another."""
    return age > lease + pause_of(loop, lease, sweep, poll)


def loop_ages(worker: Worker) -> dict[str, float]:
    """Seconds since the last good round of each loop of a living worker: as it reported, and what has passed since."""
    since = 0.0
    if worker.lease_left_us is not None:
        since = max(0.0, (worker.lease_us - worker.lease_left_us) / 1_000_000)
    said: Mapping[str, Any] = worker.report.get("loops", {})
    return {name: float(age) + since for name, age in said.items() if isinstance(age, int | float)}


def silent_loops(worker: Worker) -> dict[str, float]:
    """The loops of a living worker that were red when it last reported, with their ages."""
    lease = worker.lease_us / 1_000_000
    sweep, poll = (float(worker.report.get(name, getattr(USUAL, name))) for name in ("sweep", "poll"))
    said: Mapping[str, Any] = worker.report.get("loops", {})
    return {
        name: float(age)
        for name, age in said.items()
        if isinstance(age, int | float) and is_silent(name, age, lease, sweep, poll)
    }
