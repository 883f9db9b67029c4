"""Threads of simulated processes: plain functions that take virtual time, in an order that the seed picks.

The engine's own pool runs, on threads that are none: each is a greenlet, which the loop continues in turn like
any callback of its process. So one real thread runs at any moment, a thread of a process that was killed never
goes on, one of a process that is paused goes on later, and one that its pool has abandoned works on beside all
others until its process is over. Functions that wait call `pass_time`; code between two waits is not interrupted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.loop import SimulatedLoop

LATE = 0.002
"""Seconds within which a thread that may run does."""


class Threads:
    """All threads of a world."""

    def __init__(self, loop: SimulatedLoop, seed: int):
        self._loop = loop
        self._dice = random.Random(f"threads of {seed}")
        self._all: list[greenlet] = []
        loop.is_thread = is_thread
        self.is_over = False

    def start(self, work: Callable[[], object], name: str) -> None:
        """A thread of the process that runs now."""
        thread = greenlet(work)
        thread.gr_context = copy_context()
        self._all.append(thread)
        self._wake(thread)

    def rest(self) -> Rest:
        """What one thread waits by until another lets it go on."""
        return Rest(self)

    def pass_time(self, seconds: float) -> None:
        """The thread that runs now sleeps."""
        self._loop.call_later(seconds, getcurrent().switch)
        self.wait()

    def wait(self) -> None:
        """The thread that runs now stands still until somebody wakes it."""
        if self.is_over:
            raise GreenletExit
        mine = getcurrent()
        assert mine.parent is not None, "only threads may wait"
        mine.parent.switch()

    def _wake(self, thread: greenlet) -> None:
        self._loop.call_later(self._dice.uniform(0.0, LATE), thread.switch)

    async def call(self, function: Callable[[], Any]) -> Any:
        """What a function returns or raises in a thread of its own."""
        answer: asyncio.Future[Any] = self._loop.create_future()

        def work() -> None:
            try:
                answer.set_result(function())
            except GreenletExit:
                raise
            except BaseException as error:
                # No future takes it as it is where it means the end of a loop.
                answer.set_result(error)

        self.start(work, "alone")
        value = await answer
        if isinstance(value, BaseException):
            raise value
        return value

    def close(self) -> None:
        """The world is over: nobody waits any more."""
        self.is_over = True
        for thread in self._all:
            if not thread.dead:
                thread.throw(GreenletExit)
        self._all = []


class Rest:
    """`threading.Lock`, as far as the engine's pool wants one."""

    def __init__(self, threads: Threads):
        self._threads = threads
        self._is_taken = False
        self._waiting: greenlet | None = None

    def acquire(self) -> bool:
        """Take it, when it is free."""
        while self._is_taken:
            self._waiting = getcurrent()
            self._threads.wait()
        self._is_taken = True
        return True

    def release(self) -> None:
        """Whoever waits goes on."""
        self._is_taken = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._threads._wake(waiting)


def is_thread() -> bool:
    """Whether a simulated thread runs now, and not a loop."""
    return getcurrent().parent is not None
