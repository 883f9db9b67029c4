"""The life of a job as the design tells it, written down a second time: this file must never be generated."""

from __future__ import annotations

FINAL = frozenset({"succeeded", "failed", "cancelled"})
WAITS = frozenset({"scheduled", "waiting"})
STATES = FINAL | WAITS | {"ready", "running"}

MOVES: dict[str, set[tuple[str | None, str | None]]] = {
    "inserted": {(None, "ready"), (None, "scheduled")},
    "promoted": {("scheduled", "ready")},
    "claimed": {("ready", "running")},
    "settled": {("running", after) for after in (*FINAL, "ready", "scheduled")}
    | {(before, "cancelled") for before in ("scheduled", "waiting", "ready")},
    "cancel_asked": {("running", "running")},
    "parked": {("ready", "waiting"), ("waiting", "waiting")},
    "woken": {("waiting", "ready")},
    "moved": {(state, state) for state in ("scheduled", "waiting", "ready")},
    "revived": {(state, "ready") for state in FINAL},
    "forgotten": {(state, state) for state in FINAL},
    "deleted": {(state, None) for state in FINAL},
}
"""What each line of the event log may have led from and to; a line that is not here is nobody's operation."""

COUNTS = ("failures", "crashes", "losses", "handbacks")
BUDGETS = {"failures": ("tries", 5), "crashes": ("crash_limit", 3), "losses": ("loss_limit", 10)}
"""Each count with the name of its limit, and the limit where a job says nothing else."""

CLEAN_ENDS = frozenset({"stopped", "withdrawn"})
"""Reasons of workers that left with nothing of theirs running."""

HORIZON_US = 11 * 366 * 86_400 * 1_000_000
"""No alarm lies further ahead."""
