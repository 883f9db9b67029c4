"""Every loop is watched: a loop that ends, fails or hears nothing from the store is started again.

A loop is a coroutine function that does one round and answers how long to wait before the next, or
returns at once where it waits for an event of its own. Nobody may die in silence: an exception is logged
once per kind and minute, the round is repeated after a pause that grows to the poll, and the time of the
last good round stands on the page, where health reads it. `waiting` is a loop's own event: setting it
ends the pause early. A round that takes longer than the lease is cancelled and begun again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from unstuck.engine.env import Env
from unstuck.engine.page import Page
from unstuck.engine.saying import Saying
from unstuck.model.errors import StoreUnavailable

Round = Callable[[], Awaitable[float]]


class Loop:
    """One watched loop: `round` answers the seconds until the next one."""

    def __init__(self, name: str, round: Round, env: Env, page: Page, patience: float, pause_max: float):
        self.name = name
        self._round = round
        self._env = env
        self.page = page
        self._patience = patience
        self._pause_max = pause_max
        self._wake = asyncio.Event()
        self._saying = Saying(env.now)
        self._failures = 0

    def wake(self) -> None:
        """Begin the next round now."""
        self._wake.set()

    async def run(self) -> None:
        """Go on for ever; ends only by cancellation."""
        while True:
            try:
                async with asyncio.timeout(self._patience):
                    pause = await self._round()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                pause = self._failed(error)
            else:
                self._failures = 0
                self.page.loop_succeeded(self.name, self._env.now())
            if pause > 0:
                alarm = asyncio.get_running_loop().call_later(pause, self._wake.set)
                try:
                    await self._wake.wait()
                finally:
                    alarm.cancel()
            self._wake.clear()

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        kind, say = type(error).__name__, self._saying.say
        what = f"{kind}: {error}"
        if isinstance(error, StoreUnavailable | TimeoutError):
            say(
                logging.WARNING,
                kind,
                "%s: the store does not answer (%s); trying again",
                self.name,
                what,
            )
        else:
            say(logging.ERROR, kind, "%s failed (%s); trying again", self.name, what, error=error)
        return min(self._pause_max, 0.05 * 2.0 ** min(self._failures, 10)) * self._env.dice.uniform(0.5, 1.0)
