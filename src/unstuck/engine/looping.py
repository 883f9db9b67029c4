"""Every loop is watched: a loop that ends, fails or hears nothing from the store is started again.

A loop is a coroutine function that does one round and answers how long to wait before the next, or
returns at once where it waits for an event of its own. Nobody may die in silence: an exception is logged
once per kind and minute, the round is repeated after a pause that grows to the poll, and the time of the
last good round stands on the page, where health reads it. A loop that fails for ten leases although the store
takes what others write is *stuck*: its process leaves with that reason, because a new one may do better. While
the store is merely away, nobody leaves. `waiting` is a loop's own event: setting it
ends the pause early. A round that takes longer than the lease is cancelled and begun again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from unstuck.engine.env import Env
from unstuck.engine.page import Page
from unstuck.engine.patience import Bell, Patience
from unstuck.engine.saying import Saying
from unstuck.model.errors import StoreError, StoreUnavailable

Round = Callable[[], Awaitable[float]]

STUCK_LEASES = 10
"""For how many leases a loop may fail, while the store is there, before its process leaves."""


class Loop:
    """One watched loop: `round` answers the seconds until the next one."""

    def __init__(self, name: str, round: Round, env: Env, page: Page, patience: float, pause_max: float):
        self.name = name
        self._round = round
        self._env = env
        self.page = page
        self._patience = patience
        self._pause_max = pause_max
        self._wake = Bell()
        self._saying = Saying(env.now)
        self._failures = 0
        self._failing_since: float | None = None
        self._failed_at = 0.0
        self._error: Exception | None = None

    def wake(self) -> None:
        """Begin the next round now."""
        self._wake.ring()

    async def run(self) -> None:
        """Go on for ever; ends only by cancellation."""
        patience = Patience(self._patience)
        try:
            while True:
                await self._go_round(patience)
        finally:
            patience.close()

    async def _go_round(self, patience: Patience) -> None:
        self.page.loop_began(self.name, self._env.now())
        try:
            with patience:
                pause = await self._round()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            pause = self._failed(error)
        else:
            self._failures, self._failing_since = 0, None
            self.page.loop_succeeded(self.name, self._env.now())
        if pause > 0:
            await self._wake.rest(pause)
        else:
            self._wake.hush()

    @property
    def is_failing(self) -> bool:
        """Whether its last round failed."""
        return self._failing_since is not None

    def why_stuck(self, written_at: float) -> str | None:
        """Why the process should leave because of this loop, if it should.

        `written_at` is when the store last took a write of this process or for it, by the clock of `env`: where
        that is longer ago than a lease, an error that speaks of the store says nothing about the loop.
        """
        if self._failing_since is None or self._error is None:
            return None
        now = self._env.now()
        seconds = now - self._failing_since
        is_stores_fault = isinstance(self._error, StoreError | TimeoutError)
        if seconds <= STUCK_LEASES * self._patience or (
            is_stores_fault and now - written_at > self._patience
        ):
            return None
        what = f"{type(self._error).__name__}: {self._error}"
        return f"the loop {self.name} has failed for {seconds:.0f} s although the store takes writes ({what})"

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        self._error = error
        now = self._env.now()
        # A process that stood still for longer than any round and rest has not failed all that time.
        if self._failing_since is None or now - self._failed_at > 2 * (self._patience + self._pause_max):
            self._failing_since = now
        self._failed_at = now
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
