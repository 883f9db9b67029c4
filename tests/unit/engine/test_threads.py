"""The thread pool: every call ends once, none waits behind another while a thread is free, few are woken."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from unstuck.engine.threads import ThreadPool

R = TypeVar("R")
Call = Callable[[], Any]

SECONDS = 20.0
"""For what takes milliseconds; only a pool that has lost somebody takes so long."""


class Pooled:
    """A pool on the running loop, and what came out of it."""

    def __init__(self, size: int) -> None:
        self.calls: deque[Callable[[], Any]] = deque()
        self.troubles: list[Exception] = []
        """What the next who ask for a call meet instead."""
        loop = asyncio.get_running_loop()
        self.pool = ThreadPool(size, loop, lambda: len(self.calls), self._next, self._done)
        self.ended: list[tuple[Any, BaseException | None]] = []
        self._more = asyncio.Event()

    def submit(self, call: Callable[[], Any]) -> None:
        self.calls.append(call)
        self.pool.call()

    def _next(self) -> tuple[Call, Callable[[Call], Any]] | None:
        if self.calls and self.troubles:
            raise self.troubles.pop()
        return (self.calls.popleft(), lambda call: call()) if self.calls else None

    def _done(self, ended: list[tuple[Call, Any, BaseException | None]]) -> None:
        self.ended += [(result, error) for _, result, error in ended]
        self._more.set()

    async def until(self, count: int) -> list[Any]:
        async with asyncio.timeout(SECONDS):
            while len(self.ended) < count:
                self._more.clear()
                await self._more.wait()
        return sorted(result for result, _ in self.ended)


def pooled(size: int, walk: Callable[[Pooled], Awaitable[R]]) -> R:
    async def main() -> R:
        each = Pooled(size)
        try:
            return await walk(each)
        finally:
            each.pool.close()

    return asyncio.run(main())


def test_every_call_ends_once() -> None:
    async def walk(each: Pooled) -> list[Any]:
        for number in range(2000):
            each.submit(lambda number=number: number)  # type: ignore[misc]
            if number % 50 == 0:
                await asyncio.sleep(0)
        return await each.until(2000)

    assert pooled(4, walk) == list(range(2000))


def test_calls_that_wait_for_each_other_run_at_the_same_time() -> None:
    """Also when all threads rest: who comes first wakes the next before it begins."""

    async def walk(each: Pooled) -> None:
        for turn in range(1, 6):
            meeting = threading.Barrier(4, timeout=SECONDS)
            for _ in range(4):
                each.submit(meeting.wait)
            await each.until(4 * turn)

    pooled(4, walk)


def test_a_call_that_takes_long_holds_up_nobody() -> None:
    async def walk(each: Pooled) -> list[Any]:
        each.submit(lambda: 0)
        await each.until(1)
        go_on = threading.Event()
        each.submit(lambda: go_on.wait(SECONDS))
        for number in range(100):
            each.submit(lambda number=number: number)  # type: ignore[misc]
        ended = await each.until(101)
        go_on.set()
        await each.until(102)
        return ended

    assert pooled(2, walk) == sorted([0, *range(100)])


def test_what_a_call_raises_is_handed_over() -> None:
    def leave() -> None:
        raise SystemExit("not for a thread to say")

    async def walk(each: Pooled) -> tuple[Any, BaseException | None]:
        each.submit(leave)
        await each.until(1)
        return each.ended[0]

    result, error = pooled(1, walk)
    assert result is None and isinstance(error, SystemExit)


def test_a_thread_that_does_not_come_back_is_replaced() -> None:
    async def walk(each: Pooled) -> None:
        go_on = threading.Event()
        each.submit(lambda: go_on.wait(SECONDS))
        each.pool.abandon()
        each.submit(lambda: True)
        await each.until(1)
        go_on.set()
        await each.until(2)

    pooled(1, walk)


def test_a_thread_that_could_not_take_its_next_call_comes_back_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is the only one: were it gone, nobody would ever come."""

    async def walk(each: Pooled) -> list[Any]:
        each.submit(lambda: 0)
        await each.until(1)
        for number in (1, 2, 3):
            each.troubles.append(KeyError(f"trouble {number}"))
            each.submit(lambda number=number: number)  # type: ignore[misc]
            async with asyncio.timeout(SECONDS):
                while each.troubles:  # noqa: ASYNC110 - a feed that raises wakes nobody
                    await asyncio.sleep(0.001)
        each.pool.call()
        return await each.until(4)

    with caplog.at_level(logging.ERROR):
        assert pooled(1, walk) == [0, 1, 2, 3]
    said = [record for record in caplog.records if "could not take its next job" in record.message]
    assert len(said) == 1, "said once, not at each repetition"


def test_what_has_ended_is_told_although_the_next_call_could_not_be_taken() -> None:
    async def walk(each: Pooled) -> list[Any]:
        go_on = threading.Event()

        def trouble() -> int:
            each.troubles.append(KeyError("trouble"))
            go_on.wait(SECONDS)
            return 0

        each.submit(trouble)
        each.submit(lambda: 1)
        go_on.set()
        await each.until(1)
        each.pool.call()
        return await each.until(2)

    assert pooled(1, walk) == [0, 1]


def test_a_call_for_which_there_is_no_thread_is_refused_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def walk(each: Pooled) -> list[Any]:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                each.submit(lambda: 1)
        each.calls.clear()
        each.submit(lambda: 2)
        return await each.until(1)

    assert pooled(1, walk) == [2]


def test_threads_end_when_the_pool_closes() -> None:
    async def walk(each: Pooled) -> list[threading.Thread]:
        before = set(threading.enumerate())
        meeting = threading.Barrier(3, timeout=SECONDS)
        for _ in range(3):
            each.submit(meeting.wait)
        await each.until(3)
        return [thread for thread in threading.enumerate() if thread not in before]

    threads = pooled(3, walk)
    for thread in threads:
        thread.join(SECONDS)
    assert len(threads) == 3 and not any(thread.is_alive() for thread in threads)
