"""The stages, one of each engine for all points of a test process, and the figures at the end of the run."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crashpoints.postgres_stage import PostgresStage
from tests.crashpoints.sqlite_stage import SqliteStage
from tests.crashpoints.stages import Stage
from tests.servers.postgres import PostgresServer
from tests.servers.serving import NotAvailable
from unstuck.storage import plan

FIGURES = "crashpoints"


def is_whole() -> bool:
    """Whether everything is to be struck, as `make crashpoints` does it."""
    return os.environ.get("UNSTUCK_CRASHPOINTS") == "all"


@pytest.fixture(scope="session")
def sqlite_stage() -> Iterator[Stage]:
    stage = SqliteStage()
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def postgres_stage() -> Iterator[Stage]:
    try:
        server = PostgresServer(fsync="off", synchronous_commit="off", full_page_writes="off")
    except NotAvailable as missing:
        pytest.skip(f"not run here: {missing}")
    with server:
        stage = PostgresStage(server)
        yield stage
        stage.close()


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Stage:
    """A store of that engine."""
    found: Stage = request.getfixturevalue(f"{request.param}_stage")
    return found


@pytest.fixture(scope="session")
def house() -> Iterator[asyncio.Runner]:
    """The loop on which the awaiting colour runs."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A conflict is answered at once, since nobody else is there to get out of the way of; and the engine
    does not log what it was struck by, thousands of times."""
    monkeypatch.setattr(plan, "CONFLICT_PAUSE", 0.0001)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many operations, points and faults there were, by kind of test and engine."""
    sums: dict[tuple[str, str], list[Any]] = {}
    for report in (each for found in terminalreporter.stats.values() for each in found):
        for name, figures in getattr(report, "user_properties", ()):
            if name == FIGURES and getattr(report, "when", "") == "call":
                kind, engine, operation, points, cases = figures
                entry = sums.setdefault((kind, engine), [set(), 0, 0])
                entry[0].add(operation)
                entry[1] += points
                entry[2] += cases
    if sums:
        terminalreporter.section("crash points")
        for (kind, engine), (operations, points, cases) in sorted(sums.items()):
            terminalreporter.line(
                f"{kind}, {engine}: {len(operations)} operations, {points:,} points, {cases:,} faults"
            )
