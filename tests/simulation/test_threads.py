"""Simulated threads take virtual time, belong to their process, and are what the engine's own pool works with."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.threads import Threads
from unstuck.engine.env import Env
from unstuck.engine.threads import ThreadPool

Call = Callable[[], Any]


class Workshop:
    """A loop, its threads, and what has happened."""

    def __init__(self, seed: int = 1):
        self.loop = SimulatedLoop(random.Random(seed))
        self.threads = Threads(self.loop, seed)
        self.seen: list[tuple[float, Any]] = []

    def note(self, what: Any) -> None:
        self.seen.append((round(self.loop.now, 1), what))

    def spawn(self, name: str, work: Callable[[], Any]) -> Process:
        process = Process(name)

        async def begin() -> None:
            work()

        self.loop.spawn(process, begin)
        return process

    def pool(
        self, size: int, done: Callable[[Any, BaseException | None], None]
    ) -> tuple[Callable[[Call], None], ThreadPool[Call]]:
        """The engine's pool over these threads, and how a call gets to it."""
        calls: deque[Call] = deque()

        def feed() -> tuple[Call, Callable[[Call], Any]] | None:
            return (calls.popleft(), lambda call: call()) if calls else None

        def all_done(ended: list[tuple[Call, Any, BaseException | None]]) -> None:
            for _, result, error in ended:
                done(result, error)

        def submit(call: Call) -> None:
            calls.append(call)
            pool.call()

        env = Env(start_thread=self.threads.start, new_rest=self.threads.rest)
        pool = ThreadPool(size, self.loop, lambda: len(calls), feed, all_done, env)
        return submit, pool

    def run(self, until: float) -> None:
        self.loop.run_until(lambda: False, until)

    def sleeper(self, name: str, seconds: float) -> Callable[[], str]:
        def work() -> str:
            self.note(f"{name} begins")
            self.threads.pass_time(seconds)
            self.note(f"{name} ends")
            return name

        return work


def test_a_pool_works_through_its_calls_in_virtual_time() -> None:
    shop = Workshop()

    def work() -> None:
        submit, _ = shop.pool(2, lambda result, error: shop.note((result, error)))
        for name in ("a", "b", "c"):
            submit(shop.sleeper(name, 10.0))

    shop.spawn("one", work)
    shop.run(100.0)
    begun = {what: at for at, what in shop.seen if "begins" in str(what)}
    assert begun == {"a begins": 0.0, "b begins": 0.0, "c begins": 10.0}
    assert [what for _, what in shop.seen if isinstance(what, tuple)][-1] == ("c", None)
    assert sorted(str(what) for _, what in shop.seen if isinstance(what, tuple)) == [
        "('a', None)",
        "('b', None)",
        "('c', None)",
    ]
    assert shop.loop.errors == []


def test_an_abandoned_thread_works_on_beside_the_one_that_took_its_place() -> None:
    shop = Workshop()

    def work() -> None:
        submit, pool = shop.pool(1, lambda result, error: shop.note(result))
        submit(shop.sleeper("a", 10.0))
        shop.loop.call_later(1.0, pool.abandon)
        shop.loop.call_later(2.0, submit, shop.sleeper("b", 1.0))

    shop.spawn("one", work)
    shop.run(100.0)
    assert [what for _, what in shop.seen if what in ("a", "b")] == ["b", "a"]


def test_threads_of_a_killed_process_never_go_on_and_those_of_a_paused_one_later() -> None:
    shop = Workshop()
    killed = shop.spawn("killed", lambda: shop.threads.start(shop.sleeper("killed", 10.0), ""))
    paused = shop.spawn("paused", lambda: shop.threads.start(shop.sleeper("paused", 10.0), ""))
    shop.loop.after(5.0, shop.loop.kill, killed)
    shop.loop.after(5.0, shop.loop.pause, paused)
    shop.loop.after(30.0, shop.loop.resume, paused)
    shop.run(100.0)
    assert [each for each in shop.seen if "ends" in each[1]] == [(30.0, "paused ends")]
    shop.threads.close()
    assert len(shop.seen) == 3, "at the end of the world they are gone without a word"
