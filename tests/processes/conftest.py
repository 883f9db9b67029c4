"""The fixtures of this part: a store of each engine, the witness, and a crew of workers on them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import tasks
from tests.processes.crew import Crew
from tests.processes.stores import ENGINES, Shelf
from tests.processes.witness import Witness


@pytest.fixture(params=list(ENGINES))
def url(request: pytest.FixtureRequest) -> str:
    """Where the store is; a test that names one engine gives this another value."""
    return ENGINES[request.param](request)


@pytest.fixture
def shelf(url: str) -> Iterator[Shelf]:
    """The store, with the application of this process on it."""
    shelf = Shelf(url)
    tasks.app.use_url(url)
    yield shelf
    tasks.app.close()
    shelf.close()


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path / "witness")


@pytest.fixture
def crew(shelf: Shelf, witness: Witness, tmp_path: Path) -> Iterator[Crew]:
    """Starts workers; kills them all in the end. What they logged is shown where the test failed."""
    crew = Crew(shelf.url, witness, tmp_path)
    yield crew
    crew.end()
    for text in crew.logs():
        sys.stdout.write(text)
