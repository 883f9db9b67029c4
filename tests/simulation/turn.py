"""Whose turn it is on a lane: one plan at a time, as on a real connection.

Next to every plan finds its lane free, and a lock that is awaited costs a coroutine each time. So the
commonest case, that nobody has it, is one call here; everything else is the lock of asyncio, which lets those
who wait go in the order in which they came, and copes with those who are cancelled while they wait.
"""

from __future__ import annotations

import asyncio


class Turn(asyncio.Lock):
    """A lock whose commonest case, that nobody has it, is one call."""

    def take(self) -> bool:
        """Have it, if nobody else has it or waits for it."""
        if self._locked or self._waiters:
            return False
        self._locked = True
        return True

    async def wait(self) -> None:
        """Have it when all others had it."""
        await self.acquire()

    def leave(self) -> None:
        """Give it on."""
        self._locked = False
        if self._waiters:
            self._wake_up_first()
