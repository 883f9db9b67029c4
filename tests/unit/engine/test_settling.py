"""One ending that the store cannot take now does not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from tests.unit.making import claimed
from unstuck.engine.env import Env
from unstuck.engine.executing import Executor
from unstuck.engine.page import Page
from unstuck.engine.settling import Settling
from unstuck.engine.shift import Shift
from unstuck.engine.worker import slots_of
from unstuck.model.errors import StoreConflict
from unstuck.model.verdict import Answer, Settled, Verdict
from unstuck.rules.judging import succeeded
from unstuck.rules.settings import Settings


class Store:
    """Settles everything but the job whose row somebody holds."""

    def __init__(self) -> None:
        self.held: UUID | None = None
        self.recorded: set[UUID] = set()

    def settle(self, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
        return verdicts

    async def run(self, plan: Sequence[Verdict], deadline: float | None = None) -> list[Settled]:
        if any(verdict.job_id == self.held for verdict in plan):
            raise StoreConflict("the row is locked")
        self.recorded |= {verdict.job_id for verdict in plan}
        return [Settled(verdict, Answer.ACCEPTED) for verdict in plan]

    async def aclose(self) -> None: ...


def test_a_row_that_somebody_holds_stands_back_and_its_age_is_known() -> None:
    async def story() -> None:
        store: Any = Store()
        settings = Settings()
        page = Page.private(slots_of(settings))
        shift = Shift(uuid4(), store, {}, settings, Env(), page, store, store)
        settling = Settling(shift, Executor(shift))
        ids = [uuid4() for _ in range(64)]
        store.held = ids[0]
        for job_id in ids:
            shift.deliver(succeeded(claimed(id=job_id), uuid4(), shift.id, None))
        for _ in range(40):
            try:
                await settling.round()
            except StoreConflict:
                pass
        assert store.recorded == set(ids[1:])
        assert page.unsettled_since > 0
        store.held = None
        while shift.outbox:
            await settling.round()
        await settling.round()
        assert store.recorded == set(ids) and page.unsettled_since == 0

    asyncio.run(story())


def test_one_ending_that_the_store_refuses_to_take_does_not_hold_up_the_others() -> None:
    """It is found by halving; alone in its failure for a lease, it is settled without its result."""

    class Choosy(Store):
        async def run(self, plan: Sequence[Verdict], deadline: float | None = None) -> list[Settled]:
            if any(verdict.job_id == self.held and verdict.result for verdict in plan):
                raise ValueError("the result cannot be stored")
            self.recorded |= {verdict.job_id for verdict in plan}
            return [Settled(verdict, Answer.ACCEPTED) for verdict in plan]

    async def story() -> None:
        store: Any = Choosy()
        settings, seconds = Settings(), [1000.0]
        page = Page.private(slots_of(settings))
        env = Env(now=lambda: seconds[0])
        shift = Shift(uuid4(), store, {}, settings, env, page, store, store)
        settling = Settling(shift, Executor(shift))
        ids = [uuid4() for _ in range(7)]
        store.held = ids[3]
        for job_id in ids:
            shift.deliver(succeeded(claimed(id=job_id), uuid4(), shift.id, "1"))

        async def flush() -> None:
            for _ in range(4):
                with suppress(ValueError):
                    await settling.round()

        await flush()
        assert store.recorded == {*ids} - {ids[3]}
        seconds[0] += settings.lease + 1.0
        await flush()
        assert store.recorded == {*ids}

    asyncio.run(story())
