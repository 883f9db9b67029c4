"""`App(..., event_log=True)`: a new store keeps the log, and `events` reads it in both colours."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tests.app.hand import Hand
from unstuck import App
from unstuck.model.errors import BadSetting


def greet(name: str) -> str:
    return f"Hello, {name}"


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}"


def test_the_events_of_a_job_are_read_in_order_in_both_colours(url: str) -> None:
    with App(url, event_log=True) as app:
        task = app.task(greet)
        job = task.enqueue("Ada")
        Hand(app).work()
        lines = [line for line in app.events(page=2) if line.record == str(job.id)]
        assert [line.name for line in lines] == ["inserted", "claimed", "settled"]
        assert next(app.events((str(job.id), 0))) == lines[0]

        async def read() -> list[object]:
            return [line async for line in app.aevents(page=2)]

        assert asyncio.run(read()) == list(app.events())


def test_without_it_there_is_nothing_to_read(url: str) -> None:
    with App(url) as app:
        app.task(greet).enqueue("Ada")
        with pytest.raises(BadSetting, match="event log"):
            list(app.events())


def test_a_job_in_a_transaction_of_ones_own_has_its_line_if_and_only_if_it_exists(tmp_path: Path) -> None:
    with App(f"sqlite:///{tmp_path / 'jobs.db'}", event_log=True) as app:
        task = app.task(greet)
        task.enqueue("the first")
        own = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
        for end in ("ROLLBACK", "COMMIT"):
            own.execute("BEGIN IMMEDIATE")
            job = task.using(tx=own).enqueue(end)
            own.execute(end)
            assert [line.name for line in app.events() if line.record == str(job.id)] == (
                ["inserted"] if end == "COMMIT" else []
            )
        own.close()
