"""A small good history, made by hand: two jobs with a follow-up, two workers, a client, a witness, the rows.

Job `a` fails once, loses its worker, succeeds and is followed by `b`; `c` is cancelled while it waits; `d` was
rolled back; `e` is still scheduled; `q` is a queue that was paused for a while. Tests spoil copies of it.
"""

from __future__ import annotations

import copy
from typing import Any

Line = dict[str, Any]

SECOND = 1_000_000
NOW = 1_000 * SECOND
BOUND = 40 * SECOND
BEGIN = 500 * SECOND

JOB: Line = {
    "state": "ready", "reason": None, "generation": 1, "fence": 0, "queue": "q", "task": "t", "priority": 0,
    "line": BEGIN, "wake_at": None, "expires_at": None, "created_at": BEGIN, "claimed_at": None,
    "finished_at": None, "keep_until": None, "failures": 0, "crashes": 0, "losses": 0, "handbacks": 0,
    "snoozes": 0, "worker_id": None, "verdict_id": None, "cancel_asked_at": None, "timeout_us": None,
    "tries": 3, "crash_limit": None, "loss_limit": None,
}  # fmt: skip
WORKER: Line = {
    "kind": "child", "supervisor_id": None, "host": "h", "pid": 1, "lease_us": 30 * SECOND,
    "started_at": BEGIN - SECOND, "ended_at": None, "reason": None, "draining_at": None, "stalled_at": None,
}  # fmt: skip


class Record:
    """One record's lines; `says` adds one, with the facts that it changes."""

    def __init__(self, record: str, kind: str, facts: Line) -> None:
        self.record, self.kind, self.facts = record, kind, facts
        self.lines: list[Line] = []

    def says(self, name: str, at: float, **changes: Any) -> Record:
        self.facts = {**self.facts, **changes}
        facts = {} if name == "deleted" else dict(self.facts)
        line = {"record": self.record, "number": len(self.lines) + 1, "kind": self.kind, "name": name}
        self.lines.append({**line, "at": BEGIN + round(at * SECOND), "facts": facts})
        return self

    def claimed(self, at: float, fence: int, worker: str) -> Record:
        moment = BEGIN + round(at * SECOND)
        return self.says(
            "claimed",
            at,
            state="running",
            reason=None,
            fence=fence,
            worker_id=worker,
            claimed_at=moment,
            wake_at=None,
        )

    def settled(self, at: float, state: str, verdict: str, **changes: Any) -> Record:
        moment = BEGIN + round(at * SECOND)
        rest = {"finished_at": moment, "keep_until": moment + 1000 * SECOND, "wake_at": None}
        if state == "scheduled":
            rest = {"wake_at": moment + SECOND}
        return self.says(
            "settled", at, **{"state": state, "worker_id": None, "verdict_id": verdict, **rest, **changes}
        )


