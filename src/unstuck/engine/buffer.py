"""Claimed and not started: one line per kind of place, so that a full kind never stands in another's way.

The loop fills the lines and looks through them; threads that have done with a job take their next one from here
themselves. So whatever takes out is done with `lock` held: a job is taken once, and whoever asks in between whose it
is finds it either here or, where the taker has put it before it lets go of the lock, among what runs.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from unstuck.engine.handler import Kind
from unstuck.model.job import ClaimedJob


class Held(NamedTuple):
    """A claimed job that has not started: under which withdrawal number it was claimed, and when."""

    job: ClaimedJob
    withdrawn: int
    claimed_at: float
    kind: Kind


class Buffer:
    """What a worker holds and has not started, in order of the line within each kind."""

    def __init__(self) -> None:
        self._lines: dict[Kind, deque[Held]] = {kind: deque() for kind in Kind}
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[Held]:
        for kind in self._lines:
            yield from self.of(kind)

    def count(self, kind: Kind) -> int:
        """How many wait for this kind of place."""
        return len(self._lines[kind])

    def of(self, kind: Kind) -> Sequence[Held]:
        """Those that wait for this kind of place now."""
        return list(self._lines[kind])

    def put(self, held: Held) -> None:
        """Last in its line."""
        self._lines[held.kind].append(held)

    def put_back(self, held: Held) -> None:
        """First in its line again."""
        with self.lock:
            self._lines[held.kind].appendleft(held)

    def take(self, kind: Kind, count: int) -> list[Held]:
        """The first so many that wait for this kind of place."""
        with self.lock:
            line = self._lines[kind]
            return [line.popleft() for _ in range(min(count, len(line)))]

    def first(self, kind: Kind) -> Held | None:
        """Who is first in this line, and stays so while the lock is held."""
        line = self._lines[kind]
        return line[0] if line else None

    def line(self, kind: Kind) -> deque[Held]:
        """Those that wait for this kind of place, in order, as long as the lock is held: who takes out the first owns it."""
        return self._lines[kind]

    def take_where(self, is_meant: Callable[[Held], bool]) -> list[Held]:
        """Take out all that are meant."""
        taken: list[Held] = []
        with self.lock:
            for kind, line in self._lines.items():
                meant = [held for held in line if is_meant(held)]
                if meant:
                    taken += meant
                    self._lines[kind] = deque(held for held in line if not is_meant(held))
        return taken
