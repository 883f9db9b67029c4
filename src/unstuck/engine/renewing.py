"""Extending leases: one stateless conditional statement for all workers of this process.

Its failure has no memory and cannot influence the next beat. A renewal counts from the moment it was
*sent*. Whose row was not renewed has ended: it is told through its page and never asked about again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

import msgspec

from unstuck.engine.env import Env
from unstuck.engine.page import Page, Tally
from unstuck.rules.settings import Settings
from unstuck.rules.steadying import Steadiness
from unstuck.storage.plan import Lane
from unstuck.storage.protocol import Store

Roster = Callable[[], Mapping[UUID, Page]]


class Renewing:
    """The renewing loop of a supervisor, or of a worker alone; `roster` answers who lives now."""

    def __init__(
        self, store: Store, lane: Lane, roster: Roster, settings: Settings, env: Env, steadiness: Steadiness
    ):
        self._store = store
        self._lane = lane
        self._roster = roster
        self._settings = settings
        self._env = env
        self._steadiness = steadiness
        self._clock_off = 0.0
        self._told: dict[UUID, tuple[float, Tally]] = {}

    async def round(self) -> float:
        """Renew everybody once; answers the time to the next renewal."""
        sent = self._env.now()
        # Whose row is not there yet (its registration is under way) has not ended.
        pages = {id: page for id, page in self._roster().items() if page.renewed_at and not page.is_lost}
        if not pages:
            return self._settings.renew_every
        tallies = {id: page.tally() for id, page in pages.items()}
        reports = {id: self._report(page, self._recent(id, sent, tallies[id])) for id, page in pages.items()}
        plan = self._store.renew(list(pages), self._settings.lease_us, reports)
        renewed = await self._lane.run(plan, self._settings.deadline)
        self._steadiness.saw(self._env.now(), renewed.now_us / 1_000_000)
        self._clock_off = round(renewed.now_us / 1_000_000 - self._env.wall(), 1)
        self._told = {id: (sent, tally) for id, tally in tallies.items()}
        for worker_id, page in pages.items():
            if worker_id in renewed.alive:
                page.renewed(sent, self._settings.lease)
            else:
                page.lose()
        return self._settings.renew_every

    def _recent(self, worker_id: UUID, now: float, tally: Tally) -> dict[str, float]:
        """What was done since the last report that was taken, and over how many seconds."""
        since, before = self._told.get(worker_id, (now, tally))
        return {
            "seconds": round(now - since, 3),
            "started": tally.started - before.started,
            "ended": tally.ended - before.ended,
            "failed": tally.failed - before.failed,
        }

    def _report(self, page: Page, recent: dict[str, float]) -> str:
        now = self._env.now()
        loops = {name: round(now - at, 1) for name, at in page.loops().items()}
        idle = round(now - page.busy_at, 1) if page.busy_at else 0.0
        unsettled = round(now - page.unsettled_since, 1) if page.unsettled_since else 0.0
        report = {
            "free": page.free_places,
            "idle": idle,
            "unsettled": unsettled,
            "loops": loops,
            "sweep": self._settings.sweep,
            "poll": self._settings.poll,
            "timeout_grace": self._settings.timeout_grace,
            "clock_off": self._clock_off,
            "looked_back": round(page.looked_back, 3),
            "recent": recent,
        }
        return msgspec.json.encode(report).decode()
