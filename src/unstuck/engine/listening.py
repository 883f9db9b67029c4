"""Hints: somebody enqueued. Any of them may be lost, doubled or late; polling alone meets every bound."""

from __future__ import annotations

from collections.abc import Callable

from unstuck.rules.settings import Settings
from unstuck.storage.opening import Ear


class Listening:
    """The listening loop of one worker: a hint for one of its queues causes a claim, and then a look."""

    def __init__(
        self, ear: Ear, settings: Settings, look_now: Callable[[], None], expect: Callable[[str], None]
    ):
        self._ear = ear
        self._queues = {share.name for share in settings.queues}
        self._look_now = look_now
        self._expect = expect

    async def listen(self) -> None:
        """Listen for ever."""
        async for names in self._ear:
            ours = self._queues.intersection(names)
            for name in sorted(ours):
                self._expect(name)
            if ours or not names:
                self._look_now()