def good() -> dict[str, Any]:
    """Everything that `checked` takes, by name."""
    first = Record("a", "job", JOB).says("inserted", 0).claimed(1, 1, "lost")
    first.settled(2, "scheduled", "v1", failures=1, reason="retrying").says(
        "promoted", 3.5, state="ready", wake_at=None
    )
    first.claimed(4, 2, "lost").settled(40, "scheduled", "v2", losses=1, reason="lost")
    first.says("promoted", 41.5, state="ready", wake_at=None).claimed(42, 3, "well")
    first.settled(45, "succeeded", "v3", reason=None)
    follow = (
        Record("b", "job", {**JOB, "created_at": BEGIN + 45 * SECOND})
        .says("inserted", 45)
        .claimed(46, 1, "well")
    )
    follow.says("cancel_asked", 46.5, cancel_asked_at=BEGIN + 46 * SECOND, wake_at=BEGIN + 46 * SECOND)
    follow.settled(47, "cancelled", "v4", reason="cancelled")
    follow.says(
        "revived",
        48,
        state="ready",
        generation=2,
        finished_at=None,
        keep_until=None,
        cancel_asked_at=None,
        claimed_at=None,
        reason=None,
    )
    follow.claimed(49, 2, "well").settled(50, "failed", "v5", failures=1, reason="not_retried")
    follow.says("forgotten", 51, keep_until=BEGIN + 51 * SECOND).says("deleted", 52)
    waits = (
        Record("c", "job", JOB)
        .says("inserted", 0)
        .says("parked", 1, state="waiting", reason="no_handler", wake_at=BEGIN + 60 * SECOND)
    )
    waits.says("woken", 2, state="ready", reason=None, wake_at=None).says("moved", 2.5, priority=3)
    waits.settled(3, "cancelled", "v6", reason="cancelled")
    later = Record("e", "job", {**JOB, "state": "scheduled", "wake_at": NOW + SECOND}).says("inserted", 0)
    owned = Record("f", "job", JOB).says("inserted", 0).claimed(470, 1, "well")
    lost = Record("lost", "worker", WORKER).says("registered", -1)
    lost.says("stalled", 10, stalled_at=BEGIN + 10 * SECOND).says(
        "ended", 39, ended_at=BEGIN + 39 * SECOND, reason="lapsed"
    )
    gone = (
        Record("old", "worker", WORKER)
        .says("registered", -1)
        .says("draining", 5, draining_at=BEGIN + 5 * SECOND)
    )
    gone.says("ended", 6, ended_at=BEGIN + 6 * SECOND, reason="stopped").says("deleted", 7)
    queue = Record("q", "queue", {"step_us": 1, "paused_at": None}).says("inserted", -1)
    queue.says("paused", 5, paused_at=BEGIN + 5 * SECOND).says("resumed", 38, paused_at=None)
    well = Record("well", "worker", WORKER).says("registered", -1)
    records = [first, follow, waits, later, owned, lost, gone, queue, well]

    def word(what: str, at: float, job: str, fence: int, worker: str, **more: Any) -> Line:
        return {"what": what, "at": at, "job": job, "fence": fence, "worker": worker, **more}

    def enqueue(call: str, *jobs: Line, kind: str = "enqueue") -> list[Line]:
        return [
            {"call": call, "kind": kind, "what": "invoke", "jobs": list(jobs)},
            {"call": call, "kind": kind, "what": "ok", "answer": None},
        ]

    def read(call: str, job: str, at: float, state: str, generation: int) -> list[Line]:
        answer = {"state": state, "generation": generation}
        return [
            {"call": call, "kind": "read", "what": "invoke", "id": job, "at": at},
            {"call": call, "kind": "read", "what": "ok", "answer": answer, "at": at + 0.1},
        ]

    return {
        "events": [line for record in records for line in record.lines],
        "client_log": [
            *enqueue("1", {"id": "a", "then": "b"}),
            *enqueue("2", {"id": "c"}, {"id": "e"}, {"id": "f"}),
            *enqueue("3", {"id": "d"}, kind="enqueue_rolled_back"),
            {"call": "4", "kind": "cancel", "what": "invoke", "id": "c"},
            {"call": "4", "kind": "cancel", "what": "ok", "answer": True},
            *read("5", "b", 46.2, "running", 1),
            *read("6", "b", 47.5, "cancelled", 1),
            *read("7", "b", 47.6, "cancelled", 1),
            *read("8", "b", 48.5, "ready", 2),
        ],
        "witness": [
            word("start", 1.1, "a", 1, "lost"),
            word("end", 2.0, "a", 1, "lost", how="ValueError"),
            word("start", 4.1, "a", 2, "lost", has_effect=True),
            word("start", 42.1, "a", 3, "well", has_effect=True),
            word("tick", 43.0, "a", 2, "lost"),
            word("end", 44.9, "a", 3, "well", how="returned"),
            word("start", 46.1, "b", 1, "well"),
        ],
        "effects": [{"job": "a", "fence": 3}],
        "snapshot": {
            "jobs": [
                {"id": record.record, **record.facts} for record in (first, waits, later, owned)
            ],
            "workers": [
                {"id": record.record, "lease_until": NOW + SECOND, **record.facts} for record in (lost, well)
            ],
            "attempts": [{"job_id": "a", "fence": 1, "outcome": "failed"}, {"job_id": "a", "fence": 2, "outcome": "lost"}],
        },
        "run": {
            "now_us": NOW, "bound_us": BOUND, "slack_us": SECOND, "has_steady_clock": True, "is_witnessed": True,
            "is_over": False,
        },
    }  # fmt: skip


class Spoiled:
    """A copy of the good history, and the words to spoil it with."""

    def __init__(self) -> None:
        self.parts = copy.deepcopy(good())

    def line(self, record: str, number: int) -> Line:
        """A line of the event log."""
        (found,) = [one for one in self.parts["events"] if (one["record"], one["number"]) == (record, number)]
        return found

    def facts(self, record: str, number: int, **changes: Any) -> None:
        """Change what this line and all after it say, and the row with them."""
        for line in self.parts["events"]:
            if line["record"] == record and line["number"] >= number and line["facts"]:
                line["facts"].update(changes)
        self.row(record, **changes)

    def row(self, record: str, **changes: Any) -> None:
        """Change a row at the end."""
        for table in ("jobs", "workers"):
            for row in self.parts["snapshot"][table]:
                if row["id"] == record:
                    row.update(changes)

    def read(self, call: str, **changes: Any) -> None:
        """Let this reader have seen something else."""
        (line,) = [one for one in self.parts["client_log"] if (one["call"], one["what"]) == (call, "ok")]
        line["answer"].update(changes)

    def drop(self, part: str, **which: Any) -> None:
        """Take away lines that say all of this."""
        self.parts[part] = [
            line for line in self.parts[part] if any(line.get(name) != value for name, value in which.items())
        ]
