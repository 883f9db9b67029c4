"""Our own thread pool for plain functions: threads take their next job themselves, and what ended crosses in groups.

`run_in_executor` costs a future and a wake-up of the loop per job (5.7 times slower, measured for the
design). Here a thread that has done with a job asks the *feed* for the next, so that between two jobs nobody has to
wake; what has ended gathers in a line, and one wake-up of the loop takes all of it. The other half of the price is
waking threads: each that wakes asks for the interpreter and takes it from whoever is getting on with the work. So
at most one is on its way at a time. Who takes a job and leaves others behind wakes the next before he begins, so
that a job that takes long holds up nobody; where jobs are over in microseconds, the one who is awake has
done them all before the next has come.

The lock of the pool is for coming and going only. Who rests has asked in vain with the lock held, and who calls takes
it after there is something to be had, so one of the two sees the other. Between two jobs a thread takes no lock of the pool:
the loop, which wants it too, would else meet one that was interrupted with it in his hands.

Threads are daemons: they run user code only, never storage, and a stuck one must not keep a replaced process
alive. None is ever lost: where the feed raises, or an interruption meant for a job comes too late for it, that is said, and the
thread rests until it is called. `waiting` tells how many jobs there are to be had, `feed` gives the next as a subject and
what is to be called with it, and `done` gets, on the loop, what became of each. The first two are asked in any thread, and
must not call the pool.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from unstuck.engine.env import Env, Rest
from unstuck.engine.saying import Saying

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
        self._saying = Saying(self._env.now)
        self._lock = threading.Lock()
        self._finished: deque[tuple[S, Any, BaseException | None]] = deque()
        self._is_collecting = False
        self._threads = 0
        self._coming = 0
        """Threads that were started or woken and have not asked yet."""
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
            busy = self._threads - len(self._resting) - self._coming
            wanted = min(self._size + self._abandoned, busy + self._waiting())
            while self._threads < wanted:
                self._env.start_thread(self._serve, f"unstuck-{self._threads}")
                self._threads += 1
                self._coming += 1

    def abandon(self) -> None:
        """A thread will not come back: let another take its place until the process is replaced."""
        with self._lock:
            self._abandoned += 1

    def close(self) -> None:
        """Let the threads end once they are free."""
        with self._lock:
            self._is_closed = True
            self._coming += len(self._resting)
            while self._resting:
                self._resting.pop().release()

    def _wake_one(self) -> None:
        """With the lock held: see that somebody who rests comes, unless one is on his way already."""
        if self._resting and not self._is_waking:
            self._is_waking = True
            self._coming += 1
            self._resting.pop().release()

    def _serve(self) -> None:
        rest = self._env.new_rest()
        rest.acquire()
        item = self._come(rest, is_woken=False)
        while True:
            if item is None:
                if self._is_closed:
                    return
                rest.acquire()
                item = self._come(rest, is_woken=True)
                continue
            subject, call = item
            try:
                ended: tuple[S, Any, BaseException | None] = subject, call(subject), None
            except BaseException as raised:
                ended = subject, None, raised
            try:
                item = self._next(ended, rest)
            except BaseException as error:
                self._say(error)
                with self._lock:
                    item = self._take_or_rest(rest)
            del subject, call, ended

    def _come(self, rest: Rest, *, is_woken: bool) -> tuple[S, Callable[[S], Any]] | None:
        """Who was started or woken is here."""
        with self._lock:
            self._coming -= 1
            if is_woken:
                self._is_waking = False
            return self._take_or_rest(rest)

    def _next(
        self, ended: tuple[S, Any, BaseException | None], rest: Rest
    ) -> tuple[S, Callable[[S], Any]] | None:
        """Hand over what has ended and take the next; None where there is none: then rest."""
        self._finished.append(ended)
        if not self._is_collecting:
            self._is_collecting = True
            with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
                self._loop.call_soon_threadsafe(self._collect)
        item = None if self._is_closed else self._feed()
        if item is None:
            with self._lock:  # once more, now that whoever calls waits until we rest
                return self._take_or_rest(rest)
        if self._resting and not self._is_waking and self._waiting():
            with self._lock:
                self._wake_one()
        return item

    def _take_or_rest(self, rest: Rest) -> tuple[S, Callable[[S], Any]] | None:
        """With the lock held: the next, or be among those who rest."""
        item = None
        try:
            if not self._is_closed:
                item = self._feed()
        except BaseException as error:
            self._say(error)
        if item is None:
            self._resting.append(rest)
        elif self._waiting():
            self._wake_one()
        return item

    def _say(self, error: BaseException) -> None:
        text = "a thread could not take its next job; it goes on with the next call"
        self._saying.say(logging.ERROR, type(error).__name__, text, error=error)

    def _collect(self) -> None:
        self._is_collecting = False  # first: what ends from here on is told again
        finished = self._finished
        ended = [finished.popleft() for _ in range(len(finished))]
        if ended:
            self._done(ended)
