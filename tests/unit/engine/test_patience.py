"""How long a round may take, and who else may end it."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.simulation.loop import Process, SimulatedLoop
from unstuck.engine.patience import Bell, Patience


class Loop(asyncio.SelectorEventLoop):
    """Counts its timers."""

    timers = 0

    def call_at(self, *args, **options):  # type: ignore[no-untyped-def]
        self.timers += 1
        return super().call_at(*args, **options)


def test_a_round_that_takes_too_long_is_cancelled_and_the_next_has_all_its_time() -> None:
    loop, told = SimulatedLoop(random.Random(1)), list[str]()

    async def story() -> None:
        patience = Patience(5.0)
        for seconds in (0.0, 100.0, 3.0, 3.0, 4.9, 100.0):
            try:
                with patience:
                    await asyncio.sleep(seconds)
                told.append("done")
            except TimeoutError:
                told.append(f"late at {loop.now:.2f}")
        patience.close()

    loop.spawn(Process("one"), story)
    loop.run_until(lambda: False, 1000.0)
    assert told == ["done", "late at 5.00", "done", "done", "done", "late at 20.90"]


def test_whoever_cancels_the_task_is_not_taken_for_the_clock() -> None:
    async def story() -> None:
        async def go_round() -> None:
            with Patience(30.0):
                await asyncio.sleep(30.0)

        task = asyncio.create_task(go_round())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())


def test_who_is_cancelled_by_both_ends() -> None:
    """The clock was first, and somebody else wanted the task to end before it had ended the round."""

    async def story() -> None:
        async def stubborn() -> None:
            with Patience(0.01):
                try:
                    await asyncio.sleep(30.0)
                except asyncio.CancelledError:
                    late.set()
                    await asyncio.sleep(30.0)

        late = asyncio.Event()
        task = asyncio.create_task(stubborn())
        await late.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())


def test_a_thousand_rounds_share_a_timer() -> None:
    async def story() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        patience = Patience(30.0)
        for _ in range(1000):
            with patience:
                await asyncio.sleep(0)
        patience.close()
        return loop.timers

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(story()) == 1


def test_a_rest_ends_at_its_time_or_when_it_is_told_to() -> None:
    async def story() -> None:
        bell = Bell()
        await bell.rest(0.01)
        bell.ring()
        await asyncio.wait_for(bell.rest(30.0), 5.0)
        asyncio.get_running_loop().call_later(0.01, bell.ring)
        await asyncio.wait_for(bell.rest(30.0), 5.0)
        bell.ring()
        bell.hush()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bell.rest(30.0), 0.05)

    asyncio.run(story())
