"""A worker that hears nothing stops by itself: others may run its jobs by then."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.concluding import Stop
from unstuck.engine.fencing import Fencing
from unstuck.engine.handler import Kind
from unstuck.model.errors import StoreUnavailable
from unstuck.storage.plan import Lane, Mode, Plan

R = TypeVar("R")


class Partial:
    """A lane that takes some modes of plans and refuses others."""

    def __init__(self, lane: Lane, taken: set[Mode]) -> None:
        self._lane = lane
        self._taken = taken

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        if plan.mode not in self._taken:
            raise StoreUnavailable("no answer")
        return await self._lane.run(plan, deadline)

    async def aclose(self) -> None:
        await self._lane.aclose()


@pytest.mark.parametrize(
    ("taken", "is_one_file", "stops"),
    [
        (set(), False, True),
        (set(), True, True),
        ({Mode.READ}, False, True),
        ({Mode.READ}, True, False),
        ({Mode.READ, Mode.WRITE}, False, False),
        ({Mode.READ, Mode.WRITE}, True, False),
    ],
)
def test_who_has_not_renewed_for_a_lease_stops_unless_a_lock_holds_up_everybody(
    taken: set[Mode], is_one_file: bool, stops: bool
) -> None:
    """Whoever can write renews by himself; one file that can be read and not written is nobody else's either."""

    async def story() -> None:
        bench = Bench(Task(lambda: asyncio.Event().wait(), Kind.ASYNC))
        bench.add()
        await bench.looking.round()
        await bench.claim_all()
        lane = Partial(bench.keeper.lane("fence"), taken)
        fencing = Fencing(bench.shift, bench.executor, lane, is_one_file)
        (run,) = bench.shift.runs.values()
        lease = bench.settings.lease
        for _ in range(30):
            bench.elapse(lease / 10)
            await fencing.round()
            if bench.seconds - bench.page.renewed_at < lease:
                assert run.stop is Stop.NOT, "it was stopped before the end of its lease"
        assert run.stop is (Stop.HAND_BACK if stops else Stop.NOT)
        await bench.turn()
        assert len(bench.shift.outbox) == (1 if stops else 0)

    asyncio.run(story())
