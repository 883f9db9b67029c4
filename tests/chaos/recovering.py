"""How long it took until interrupted work was free to go on, by kind of fault.

For a fault that hits processes, the work is every job that their workers owned, by the ledger: each counts from
the fault until it was no longer theirs. Of a process that was only frozen, what it ended itself after all needed
no recovery and is not counted. For a fault that hits the store or the way to it, the work is all of it: the time
from its end to the first start of any handler. Faults overlap, so these are times under a storm, not bounds.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.chaos.history import History

OUTCOMES = ("crashed", "lost", "handed_back", "timed_out")
"""Of attempts that somebody else than their handler ended."""

KILLS = ("child killed", "supervisor killed")
FREEZES = ("child frozen", "supervisor frozen", "family frozen")


@dataclass(frozen=True)
class Stay:
    """How long one worker owned one job, in seconds since the epoch by the store's clock."""

    pid: int
    since: float
    until: float
    was_ended_by_others: bool


def recoveries(history: History) -> dict[str, list[float]]:
    """Seconds to recover, by kind of fault."""
    starts = sorted(word.at for word in history.words if word.what == "start")
    stays = _stays(history)
    of_workers = {line["number"] for line in history.faults if line["what"] == "begin" and "pids" in line}
    found: dict[str, list[float]] = defaultdict(list)
    for line in history.faults:
        kind = line.get("kind", "")
        if line["what"] == "begin" and kind in (*KILLS, *FREEZES):
            found[kind] += _freed(stays, line, kind in KILLS)
        elif line["what"] == "end" and line["number"] not in of_workers:
            place = bisect.bisect_right(starts, line["at"])
            if place < len(starts):
                found[kind].append(starts[place] - line["at"])
    return dict(found)


def _stays(history: History) -> dict[int, list[Stay]]:
    """Every stay that has ended, by process."""
    open_stays: dict[UUID, tuple[int, float]] = {}
    found: dict[int, list[Stay]] = defaultdict(list)
    for entry in history.ledger:
        if entry.source == "running" and entry.job in open_stays:
            pid, since = open_stays.pop(entry.job)
            attempt = history.attempts.get((entry.job, entry.fence))
            by_others = attempt is not None and attempt.outcome in OUTCOMES
            found[pid].append(Stay(pid, since, entry.at, by_others))
        if entry.target == "running" and entry.worker in history.workers:
            open_stays[entry.job] = (history.workers[entry.worker].pid, entry.at)
    return found


def _freed(stays: Mapping[int, Sequence[Stay]], line: Mapping[str, Any], is_kill: bool) -> list[float]:
    moment = line["wall"]
    return [
        stay.until - moment
        for pid in line["pids"]
        for stay in stays.get(pid, ())
        if stay.since <= moment < stay.until and (is_kill or stay.was_ended_by_others)
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of these values that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
