"""Identities: UUIDv7, so that ids sort by the moment they were made and index pages stay warm."""

from __future__ import annotations

import os
import time
from uuid import UUID


def uuid7(unix_ms: int | None = None, random_bytes: bytes | None = None) -> UUID:
    """A UUIDv7 (RFC 9562) of this millisecond; both parts can be given, for tests and simulations."""
    ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    chance = int.from_bytes(os.urandom(10) if random_bytes is None else random_bytes[:10], "big")
    high = (ms & 0xFFFF_FFFF_FFFF) << 80
    return UUID(int=high | 0x7 << 76 | (chance >> 68) << 64 | 0x2 << 62 | (chance & 0x3FFF_FFFF_FFFF_FFFF))
