"""Our own thread pool for plain functions: results cross back to the loop in groups, and few threads are woken.

`run_in_executor` costs a future and a wake-up of the loop per job (5.7 times slower, measured for the
design); here finished calls gather in a deque and one wake-up takes all of them. The other half of the price is
waking threads: each that wakes asks for the interpreter and takes it from whoever is getting on with the work. So
at most one is on its way at a time. Who takes a call and leaves others behind wakes the next before he begins, so
that a call that takes long holds up nobody; where calls are over in microseconds, the one who is awake has
done them all before the next has come.

Threads are daemons: they run user code only, never storage, and a stuck one must not keep a replaced process
alive. There are never fewer of them than calls under way, up to the size; so a call that waits has somebody to
wait for, and where the system gives no further thread, the call is refused at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from unstuck.engine.env import Env, Rest

Call = Callable[[], Any]
Done = Callable[[Any, BaseException | None], None]
Ended = tuple[Done, Any, BaseException | None]


class ThreadPool:
    """At most `size` threads, started when first needed."""

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop, env: Env | None = None):
        self._size = size
        self._loop = loop
        self._env = env or Env()
        self._lock = threading.Lock()
        self._calls: deque[tuple[Call, Done]] = deque()
        self._under_way = 0
        """Calls that wait or run."""
        self._finished: list[Ended] = []
        self._is_collecting = False
        self._threads = 0
        self._resting: list[Rest] = []
        """Of each thread that rests, the lock by which it does; who rested last is woken first."""
        self._is_waking = False
        self._abandoned = 0
        self._is_closed = False

    def submit(self, call: Call, done: Done) -> None:
        """Run `call` in a thread; `done(result, error)` follows on the loop.

        Raises RuntimeError where a new thread is needed and the system gives none.
        """
        with self._lock:
            if self._threads <= self._under_way and self._threads < self._size + self._abandoned:
                self._env.start_thread(self._serve, f"unstuck-{self._threads}")
                self._threads += 1
            self._calls.append((call, done))
            self._under_way += 1
            self._wake_one()

    def abandon(self) -> None:
        """A thread will not come back: let another take its place until the process is replaced."""
        with self._lock:
            self._abandoned += 1

    def close(self) -> None:
        """Let the threads end once they are free."""
        with self._lock:
            self._is_closed = True
            while self._resting:
                self._resting.pop().release()

    def _wake_one(self) -> None:
        """With the lock held: see that somebody who rests comes, unless one is on his way already."""
        if self._resting and not self._is_waking:
            self._is_waking = True
            self._resting.pop().release()

    def _serve(self) -> None:
        rest = self._env.new_rest()
        rest.acquire()
        has_rested = False
        ended: Ended | None = None
        while True:
            item = self._next(ended, rest, has_rested)
            ended, has_rested = None, item is None
            if item is None:
                if self._is_closed:
                    return
                rest.acquire()
                continue
            call, done = item
            try:
                ended = done, call(), None
            except BaseException as raised:
                ended = done, None, raised
            del call, done, item

    def _next(self, ended: Ended | None, rest: Rest, has_rested: bool) -> tuple[Call, Done] | None:
        """Hand over what has ended and take the next call; None where there is none: then rest."""
        item: tuple[Call, Done] | None = None
        must_tell = False
        with self._lock:
            if has_rested:
                self._is_waking = False
            if ended is not None:
                self._finished.append(ended)
                self._under_way -= 1
                must_tell, self._is_collecting = not self._is_collecting, True
            if self._calls:
                item = self._calls.popleft()
                if self._calls:
                    self._wake_one()
            else:
                self._resting.append(rest)
        if must_tell:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
                self._loop.call_soon_threadsafe(self._collect)
        return item

    def _collect(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
            self._is_collecting = False
        for done, result, error in finished:
            done(result, error)
