"""Deleting what retention allows, a thousand at a time, on while full."""

from __future__ import annotations

from unstuck.engine.env import Env
from unstuck.rules.pausing import PRUNE_EVERY
from unstuck.rules.settings import Settings
from unstuck.storage.plan import Lane
from unstuck.storage.protocol import Store

PRUNE_MAX = 1000


class Pruning:
    """The pruning loop of a supervisor or of a worker alone; any number of them may run at once."""

    def __init__(self, store: Store, lane: Lane, settings: Settings, env: Env):
        self._store = store
        self._lane = lane
        self._settings = settings
        self._env = env

    async def round(self) -> float:
        """Delete one portion; answers 0 while there is more."""
        pruned = await self._lane.run(self._store.prune(PRUNE_MAX), self._settings.deadline)
        return 0.05 if pruned >= PRUNE_MAX else PRUNE_EVERY * self._env.dice.uniform(0.9, 1.1)
