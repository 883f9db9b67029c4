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
from collections.abc import Callable
from itertools import islice
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
        first = self._taken(count)
        ends, numbers = iter(chances(count)), list[int]()
        for start in range(first & ~0xFFF, first + count, 0x1000):  # a millisecond each
            low, high = max(first, start), min(first + count, start + 0x1000)
            lead = (start >> 12) << 80 | 0x7 << 76 | 0b10 << 62
            begins = range(lead | (low & 0xFFF) << 64, lead + ((high - start) << 64), 1 << 64)
            numbers += [begin | end for begin, end in zip(begins, islice(ends, high - low), strict=True)]
        return uuids_of(numbers)

    def _taken(self, count: int) -> int:
        """The first of so many quarters of a microsecond that nobody else has."""
        ns = self._clock()
        # Milliseconds, then 12 bits of the fraction (RFC 9562, method 3): about a quarter of a microsecond.
        tick = (ns // 1_000_000) << 12 | (ns % 1_000_000) * 4096 // 1_000_000
        with self._lock:
            first = max(tick, self._last + 1)
            self._last = first + count - 1
        return first


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
