"""Hints: somebody enqueued. Any of them may be lost, doubled or late; polling alone meets every bound."""

from __future__ import annotations

from collections.abc import Callable

from unstuck.rules.settings import Settings
from unstuck.storage.opening import Ear


class Listening:
    """The listening loop of one worker: a hint for one of its queues causes a look."""

    def __init__(self, ear: Ear, settings: Settings, look_now: Callable[[], None]):
        self._ear = ear
        self._queues = {share.name for share in settings.queues}
        self._look_now = look_now

    async def listen(self) -> None:
        """Listen for ever."""
        async for names in self._ear:
            if not names or self._queues.intersection(names):
                self._look_now()
