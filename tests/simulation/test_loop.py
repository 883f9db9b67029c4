"""The loop does to processes what an operating system does, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest

from tests.simulation.loop import Process, SimulatedLoop


def a_loop(seed: int = 1) -> SimulatedLoop:
    return SimulatedLoop(random.Random(seed))


def run(loop: SimulatedLoop, until: float) -> None:
    loop.run_until(lambda: False, until)


def test_time_passes_only_by_timers() -> None:
    loop, seen = a_loop(), []

    async def work() -> None:
        await asyncio.sleep(3600.0)
        seen.append(loop.now)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60.0):
                await asyncio.Event().wait()
        seen.append(loop.now)

    loop.spawn(Process("one"), work)
    run(loop, 10_000.0)
    assert seen == [3600.0, 3660.0]
    assert loop.errors == []


def test_a_killed_process_is_never_resumed_cancelled_or_collected() -> None:
    loop, seen = a_loop(), []

    async def work() -> None:
        try:
            await asyncio.sleep(10.0)
            seen.append("resumed")
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("finally")

    process = Process("one")
    loop.spawn(process, work)
    loop.after(5.0, loop.kill, process)
    run(loop, 100.0)
    gc.collect()
    assert seen == []
    loop.wind_down()
    assert seen == ["cancelled", "finally"], "only the end of the world tidies up"


def test_timers_that_run_out_in_a_pause_fire_after_it() -> None:
    loop, seen = a_loop(), []

    async def work() -> None:
        await asyncio.sleep(10.0)
        seen.append(loop.now)
        await asyncio.sleep(1.0)
        seen.append(loop.now)

    process = Process("one")
    loop.spawn(process, work)
    loop.after(5.0, loop.pause, process)
    loop.after(30.0, loop.resume, process)
    run(loop, 100.0)
    assert seen == [30.0, 31.0]


def test_timers_keep_what_is_left_while_the_host_is_suspended() -> None:
    loop, seen = a_loop(), []

    async def work() -> None:
        await asyncio.sleep(10.0)
        seen.append((loop.now, loop.time()))

    process = Process("one")
    loop.spawn(process, work)
    loop.after(5.0, loop.suspend, process)
    loop.after(30.0, loop.resume, process, 25.0)
    run(loop, 100.0)
    assert seen == [(35.0, 10.0)]


def test_tasks_with_a_context_of_their_own_belong_to_their_process() -> None:
    loop, seen = a_loop(), []

    async def inner() -> None:
        await asyncio.sleep(1.0)
        seen.append("inner")

    async def work() -> None:
        import contextvars

        asyncio.get_running_loop().create_task(inner(), context=contextvars.copy_context())
        await asyncio.sleep(0.5)

    process = Process("one")
    loop.spawn(process, work)
    loop.after(0.9, loop.kill, process)
    run(loop, 10.0)
    assert seen == []
    loop.wind_down()


def test_the_seed_decides_who_is_next() -> None:
    def order(seed: int) -> str:
        loop, seen = a_loop(seed), []

        async def work(name: str) -> None:
            for _ in range(5):
                seen.append(name)
                await asyncio.sleep(0)

        for name in "abc":
            loop.spawn(Process(name), lambda name=name: work(name))  # type: ignore[misc]
        run(loop, 1.0)
        return "".join(seen)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(10)}) > 5


def test_threads_are_refused() -> None:
    loop = a_loop()

    async def work() -> None:
        await asyncio.to_thread(print)

    task = loop.spawn(Process("one"), work)
    run(loop, 1.0)
    with pytest.raises(NotImplementedError, match="threads"):
        task.result()
