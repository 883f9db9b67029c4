"""Rows as the rules read them, made by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from unstuck.model.job import DEFAULT_POLICY, ClaimedJob, Job
from unstuck.model.states import State
from unstuck.model.worker import Worker

JOB_ID, VERDICT_ID, WORKER_ID = UUID(int=1), UUID(int=2), UUID(int=3)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def claimed(**columns: Any) -> ClaimedJob:
    plain: dict[str, Any] = {
        "id": JOB_ID,
        "fence": 4,
        "generation": 1,
        "queue": "q",
        "task": "t",
        "line": 0,
        "args": "{}",
        "codec": 1,
        "timeout_us": None,
        "failures": 0,
        "crashes": 0,
        "losses": 0,
        "snoozes": 0,
        "policy": DEFAULT_POLICY,
        "then": (),
    }
    return ClaimedJob(**plain | columns)


def job(**columns: Any) -> Job:
    nothing = dict.fromkeys(
        [
            "reason",
            "wake_at",
            "expires_at",
            "claimed_at",
            "finished_at",
            "keep_until",
            "worker_id",
            "verdict_id",
            "cancel_asked_at",
            "timeout_us",
            "result",
            "error",
            "progress",
        ]
    )
    counts = dict.fromkeys(["priority", "line", "failures", "crashes", "losses", "handbacks", "snoozes"], 0)
    plain: dict[str, Any] = {
        "id": JOB_ID,
        "generation": 1,
        "queue": "q",
        "task": "t",
        "state": State.READY,
        "created_at": NOW,
        "fence": 4,
        "args": "{}",
        "codec": 1,
        "policy": DEFAULT_POLICY,
        "then": (),
        "labels": {},
        "has_effects": False,
    }
    return Job(**nothing | counts | plain | columns)


def worker(**columns: Any) -> Worker:
    plain: dict[str, Any] = {
        "id": WORKER_ID,
        "kind": "child",
        "supervisor_id": None,
        "host": "host",
        "pid": 7,
        "lease_us": 30_000_000,
        "lease_until": NOW,
        "lease_left_us": 1,
        "started_at": NOW,
        "ended_at": None,
        "reason": None,
        "draining_at": None,
        "leaving_at": None,
        "stalled_at": None,
        "queues": ("q",),
        "version": "",
    }
    return Worker(**plain | columns)
