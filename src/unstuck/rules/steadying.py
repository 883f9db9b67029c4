"""When may a sweeper trust what it sees? After a full lease of steady answers.

A stalled store, a stepped clock, a suspended laptop and a write lock held too long all look alike to a
sweeper that wakes up: every lease seems over at once. So a sweeper declares workers lost only after it
has itself seen, over one full lease of its own monotonic clock, answers no further apart than a third
of the lease, in which the store's clock and its own advanced alike (within a sixth of the lease). Any
break restarts the wait, and living workers renew first.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Steadiness:
    """Watches pairs of (own monotonic seconds, store's seconds) and says how long they were steady."""

    lease: float
    _since: tuple[float, float] | None = None
    _last: tuple[float, float] | None = None
    _stall: tuple[float, float] | None = None

    def saw(self, own: float, store: float) -> None:
        """An answer arrived at `own` carrying the store's clock `store`; both in seconds."""
        if self._last is None or self._since is None or self._broke(own, store):
            self._since = (own, store)
        if self._last is not None and own - self._last[0] > self.lease / 2:
            self._stall = (own, own - self._last[0])
        self._last = (own, store)

    def last_stall(self) -> tuple[float, float] | None:
        """When the store last answered after more than half a lease of silence, and how long that was."""
        return self._stall

    @property
    def seen_us(self) -> int:
        """The store's clock in microseconds, as the last answer carried it; 0 before any."""
        return 0 if self._last is None else int(self._last[1] * 1_000_000)

    def is_steady(self, own: float) -> bool:
        """Whether the last full lease up to `own` was steady."""
        if self._since is None or self._last is None:
            return False
        return own - self._last[0] <= self.lease / 3 and self._last[0] - self._since[0] >= self.lease

    def _broke(self, own: float, store: float) -> bool:
        assert self._last is not None and self._since is not None
        gap = own - self._last[0]
        drift_now = (store - self._last[1]) - gap
        drift_all = (store - self._since[1]) - (own - self._since[0])
        limit = self.lease / 6
        return gap > self.lease / 3 or gap < 0 or abs(drift_now) > limit or abs(drift_all) > limit
