"""One message on its way to the store, and what can become of it.

A message is a statement, the beginning of a transaction or its end. Its fate is drawn when it is sent, so that it
does not depend on what happens meanwhile; whether its sender hears of it is another matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.lane import Wire


class Fate(Enum):
    """What becomes of one message."""

    FINE = "fine"
    LOST = "lost before it was sent"
    LOST_UNSURE = "lost before it was applied"
    UNANSWERED = "applied, but its answer was lost"
    CONFLICT = "refused with a conflict"
    VANISHED = "vanished without a word"
    SILENT = "applied without a word"


FINE, CONFLICT = Fate.FINE, Fate.CONFLICT


class Message:
    """One request under way: what it does there, what becomes of it, and who waits for its answer."""

    __slots__ = ("act", "back", "fate", "future", "is_write", "sent", "waits_since", "wire", "words")

    def __init__(
        self,
        wire: Wire,
        words: str,
        act: Callable[[], Any],
        is_write: bool,
        fate: Fate,
        back: float,
        future: asyncio.Future[Any],
        sent: float,
    ):
        self.wire = wire
        self.words = words
        self.act = act
        self.is_write = is_write
        self.fate = fate
        self.back = back
        self.future = future
        self.sent = sent
        self.waits_since = 0.0
