"""The rest of what the front door asks: one job, all about it, and whether work gets done."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.crashpoints.acting import Acting, Scenario
from tests.crashpoints.scenarios.reading import talkative
from unstuck.app import commands
from unstuck.app.health import watch_health


def get(acting: Acting, job_id: UUID) -> Any:
    return commands.get(acting.store, job_id)


def wait(acting: Acting, job_id: UUID) -> Any:
    return commands.wait(acting.store, job_id, 30)


def explain(acting: Acting, job_id: UUID) -> Any:
    return commands.explain(acting.store, job_id)


def logs(acting: Acting, job_id: UUID) -> Any:
    return commands.ask(acting.store.logs(job_id))


def health(acting: Acting, job_id: UUID) -> Any:
    return watch_health(acting.store, "here")


SCENARIOS = (
    Scenario("ask for a job", ("commands.get",), talkative, get, is_reading=True),
    Scenario("wait for a job", ("commands.wait",), talkative, wait, is_reading=True),
    Scenario("ask why", ("commands.explain",), talkative, explain, tells=type, is_reading=True),
    Scenario("ask for lines", ("commands.ask",), talkative, logs, tells=len, first=1, is_reading=True),
    Scenario(
        "ask for health", ("health.watch_health",), talkative, health, tells=type,
        is_reading=True,
    ),
)  # fmt: skip
