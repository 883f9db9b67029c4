"""A course that bears nothing is left fallow for a while, where it took long to find that out.

A claim asks for the tasks of one kind of place. Where a queue is long and none of its jobs is of that kind, the answer
is empty only after every entry has been walked over, and each look sends the worker there again: with 20,000
jobs waiting for coroutines, half of all claims asked in vain for plain functions, and took a third of the time that
claims took, on SQLite with the write lock held. So a course that was empty from the head of its queue is asked
again when that takes a fortieth of the time, but after a lease at the latest.

A worker that has nothing else to do, or whose other claims bring less than they ask for, asks at every look, as if there
were no such thing: what takes long then is the machine, and a job may just have come. One slow answer proves
nothing: of two the quicker counts.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

C = TypeVar("C", bound=Hashable)

SHARE = 0.025
"""Of a worker's time, spent in asking in vain."""

FREE_SECONDS = 0.003
"""What an answer may take that costs nobody anything: a round trip, and some hundreds of rows."""


class Fallow(Generic[C]):
    """What one worker has asked for in vain, by course."""

    def __init__(self, lease: float):
        self._lease = lease
        self._took: dict[C, float] = {}
        self._due_at: dict[C, float] = {}

    def was_empty(self, course: C, now: float, seconds: float) -> None:
        """So long it took to find, now, that there is nothing."""
        cost = min(seconds, self._took.get(course, 0.0))
        self._took[course] = seconds
        if cost > FREE_SECONDS:
            self._due_at[course] = now + min(cost / SHARE, self._lease)

    def was_not(self, course: C) -> None:
        """There was something."""
        self._took.pop(course, None)
        self._due_at.pop(course, None)

    def is_due(self, course: C, now: float) -> bool:
        """Whether to ask again is paid for."""
        return now >= self._due_at.get(course, now)

    def seconds_left(self, now: float) -> float:
        """After how long the first of those that are not due will be; a lease where there is none."""
        return min((at - now for at in self._due_at.values() if at > now), default=self._lease)
