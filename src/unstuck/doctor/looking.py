"""How the doctor asks: through a lane, each check with an end, so that no question holds up the answer.

A plan that has not answered when the time of its check is over is cut off where it stands, and the check is
*unfinished*: that is said, and is not fine. Everything asked is a plan that reads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from unstuck.model.errors import StoreUnavailable
from unstuck.model.invariant import Bounds
from unstuck.rules.bounding import bounds_of
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Lane, Plan
from unstuck.storage.protocol import HolderLimits, Store, Survey

R = TypeVar("R")


class OutOfTime(Exception):
    """The check did not end in its time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on something is worth a word. Durations in seconds.

    `whole` is for everything, `check` for one ordinary check, `scan` for one walk through a table or a file, and
    `portion` is how many rows one statement of a walk reads.
    """

    whole: float = 28.0
    check: float = 5.0
    scan: float = 20.0
    portion: int = 10_000
    clock: float = 2.0
    dead_rows: int = 100_000
    unvacuumed: float = 600.0
    holders: HolderLimits = field(default_factory=HolderLimits)


@dataclass
class Looking:
    """One examination under way."""

    keeper: Keeper
    lane: Lane
    limits: Limits
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    until: float = 0.0
    _survey: Survey | None = None

    @property
    def store(self) -> Store:
        """The promises of the store that is looked at."""
        return self.keeper.store

    async def ask(self, plan: Plan[R]) -> R:
        """The answer of a plan. Raises OutOfTime where the time of the check is over first."""
        left = self.until - self.clock()
        if left <= 0:
            raise OutOfTime
        try:
            return await self.lane.run(plan, left)
        except StoreUnavailable:
            if self.clock() >= self.until:
                raise OutOfTime from None
            raise

    async def route(self) -> str:
        """How the store is reached. Raises OutOfTime."""
        left = self.until - self.clock()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(max(0.0, left)):
                return await loop.run_in_executor(None, self.keeper.route)
        except TimeoutError:
            raise OutOfTime from None

    async def survey(self) -> Survey:
        """Workers, heads of queues and notices, asked once."""
        if self._survey is None:
            self._survey = await self.ask(self.store.survey())
        return self._survey

    async def bounds(self) -> Bounds:
        """R as the living workers' own leases and settings make it."""
        return bounds_of((await self.survey()).workers)
