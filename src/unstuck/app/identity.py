"""Identity: a job's id is made by whoever asks for it, before the store hears of it.

That is what makes an enqueue safe to repeat: if the answer to the COMMIT was lost, the same id is sent
again, and the primary key decides. Ids are UUIDv7 (RFC 9562): 48 bits of milliseconds, then a counter
that rises within a millisecond, then chance. So they sort by creation, inserts stay at the right edge of
the index, and two threads of a process never make the same one. A text given as `id=` becomes a UUIDv5
in a namespace of our own: the same text is the same job, everywhere, for ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import overload
from uuid import UUID, uuid5

from unstuck.model.errors import BadArguments
from unstuck.model.ids import chance, chances, uuid_of, uuids_of

NAMESPACE = UUID("6f9a1f0e-5d0b-5c38-9f2a-75e4c1d0a7b2")
"""Never change it: texts would name other jobs."""

TEXT_MAX = 1024


class Ids:
    """Makes UUIDv7s that rise. `clock` answers nanoseconds since the epoch, `dice` n random bytes; without
    dice chance is drawn for many ids at once."""

    def __init__(self, clock: Callable[[], int] = time.time_ns, dice: Callable[[int], bytes] | None = None):
        self._clock = clock
        self._dice = dice
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self) -> UUID:
        tick = self._taken(1)
        dice = self._dice
        end = chance() if dice is None else int.from_bytes(dice(8), "big") & ((1 << 62) - 1)
        return uuid_of((tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | end)

    def many(self, count: int) -> list[UUID]:
        """So many ids, in order; a tenth of the price of as many calls."""
        if self._dice is not None:
            return [self() for _ in range(count)]
        return _drawn(self._taken(count), count)

    def later(self, count: int) -> Sequence[UUID]:
        """The same ids, each made when somebody first asks for it or for one behind it."""
        return self.many(count) if self._dice is not None else _Later(self._taken(count), count)

    def _taken(self, count: int) -> int:
        """The first of so many quarters of a microsecond that nobody else has."""
        ns = self._clock()
        # Milliseconds, then 12 bits of the fraction (RFC 9562, method 3): about a quarter of a microsecond.
        tick = (ns // 1_000_000) << 12 | (ns % 1_000_000) * 4096 // 1_000_000
        with self._lock:
            first = max(tick, self._last + 1)
            self._last = first + count - 1
        return first


class _Later(Sequence[UUID]):
    """Ids of ticks that are taken already. Used by one thread at a time."""

    __slots__ = ("_count", "_first", "_made")

    def __init__(self, first: int, count: int):
        self._first = first
        self._count = count
        self._made: list[UUID] = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[UUID]:
        return iter(self._until(self._count))

    @overload
    def __getitem__(self, at: int) -> UUID: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[UUID]: ...
    def __getitem__(self, at: int | slice) -> UUID | Sequence[UUID]:
        if isinstance(at, slice):
            start, stop, step = at.indices(self._count)
            return self._until(stop if step == 1 else self._count)[start : stop if stop >= 0 else None : step]
        return self._until(self._count if at < 0 else at + 1)[at]

    def _until(self, end: int) -> list[UUID]:
        made = self._made
        if (have := len(made)) < (end := min(end, self._count)):
            made += _drawn(self._first + have, end - have)
        return made


def _drawn(first: int, count: int) -> list[UUID]:
    """The ids of so many ticks."""
    ends, numbers = iter(chances(count)), list[int]()
    for start in range(first & ~0xFFF, first + count, 0x1000):  # a millisecond each
        low, high = max(first, start), min(first + count, start + 0x1000)
        lead = (start >> 12) << 80 | 0x7 << 76 | 0b10 << 62
        begins = range(lead | (low & 0xFFF) << 64, lead + ((high - start) << 64), 1 << 64)
        numbers += [begin | end for begin, end in zip(begins, islice(ends, high - low), strict=True)]
    return uuids_of(numbers)


def id_of(name: UUID | str) -> UUID:
    """The id that a UUID or a text names: the text of a UUID is that UUID, any other text is hashed.

    Raises BadArguments.
    """
    if isinstance(name, UUID):
        return name
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise BadArguments(f"id={name!r} must be a UUID or a text")
    try:
        return UUID(name)
    except ValueError:
        pass
    if not name or len(name) > TEXT_MAX:
        raise BadArguments(f"id= must have 1 to {TEXT_MAX} characters, not {len(name)}")
    try:
        return uuid5(NAMESPACE, name)
    except UnicodeEncodeError:
        raise BadArguments("id= holds a lone surrogate, which is not text") from None
