"""Reconciling gives back what the worker does not know, and nothing that it knew a moment ago."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID, uuid4

import pytest

from unstuck.engine.env import Env
from unstuck.engine.page import Page
from unstuck.engine.reconciling import Reconciling
from unstuck.engine.shift import Shift
from unstuck.model.job import NewJob
from unstuck.model.worker import NewWorker
from unstuck.rules import judging
from unstuck.rules.settings import Settings
from unstuck.storage.memory.keeper import MemoryKeeper
from unstuck.storage.plan import Lane, Plan

R = TypeVar("R")


class Slow:
    """A lane whose answers take a while to arrive; `meanwhile` happens on their way."""

    def __init__(self, lane: Lane, meanwhile: Callable[[], None]) -> None:
        self._lane = lane
        self._meanwhile = meanwhile

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        answer = await self._lane.run(plan, deadline)
        self._meanwhile()
        return answer

    async def aclose(self) -> None:
        await self._lane.aclose()


def shift_with_two_claims(meanwhile: Callable[[Shift], None]) -> tuple[Shift, list[UUID]]:
    """A worker that owns two attempts in the store, whose reads are slow."""
    keeper = MemoryKeeper()
    store, worker_id, settings = keeper.store, uuid4(), Settings()
    new = [NewJob(id=uuid4(), queue="default", task="t", args="{}") for _ in range(2)]
    keeper.run(store.insert(new))
    worker = NewWorker(worker_id, "child", None, "here", 1, settings.lease_us, ("default",), ("t",))
    keeper.run(store.register(worker))
    jobs = keeper.run(store.claim(worker_id, "default", ["t"], 2))
    assert len(jobs) == 2
    lane: Lane = Slow(keeper.lane("settle"), lambda: meanwhile(shift))
    shift = Shift(worker_id, store, {}, settings, Env(), Page.private(4), keeper.lane("claim"), lane)
    shift.outbox[jobs[0].id, jobs[0].fence] = judging.succeeded(jobs[0], uuid4(), worker_id, None)
    return shift, [job.id for job in jobs]


def test_an_ending_that_was_confirmed_while_the_answer_travelled_is_not_given_back() -> None:
    shift, (ended, unknown) = shift_with_two_claims(lambda shift: shift.outbox.clear())
    asyncio.run(Reconciling(shift).round())
    assert {job_id for job_id, _ in shift.outbox} == {unknown}
    assert ended != unknown


@pytest.mark.parametrize("goes", [False, True], ids=["begins", "comes and goes"])
def test_a_comparison_beside_a_claim_counts_for_nothing(goes: bool) -> None:
    """What the claim brings is in the store's answer and not yet known here."""

    def claim(shift: Shift) -> None:
        if goes:
            shift.claims_made += 1
        else:
            shift.claims_in_flight += 1

    shift, (ended, _) = shift_with_two_claims(claim)
    assert asyncio.run(Reconciling(shift).round()) == shift.settings.poll
    assert {job_id for job_id, _ in shift.outbox} == {ended}
