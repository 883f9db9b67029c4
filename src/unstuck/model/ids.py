"""Identities: UUIDv7, so that ids sort by the moment they were made and index pages stay warm.

One is drawn for every job and one for every ending, so chance is taken from the system for 256 of them at
once (a system call for each was most of their price) and objects are made without the constructor that
asks what it was given. A forked child forgets what its parent had drawn: no two processes share chance.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from struct import Struct, unpack
from uuid import UUID, SafeUUID

_AT_ONCE = 256
_WORDS = Struct(f"={_AT_ONCE}Q{_AT_ONCE}H")
_SAYS_7 = 0x7 << 76 | 0x2 << 62
"""Version and variant, where an id has them."""
_END = 0x3FFF_FFFF_FFFF_FFFF

_chances: list[int] = []
"""The lower 80 bits of ids, each given away once: `list.pop` takes one in a single step, whatever threads do."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_chances.clear)

_new: Callable[[type[UUID]], UUID] = object.__new__
_set_int: Callable[[UUID, int], None] = UUID.__dict__["int"].__set__
_set_is_safe: Callable[[UUID, SafeUUID], None] = UUID.__dict__["is_safe"].__set__
_UNKNOWN = SafeUUID.unknown


def uuid_of(number: int) -> UUID:
    """The UUID of a number of 128 bits, which is not checked; a third of the price of `UUID(int=…)`."""
    made = _new(UUID)
    _set_int(made, number)
    _set_is_safe(made, _UNKNOWN)
    return made


def uuids_of(numbers: Sequence[int]) -> list[UUID]:
    """The same of many, at a third of the price again: no step of the interpreter is made for a single one."""
    made: list[UUID] = list(map(_new, repeat(UUID, len(numbers))))
    deque(map(_set_int, made, numbers), 0)
    deque(map(_set_is_safe, made, repeat(_UNKNOWN)), 0)
    return made


def uuid7(unix_ms: int | None = None, random_bytes: bytes | None = None) -> UUID:
    """A UUIDv7 (RFC 9562) of this millisecond; both parts can be given, for tests and simulations."""
    ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    if random_bytes is not None:
        given = int.from_bytes(random_bytes[:10], "big")
        lower = _SAYS_7 | (given >> 68) << 64 | (given & 0x3FFF_FFFF_FFFF_FFFF)
    else:
        try:
            lower = _chances.pop()
        except IndexError:
            lower = _drawn()
    return uuid_of((ms & 0xFFFF_FFFF_FFFF) << 80 | lower)


def uuids7(count: int) -> list[UUID]:
    """So many of this millisecond, for a quarter of the price each."""
    over = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80 | _SAYS_7
    words = unpack(f"={count}Q{count}H", os.urandom(10 * count))
    return uuids_of(
        [
            over | (short & 0xFFF) << 64 | (long & _END)
            for long, short in zip(words[:count], words[count:], strict=True)
        ]
    )


def _drawn() -> int:
    while True:
        words = _WORDS.unpack(os.urandom(_WORDS.size))
        _chances.extend(
            [
                _SAYS_7 | (short & 0xFFF) << 64 | (long & 0x3FFF_FFFF_FFFF_FFFF)
                for long, short in zip(words[:_AT_ONCE], words[_AT_ONCE:], strict=True)
            ]
        )
        try:
            return _chances.pop()
        except IndexError:
            continue  # other threads have taken them all


def chances(count: int) -> list[int]:
    """So many of what `chance` gives, from the system in one step."""
    return [word & _END for word in unpack(f"={count}Q", os.urandom(8 * count))]


def chance() -> int:
    """62 bits of chance, as the end of an id holds them."""
    try:
        drawn = _chances.pop()
    except IndexError:
        drawn = _drawn()
    return drawn & _END
