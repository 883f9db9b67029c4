"""A process that enqueues, cancels and reads during the storm, and insists until it is told that it was done.

Every request is one line of its log before it is sent (`invoke`) and one after each answer: `ok`, `unknown`
(an error of the store: it may have happened or not, and is asked again with the same ids) or `refused` (any
other error, which is a bug of somebody). It may be killed at any moment: what it had invoked stays unknown.
When its standard input ends it begins nothing new, finishes what it began, and leaves with 0.

It is started as `python -m tests.chaos.clients NAME SEED LOG RATE LEASE`, with the store in $UNSTUCK_URL.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from tests.chaos import effects, tasks
from tests.chaos.drawing import Drawing, Wish
from tests.chaos.history import ROLLED_BACK
from unstuck.engine.env import boottime
from unstuck.model.errors import JobNotFound, StoreError

R = TypeVar("R")

THREADS = 3
WATCHED = 5
"""Jobs that a thread reads again and again, until it has seen their end some times."""
SEEN_ENOUGH = 0.2
"""How likely a thread has seen enough of a job with each look at its end."""

MANY = (5, 40)
KINDS = {
    "enqueue": 50.0,
    "aenqueue": 10.0,
    "enqueue_many": 3.0,
    "enqueue_tx": 6.0,
    "enqueue_rolled_back": 3.0,
    "cancel": 5.0,
    "read": 25.0,
}
"""How often a client does what, by weight."""

PAUSE = 0.2
GIVES_UP = 180.0
"""Seconds after its input ended in which a client must have been told everything."""


class RolledBack(Exception):
    """Raised inside a transaction so that it does not commit."""


class Caller:
    """One thread of the client."""

    def __init__(
        self,
        name: str,
        seed: str,
        log: int,
        rate: float,
        lease: float,
        stop: threading.Event,
        known: deque[UUID],
    ):
        self.name = name
        self.drawing = Drawing(seed, lease)
        self.dice = self.drawing.dice
        self.rate = rate
        self.stop = stop
        self._log = log
        self._calls = 0
        self._loop = asyncio.new_event_loop()
        self._recent: list[UUID] = []
        self._known = known
        self._watched: list[UUID] = []

    def run(self) -> None:
        """Call until told to stop; at the rate, unless the store is slower."""
        due = boottime()
        while not self.stop.is_set():
            (kind,) = self.dice.choices(list(KINDS), list(KINDS.values()))
            jobs = self._call(kind)
            # What an outage kept from being done is not made up for: the load is bounded, not owed.
            due = max(due + jobs / self.rate, boottime() - 1.0)
            self.stop.wait(max(0.0, due - boottime()))

    def _call(self, kind: str) -> int:
        match kind:
            case "enqueue":
                return self._enqueue(kind, [self.drawing.wish()], lambda wishes: wishes[0].send())
            case "aenqueue":
                return self._enqueue(
                    kind,
                    [self.drawing.wish()],
                    lambda wishes: self._loop.run_until_complete(wishes[0].asend()),
                )
            case "enqueue_many":
                wishes = [self.drawing.wish() for _ in range(self.dice.randint(*MANY))]
                return self._enqueue(
                    kind, wishes, lambda wishes: tasks.app.enqueue_many([wish.spec for wish in wishes])
                )
            case "enqueue_tx":
                wishes = [self.drawing.wish() for _ in range(2)]
                return self._enqueue(kind, wishes, lambda wishes: inside(wishes, commits=True))
            case "enqueue_rolled_back":
                wishes = [self.drawing.wish() for _ in range(2)]
                return self._enqueue(kind, wishes, lambda wishes: inside(wishes, commits=False))
            case "cancel":
                return self._cancel()
            case _:
                return self._read()

    def _enqueue(self, kind: str, wishes: list[Wish], send: Callable[[list[Wish]], object]) -> int:
        self._insist(kind, {"jobs": [wish.facts for wish in wishes]}, lambda: bool(send(wishes)) and None)
        self._recent = [*self._recent, *(wish.id for wish in wishes)][-200:]
        if kind != ROLLED_BACK:
            self._known.extend(wish.id for wish in wishes)
        return len(wishes)

    def _cancel(self) -> int:
        if not self._recent:
            return 1
        job_id = self.dice.choice(self._recent[-50:])

        def cancel() -> bool | None:
            try:
                return tasks.app.job(job_id).cancel()
            except JobNotFound:
                return None

        self._insist("cancel", {"id": str(job_id)}, cancel)
        return 1

    def _read(self) -> int:
        known = list(self._known)
        if known and len(self._watched) < WATCHED:
            self._watched.append(self.dice.choice(known))
        if not self._watched:
            return 1
        job_id = self.dice.choice(self._watched)

        def read() -> dict[str, Any] | None:
            try:
                snapshot = tasks.app.job(job_id).snapshot
            except JobNotFound:
                self._watched.remove(job_id)
                return None
            assert snapshot is not None
            if snapshot.is_final and self.dice.random() < SEEN_ENOUGH:
                self._watched.remove(job_id)
            return {"state": str(snapshot.state), "generation": snapshot.generation}

        self._insist("read", {"id": str(job_id)}, read)
        return 0

    def _insist(self, kind: str, facts: dict[str, Any], send: Callable[[], R]) -> None:
        self._calls += 1
        call = f"{self.name}-{self._calls}"
        self._say(call, kind, "invoke", **facts)
        while True:
            try:
                answer = send()
            except (StoreError, psycopg.Error, sqlite3.Error) as error:
                self._say(call, kind, "unknown", error=f"{type(error).__name__}: {error}")
                time.sleep(PAUSE)
            except Exception as error:
                self._say(call, kind, "refused", error=f"{type(error).__name__}: {error}")
                raise
            else:
                return self._say(call, kind, "ok", answer=answer)

    def _say(self, call: str, kind: str, what: str, **more: Any) -> None:
        line = {"call": call, "kind": kind, "what": what, "at": boottime(), "wall": time.time(), **more}
        os.write(self._log, json.dumps(line).encode() + b"\n")


def inside(wishes: list[Wish], *, commits: bool) -> None:
    """Enqueue in a transaction of our own."""
    with suppress(RolledBack), effects.transaction(tasks.app.url) as tx:
        tasks.app.enqueue_many([wish.spec for wish in wishes], tx=tx)
        if not commits:
            raise RolledBack


def main(name: str, seed: str, log: str, rate: str, lease: str) -> int:
    stop = threading.Event()
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    known: deque[UUID] = deque(maxlen=3 * WATCHED)
    callers = [
        Caller(
            f"{name}.{number}",
            f"{seed}:{name}.{number}",
            descriptor,
            float(rate) / THREADS,
            float(lease),
            stop,
            known,
        )
        for number in range(THREADS)
    ]
    threads = [threading.Thread(target=caller.run, daemon=True) for caller in callers]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    until = boottime() + GIVES_UP
    for thread in threads:
        thread.join(max(0.1, until - boottime()))
    late = [thread for thread in threads if thread.is_alive()]
    tasks.app.close()
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
