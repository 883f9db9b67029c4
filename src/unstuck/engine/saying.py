"""What fails again and again is said once a minute and kind, not at each repetition.

Whoever tries again for as long as an outage lasts would fill a disk with one sentence, and bury the others
in it. So the first of a kind is said at once, and the next one a minute later at the earliest, with the
number of those that were passed over. A kind is a short name chosen by the speaker (what was tried, and
the type of the error): never a job's id, so that the number of kinds stays small and a hundred bad rows
are one line. Nothing else depends on what is said here: counts and pages tell what goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger("unstuck.engine")

SAY_EVERY = 60.0
"""Seconds between two lines of one kind."""


class Saying:
    """One speaker's failures; `now` is the clock of its process."""

    def __init__(self, now: Callable[[], float]):
        self._now = now
        self._said: dict[str, float] = {}
        self._passed_over: dict[str, int] = {}

    def say(
        self, level: int, kind: str, text: str, *args: object, error: BaseException | None = None
    ) -> None:
        """Log this, unless the same kind was logged less than a minute ago. `error` adds its traceback."""
        now = self._now()
        if kind in self._said and now - self._said[kind] < SAY_EVERY:
            self._passed_over[kind] = self._passed_over.get(kind, 0) + 1
            return
        self._said[kind] = now
        passed_over = self._passed_over.pop(kind, 0)
        if passed_over:
            text, args = f"{text}; %d more like it since the last such line", (*args, passed_over)
        log.log(level, text, *args, exc_info=error)
