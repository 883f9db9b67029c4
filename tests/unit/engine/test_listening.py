"""A hint without a name may be one's own commit: while there is work in sight, few of them are worth a look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.handler import Kind
from unstuck.engine.listening import Listening

LONG = 3600.0


class Noise:
    """An ear that hears without end."""

    is_proved = True

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self.heard = 0

    async def __aiter__(self) -> AsyncIterator[frozenset[str]]:
        while True:
            await asyncio.sleep(0)
            self.heard += 1
            yield self._names

    async def aclose(self) -> None:
        """Nothing is open."""


def a_bench() -> Bench:
    return Bench(Task(lambda: asyncio.Event().wait(), Kind.ASYNC), concurrency=1)


async def looks_of(bench: Bench, ear: Noise) -> list[str]:
    """What a worker does about an ear that hears without end, within some turns of the loop."""
    did: list[str] = []
    rest = bench.claiming.rest_while_in_sight
    listening = Listening(
        ear, bench.settings, lambda: did.append("look"), did.append, lambda seconds: rest(LONG * seconds)
    )
    task = asyncio.create_task(listening.listen())
    await bench.turn()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return did


def test_one_look_answers_all_the_hints_that_come_while_there_is_work_in_sight() -> None:
    async def story() -> None:
        bench = a_bench()
        bench.add(2)
        await bench.looking.round()
        assert await looks_of(bench, Noise(frozenset())) == ["look"]

    asyncio.run(story())


def test_where_nothing_is_in_sight_every_hint_is_looked_after() -> None:
    async def story() -> None:
        bench, ear = a_bench(), Noise(frozenset())
        await bench.looking.round()
        did = await looks_of(bench, ear)
        assert len(did) == ear.heard > 3

    asyncio.run(story())


def test_a_hint_with_a_name_is_followed_whatever_is_in_sight() -> None:
    async def story() -> None:
        bench, ear = a_bench(), Noise(frozenset({"default"}))
        bench.add(2)
        await bench.looking.round()
        did = await looks_of(bench, ear)
        assert did == ["default"] * ear.heard
        assert ear.heard > 3

    asyncio.run(story())


def test_the_rest_is_over_when_a_claim_finds_nothing_more() -> None:
    async def story() -> None:
        bench = a_bench()
        bench.add(1)
        await bench.looking.round()
        resting = asyncio.create_task(bench.claiming.rest_while_in_sight(LONG))
        await bench.turn()
        assert not resting.done()
        bench.executor._free[Kind.ASYNC] += 1  # a second place, to ask for more
        await bench.claim_all()
        async with asyncio.timeout(10):
            await resting

    asyncio.run(story())


def test_the_rest_is_over_when_a_look_finds_nothing_more() -> None:
    async def story() -> None:
        bench = a_bench()
        bench.add(1)
        await bench.looking.round()
        resting = asyncio.create_task(bench.claiming.rest_while_in_sight(LONG))
        await bench.turn()
        assert not resting.done()
        bench.do(bench.store.claim(bench.shift.id, "default", ["t"], 1))
        await bench.looking.round()
        async with asyncio.timeout(10):
            await resting

    asyncio.run(story())
