"""Claims go on until the queue is known to be empty, whatever one of them brought."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.handler import Kind
from unstuck.model.errors import StoreUnavailable
from unstuck.storage.memory.store import MemoryStore


def waiting() -> Task:
    return Task(lambda: asyncio.Event().wait(), Kind.ASYNC)


@pytest.mark.parametrize("short", [True, False], ids=["short", "behind"])
def test_a_queue_is_empty_only_when_a_claim_from_its_head_says_so(
    short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either each claim brings less than there is, or what comes next stands in front of what was taken."""
    claim = MemoryStore.claim

    def one(store: MemoryStore, worker: Any, queue: str, tasks: Any, limit: int, *place: Any) -> Any:
        return claim(store, worker, queue, tasks, 1 if short else limit, *place)

    monkeypatch.setattr(MemoryStore, "claim", one)

    async def story() -> int:
        bench = Bench(waiting())
        bench.add(3)
        await bench.looking.round()
        if not short:
            bench.meanwhile["claim"] = lambda: bench.add(1, priority=5)
        await bench.claim_all()
        return len(bench.shift.runs)

    assert asyncio.run(story()) == (3 if short else 4)


def test_a_hint_is_good_for_one_claim_and_the_look_behind_it_for_the_rest() -> None:
    """What a hint stood for is claimed before anything is asked; whether there is more, one look says for all kinds."""

    async def story() -> list[int]:
        bench = Bench(waiting(), Task(lambda: None, Kind.PLAIN, "plain"))
        bench.add(1)
        bench.claiming.expect("default")
        await bench.claim_all()
        seen = [bench.shift.claims_made, len(bench.shift.runs)]
        bench.add(1)
        bench.add(1, task="plain")
        bench.claiming.expect("default")
        await bench.claiming.round()
        await bench.looking.round()
        await bench.claim_all()
        return [*seen, len(bench.shift.holds())]

    assert asyncio.run(story()) == [1, 1, 3]


def test_the_look_behind_a_hint_is_called_when_what_it_brought_has_begun() -> None:
    """The two share the loop and the connection, and only the job is waited for."""

    async def story() -> list[str]:
        did: list[str] = []

        async def begins() -> None:
            did.append("begins")
            await asyncio.Event().wait()

        async def looks() -> None:
            did.append("looks")

        bench = Bench(Task(begins, Kind.ASYNC))
        called: list[asyncio.Task[None]] = []
        bench.shift.look_now = lambda: called.append(asyncio.create_task(looks()))
        bench.add(1)
        bench.claiming.expect("default")
        assert not called
        await bench.claim_all()
        bench.claiming.expect("default")
        await bench.claim_all()
        return did

    assert asyncio.run(story()) == ["begins", "looks", "looks"]


def test_the_look_behind_a_hint_is_called_though_the_claim_fails_or_there_is_none() -> None:
    async def story() -> int:
        bench = Bench(waiting())
        called: list[bool] = []
        bench.shift.look_now = lambda: called.append(True)

        def fails() -> None:
            raise StoreUnavailable("it is away")

        bench.meanwhile["claim"] = fails
        bench.claiming.expect("default")
        with pytest.raises(StoreUnavailable):
            await bench.claiming.round()
        bench.shift.is_quiet = True
        bench.claiming.expect("default")
        await bench.claiming.round()
        return len(called)

    assert asyncio.run(story()) == 2


def test_a_hint_that_brings_as_much_as_there_is_room_for_is_followed_up_without_a_look() -> None:
    async def story() -> int:
        bench = Bench(waiting(), concurrency=2)
        bench.add(5)
        bench.claiming.expect("default")
        await bench.claiming.round()
        return len(bench.shift.ready)

    assert asyncio.run(story()) == 1
