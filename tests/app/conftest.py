"""An app on each embedded store, and a hand that does what a worker would do, one job at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.hand import Hand
from unstuck import App


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}"
    with App(url) as app:
        yield app


@pytest.fixture
def memory() -> Iterator[App]:
    with App("memory://") as app:
        yield app


@pytest.fixture
def hand(app: App) -> Hand:
    return Hand(app)
