"""Hints: somebody enqueued. Any of them may be lost, doubled or late; polling alone meets every bound.

A hint without a name says only that something was written, by this worker itself perhaps: under load each of its own
commits is one. While there is work in sight, all that such a hint could bring is something more urgent; so the next one
is heard when that is over, or after a short while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from unstuck.rules.settings import Settings
from unstuck.storage.opening import Ear

DEAF_SECONDS = 0.05
"""How long hints without a name may wait while there is work in sight: a tenth of what a poll takes on average."""


class Listening:
    """The listening loop of one worker: a hint for one of its queues causes a claim, which `expect` sees to, and then
    a look; one without a name a look.

    `busy` rests for so many seconds, or as long as there is work in sight.
    """

    def __init__(
        self,
        ear: Ear,
        settings: Settings,
        look_now: Callable[[], None],
        expect: Callable[[str], None],
        busy: Callable[[float], Awaitable[None]],
    ):
        self._ear = ear
        self._queues = {share.name for share in settings.queues}
        self._look_now = look_now
        self._expect = expect
        self._busy = busy

    async def listen(self) -> None:
        """Listen for ever."""
        async for names in self._ear:
            ours = self._queues.intersection(names)
            for name in sorted(ours):
                self._expect(name)
            if not names:
                self._look_now()
                await self._busy(DEAF_SECONDS)
