"""An ear of one simulated process: hints arrive as late and as often as the weather wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tests.simulation.loop import SimulatedLoop


class SimulatedEar:
    """Hears what the world says to its process."""

    is_proved = True

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self._heard: list[frozenset[str]] = []
        self._waiting: Any = None
        self.is_open = True

    def hear(self, queues: frozenset[str]) -> None:
        """A hint arrives."""
        self._heard.append(queues)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def __aiter__(self) -> AsyncIterator[frozenset[str]]:
        while self.is_open:
            while self._heard:
                yield self._heard.pop(0)
            self._waiting = self._loop.create_future()
            await self._waiting

    async def aclose(self) -> None:
        self.is_open = False
