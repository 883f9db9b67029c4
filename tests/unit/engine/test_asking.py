"""Claims and looks share a lane; what one of them waits for the other there is no part of what its answer took."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.handler import Kind
from unstuck.engine.looking_back import SHARE, SHARE_IN_VAIN, LookingBack
from unstuck.engine.strides import NOBODY
from unstuck.rules.settings import Settings
from unstuck.storage.plan import Lane, Plan
from unstuck.storage.protocol import Cursor


class InTurn:
    """A lane that answers one question after the other; each takes so long."""

    def __init__(self, lane: Lane, takes: Callable[[str], object]) -> None:
        self._lane, self._takes, self._turn = lane, takes, asyncio.Lock()

    async def run(self, plan: Plan[Any], deadline: float | None = None) -> Any:
        async with self._turn:
            await asyncio.sleep(0)
            self._takes(plan.name)
            return await self._lane.run(plan, deadline)

    async def aclose(self) -> None:
        await self._lane.aclose()


def test_what_an_answer_took_is_told_without_the_wait_for_those_before_it() -> None:
    async def story() -> None:
        bench = Bench(Task(lambda: None, Kind.PLAIN, "t"))
        lasts = {"workers": 2.0, "owned": 0.25}
        bench.shift.claim_lane = InTurn(bench.shift.claim_lane, lambda name: bench.elapse(lasts[name]))
        seen: list[float] = []

        async def ask(plan: Plan[Any]) -> None:
            _, took = await bench.shift.ask(plan)
            seen.append(took)

        store, me = bench.store, bench.shift.id
        await asyncio.gather(ask(store.workers()), ask(store.owned(me)))
        bench.elapse(10.0)
        await ask(store.owned(me))
        assert seen == [2.0, 0.25, 0.25]

    asyncio.run(story())


def test_a_claim_that_its_course_has_gone_on_from_is_no_look_back() -> None:
    """It is quick where a look back is not, which must not seem cheap for that."""
    back = LookingBack(Settings())
    highest = Cursor(1_000_000_000_000, NOBODY)
    assert not back.is_back(Cursor(highest.line - back.slack_us - 500_000, NOBODY), highest)
    assert back.is_back(Cursor(highest.line - 3 * back.slack_us, NOBODY), highest)
    assert back.is_back(None, highest)
    assert back.is_back(highest, None)


def test_workers_that_hear_the_same_hint_do_not_look_back_together_for_ever() -> None:
    workers = [LookingBack(Settings(), Random(seed).random) for seed in range(2)]
    for back in workers:
        back.took(1.0, 0.0, from_the_first=False)
        for _ in range(2):
            back.took(1.0, 0.1, from_the_first=True)
    moments = [next(at for at in range(1000, 9000) if back.is_due(at / 1000)) for back in workers]
    assert abs(moments[0] - moments[1]) > 200, "milliseconds: longer than a walk"
    assert max(moments) <= 1000 + 100 / SHARE + 1


def test_who_brings_nothing_while_others_do_looks_back_more_seldom() -> None:
    back = LookingBack(Settings())
    for course, share in (("bearing", SHARE), ("in vain", SHARE_IN_VAIN)):
        back.took(1.0, 0.0, course, from_the_first=False)
        for _ in range(2):
            back.took(1.0, 0.1, course, from_the_first=True, share=share)
    assert not back.is_due(1.0 + 0.1 / SHARE - 0.001, "bearing")
    assert back.is_due(1.0 + 0.1 / SHARE + 0.001, "bearing")
    assert not back.is_due(1.0 + 0.1 / SHARE_IN_VAIN - 0.001, "in vain")
    assert back.spent == pytest.approx(0.4), "beyond what is usual"
