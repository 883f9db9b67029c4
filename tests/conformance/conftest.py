"""Which keepers are tried, in which colours. Nothing but this file and `grounds.py` names an engine.

To add a keeper: write a `Ground` that opens an empty store and lets time pass, and enter it in KEEPERS;
every test then runs on it in every colour. A clock that can be given is the best. Where the store's own
clock runs by itself, say so by `slack_seconds`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from tests.conformance.grounds import PooledGround, PostgresGround, SqliteGround
from tests.conformance.trying import Clock, Ground, House, Trial
from unstuck.storage.memory.keeper import MemoryKeeper
from unstuck.storage.memory.tables import MemoryTables

COLOURS = ("blocking", "async", "lane")

LEFT_OUT = {("memory", "lane"), ("pooled", "async"), ("pooled", "blocking")}
"""What would only repeat another pair: a lane in memory is its async twin, a pooler tells no colours apart."""


class MemoryGround(Ground):
    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.clock = Clock()
        self.keeper = MemoryKeeper(MemoryTables(self.clock))

    def elapse(self, us: int) -> None:
        self.clock.now_us += us

    def forget_worker(self, worker_id: UUID) -> None:
        del self.keeper.tables.workers[worker_id]

    def empty(self) -> None:
        was_logged = self.keeper.tables.event_log is not None
        self.keeper.tables = MemoryTables(self.clock)
        if was_logged:
            self.keeper.tables.keep_events(True)


KEEPERS: dict[str, Callable[[pytest.FixtureRequest], Ground]] = {
    "memory": MemoryGround,
    "sqlite": SqliteGround,
    "postgres": PostgresGround,
    "pooled": PooledGround,
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        chosen = (
            item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        )
        pair = (chosen.get("ground"), chosen.get("colour"))
        (left_out if pair in LEFT_OUT else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(KEEPERS))
def ground(request: pytest.FixtureRequest) -> Ground:
    """An empty store; whoever asks for it closes it."""
    return KEEPERS[request.param](request)


@pytest.fixture
def trial(ground: Ground, colour: str, house: House) -> Iterator[Trial]:
    """The keeper under test. Whatever a test did, no invariant is broken at its end."""
    trial = Trial(ground, colour, house)
    try:
        yield trial
        assert not trial.broken()
    finally:
        trial.close()


@pytest.fixture
def oracle(request: pytest.FixtureRequest) -> Ground:
    """What the others are compared with."""
    return MemoryGround(request)
