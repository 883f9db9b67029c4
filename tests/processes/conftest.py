"""The fixtures of this part: a store of each engine, the witness, and a crew of workers on them."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.processes import tasks
from tests.processes.crew import Crew
from tests.processes.pace import QUIET, Broken, MachineTooSlow, Pace, Probe
from tests.processes.stores import ENGINES, Shelf
from tests.processes.witness import Witness
from unstuck.engine.env import boottime

MEASURED = pytest.StashKey[float]()
"""How slow the machine was while a test failed."""


@pytest.fixture(scope="session")
def probe() -> Iterator[Probe]:
    """What watches how fast the machine is."""
    probe = Probe()
    yield probe
    probe.end()


@pytest.fixture
def pace(request: pytest.FixtureRequest, probe: Probe) -> Pace:
    """The times of this test."""
    pace = probe.pace(request.node.stash.get(MEASURED, 1.0))
    if pace.slowness > 1.0:
        print(f"this machine is slow just now: every second is {pace.slowness:.1f} s long")
    return pace


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """What fails because the machine was slower than the test was told fails as that, and is run again."""
    began = boottime()
    try:
        return (yield)
    except Broken:
        raise
    except Exception as error:
        given: dict[str, object] = getattr(item, "funcargs", {})
        pace, probe = given.get("pace"), given.get("probe")
        if not isinstance(pace, Pace) or not isinstance(probe, Probe):
            raise
        measured = probe.slowness(began)
        if measured <= QUIET * pace.slowness:
            raise
        item.stash[MEASURED] = measured
        raise MachineTooSlow(
            f"every second was {measured:.1f} s long, the test had reckoned with {pace.slowness:.1f} s: {error}"
        ) from error


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
def crew(shelf: Shelf, witness: Witness, pace: Pace, tmp_path: Path) -> Iterator[Crew]:
    """Starts workers; kills them all in the end. What they logged is shown where the test failed."""
    crew = Crew(shelf.url, witness, tmp_path, times=pace.options)
    yield crew
    crew.end()
    for text in crew.logs():
        sys.stdout.write(text)
