"""The seams: time, chance, identity and threads, given to the engine and never taken from the air.

Durations inside a process are measured by CLOCK_BOOTTIME, which goes on while a laptop sleeps, so that a
worker wakes up knowing that its lease is over. Waiting itself goes through the running event loop, which
the simulator replaces.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from uuid import UUID

from unstuck.model.ids import uuid7, uuids7

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)

# Asked three times per job, so it is no function of ours: a step of the interpreter costs more than the clock.
boottime: Callable[[], float] = (
    time.monotonic if _BOOTTIME is None else partial(time.clock_gettime, _BOOTTIME)
)
"""Seconds since the machine booted, sleep included; monotonic time where there is no such clock."""


class Rest(Protocol):
    """A lock by which one thread waits until another lets it go on."""

    def acquire(self) -> bool: ...
    def release(self) -> None: ...


def start_daemon(work: Callable[[], object], name: str) -> None:
    """Start a thread that does not keep its process alive. Raises RuntimeError where the system gives none."""
    threading.Thread(target=work, name=name, daemon=True).start()


STRIDE = 10_000
"""Of entries that a claim passes over: 3 to 5 ms."""


@dataclass(frozen=True, slots=True)
class Env:
    """What one process of the engine knows of the world."""

    now: Callable[[], float] = boottime
    wall: Callable[[], float] = time.time
    """The calendar, in seconds since the epoch: only ever compared with the store's, for people."""
    new_id: Callable[[], UUID] = uuid7
    dice: random.Random = field(default_factory=random.Random)
    start_thread: Callable[[Callable[[], object], str], None] = start_daemon
    """Has something done in a thread of that name."""
    new_rest: Callable[[], Rest] = threading.Lock
    stride: int = STRIDE
    """How many ready jobs a claim passes over at most."""

    def new_ids(self, count: int) -> list[UUID]:
        """So many ids, as `new_id` gives them."""
        if count == 1:
            return [self.new_id()]
        return uuids7(count) if self.new_id is uuid7 else [self.new_id() for _ in range(count)]
