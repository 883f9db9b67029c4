"""A worker is sure of its lease for two thirds of it, from when the renewal was sent."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.engine.bench import Bench
from unstuck.engine.page import Phase
from unstuck.engine.renewing import Renewing
from unstuck.model.errors import StoreUnavailable
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


def test_a_report_tells_what_was_done_since_the_last_one_that_was_taken() -> None:
    async def story() -> None:
        bench = Bench()
        renewing = Renewing(
            bench.store,
            bench.shift.claim_lane,
            lambda: {bench.shift.id: bench.page},
            bench.settings,
            bench.shift.env,
            Steadiness(bench.settings.lease),
        )

        def recent() -> dict[str, float]:
            (worker,) = bench.do(bench.store.workers())
            return dict(worker.report["recent"])

        def failing() -> None:
            raise StoreUnavailable("gone")

        await renewing.round()
        assert recent() == {"seconds": 0, "started": 0, "ended": 0, "failed": 0}
        for _ in range(3):
            bench.page.write_slot(bench.shift.id, 1, Phase.RUNNING, 0.0)
        bench.page.settled(ended=2, failed=1)
        bench.page.looked_back = 0.1234
        bench.elapse(4.0)
        bench.meanwhile["renew"] = failing
        with pytest.raises(StoreUnavailable):
            await renewing.round()
        bench.elapse(1.0)
        await renewing.round()
        assert recent() == {"seconds": 5, "started": 3, "ended": 2, "failed": 1}
        (worker,) = bench.do(bench.store.workers())
        assert worker.report["looked_back"] == 0.123
        bench.elapse(5.0)
        await renewing.round()
        assert recent() == {"seconds": 5, "started": 0, "ended": 0, "failed": 0}

    asyncio.run(story())
