"""A worker is sure of its lease for two thirds of it, from when the renewal was sent."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.engine.bench import Bench
from unstuck.engine.renewing import Renewing
from unstuck.rules.steadying import Steadiness


@pytest.mark.parametrize("slow", [0.0, 9.0])
def test_a_lease_is_safe_for_two_thirds_from_the_sending_of_its_renewal(slow: float) -> None:
    async def story() -> None:
        bench = Bench()
        bench.elapse(5.0)
        sent = bench.seconds
        bench.meanwhile["renew"] = lambda: bench.elapse(slow)
        lease = bench.settings.lease
        renewing = Renewing(
            bench.store,
            bench.shift.claim_lane,
            lambda: {bench.shift.id: bench.page},
            bench.settings,
            bench.shift.env,
            Steadiness(lease),
        )
        await renewing.round()
        assert bench.page.renewed_at == sent
        assert bench.page.safe_until == pytest.approx(sent + lease * 2 / 3)
        bench.seconds = sent + lease * 2 / 3 - 0.1
        assert bench.shift.may_start
        bench.seconds = sent + lease * 2 / 3 + 0.1
        assert not bench.shift.may_start

    asyncio.run(story())
