"""A worker counts what it starts, ends and sees fail, for whoever watches; nothing is decided by it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.handler import Kind
from unstuck.engine.page import Tally
from unstuck.engine.worker import slots_of
from unstuck.rules.settings import Settings


async def fine() -> None:
    """Does nothing."""


async def failing() -> None:
    raise ValueError("no")


@pytest.mark.parametrize(
    ("function", "counted"),
    [
        (fine, Tally(started=3, ended=3, failed=0)),
        (failing, Tally(started=3, ended=0, failed=3)),
    ],
)
def test_starts_endings_and_failures_are_counted_once_each(function: Any, counted: Tally) -> None:
    async def story() -> None:
        bench = Bench(Task(function, Kind.ASYNC), slots=slots_of(Settings()))
        bench.add(3)
        await bench.looking.round()
        await bench.claim_all()
        while bench.shift.runs or bench.shift.outbox:
            await bench.turn()
            await bench.settling.round()
        assert bench.page.tally() == counted

    asyncio.run(asyncio.wait_for(story(), 20))
