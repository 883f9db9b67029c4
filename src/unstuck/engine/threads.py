"""Our own thread pool for plain functions: threads take their next job themselves, and what ended crosses in groups.

`run_in_executor` costs a future and a wake-up of the loop per job (5.7 times slower, measured for the
design). Here a thread that has done with a job asks the *feed* for the next, so that between two jobs nobody has to
wake; what has ended gathers in a list, and one wake-up of the loop takes all of it. The other half of the price is
waking threads: each that wakes asks for the interpreter and takes it from whoever is getting on with the work. So
at most one is on its way at a time. Who takes a job and leaves others behind wakes the next before he begins, so
that a job that takes long holds up nobody; where jobs are over in microseconds, the one who is awake has
done them all before the next has come.

Threads are daemons: they run user code only, never storage, and a stuck one must not keep a replaced process
alive. `waiting` tells how many jobs there are to be had, `feed` gives the next as a subject and what is to be called with it, and
`done` gets, on the loop, what became of each. The first two are asked in any thread, with the pool's lock held, and must not call the pool.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from unstuck.engine.env import Env, Rest

S = TypeVar("S")


class ThreadPool(Generic[S]):
    """At most `size` threads, started when first needed."""

    def __init__(
        self,
        size: int,
        loop: asyncio.AbstractEventLoop,
        waiting: Callable[[], int],
        feed: Callable[[], tuple[S, Callable[[S], Any]] | None],
        done: Callable[[list[tuple[S, Any, BaseException | None]]], None],
        env: Env | None = None,
    ):
        self._size = size
        self._loop = loop
        self._waiting = waiting
        self._feed = feed
        self._done = done
        self._env = env or Env()
        self._lock = threading.Lock()
        self._busy = 0
        """Threads that have a job."""
        self._finished: list[tuple[S, Any, BaseException | None]] = []
        self._is_collecting = False
        self._threads = 0
        self._resting: list[Rest] = []
        """Of each thread that rests, the lock by which it does; who rested last is woken first."""
        self._is_waking = False
        self._abandoned = 0
        self._is_closed = False

    def call(self) -> None:
        """Something may be had from the feed: see that somebody comes for it.

        Raises RuntimeError where a new thread is needed and the system gives none.
        """
        with self._lock:
            self._wake_one()
            wanted = min(self._size + self._abandoned, self._busy + self._waiting())
            while self._threads < wanted:
                self._env.start_thread(self._serve, f"unstuck-{self._threads}")
                self._threads += 1

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
        ended: tuple[S, Any, BaseException | None] | None = None
        while True:
            item = self._next(ended, rest, has_rested)
            ended, has_rested = None, item is None
            if item is None:
                if self._is_closed:
                    return
                rest.acquire()
                continue
            subject, call = item
            try:
                ended = subject, call(subject), None
            except BaseException as raised:
                ended = subject, None, raised
            del subject, call, item

    def _next(
        self, ended: tuple[S, Any, BaseException | None] | None, rest: Rest, has_rested: bool
    ) -> tuple[S, Callable[[S], Any]] | None:
        """Hand over what has ended and take the next; None where there is none: then rest."""
        must_tell = False
        with self._lock:
            if has_rested:
                self._is_waking = False
            if ended is not None:
                self._finished.append(ended)
                self._busy -= 1
                must_tell, self._is_collecting = not self._is_collecting, True
            item = None if self._is_closed else self._feed()
            if item is None:
                self._resting.append(rest)
            else:
                self._busy += 1
                if self._waiting():
                    self._wake_one()
        if must_tell:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
                self._loop.call_soon_threadsafe(self._collect)
        return item

    def _collect(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
            self._is_collecting = False
        self._done(finished)
