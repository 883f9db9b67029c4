"""Identities: UUIDv7, so that ids sort by the moment they were made and index pages stay warm.

One is drawn for every job and one for every ending, so chance is taken from the system for 256 of them at
once (a system call for each was most of their price) and objects are made without the constructor that
asks what it was given. A forked child forgets what its parent had drawn: no two processes share chance.
"""

from __future__ import annotations

import os
import time
from uuid import UUID, SafeUUID

_AT_ONCE = 256

_chances: list[int] = []
"""Numbers of 80 bits, each given away once: `list.pop` takes one in a single step, whatever threads do."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_chances.clear)

_set = object.__setattr__
_UNKNOWN = SafeUUID.unknown


def uuid_of(number: int) -> UUID:
    """The UUID of a number of 128 bits, which is not checked; a third of the price of `UUID(int=…)`."""
    made = object.__new__(UUID)
    _set(made, "int", number)
    _set(made, "is_safe", _UNKNOWN)
    return made


def uuid7(unix_ms: int | None = None, random_bytes: bytes | None = None) -> UUID:
    """A UUIDv7 (RFC 9562) of this millisecond; both parts can be given, for tests and simulations."""
    ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    chance = _chance() if random_bytes is None else int.from_bytes(random_bytes[:10], "big")
    high = (ms & 0xFFFF_FFFF_FFFF) << 80
    return uuid_of(high | 0x7 << 76 | (chance >> 68) << 64 | 0x2 << 62 | (chance & 0x3FFF_FFFF_FFFF_FFFF))


def _chance() -> int:
    while True:
        try:
            return _chances.pop()
        except IndexError:
            drawn = os.urandom(10 * _AT_ONCE)
            _chances.extend(int.from_bytes(drawn[at : at + 10], "big") for at in range(0, len(drawn), 10))
