"""One claim that was answered: what it asked for, and what it brought.

A claim that brings less than it asked for has come to an end: of its stride, if it was told where to stop, or of the
queue. The two must not be confused: behind a stride others stand ready, and a course is dry only where a queue ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unstuck.engine.demand import Course
from unstuck.engine.strides import Errand
from unstuck.model.job import ClaimedJob
from unstuck.storage.protocol import Cursor


class Answer(NamedTuple):
    """See the essay above. Moments are the engine's, in seconds."""

    course: Course
    errand: Errand | None
    after: Cursor | None
    until: Cursor | None
    limit: int
    began: float
    now: float
    took: float
    """Seconds, without the wait for what was asked before on the same lane."""
    jobs: Sequence[ClaimedJob]

    @property
    def is_short(self) -> bool:
        """Whether it brought less than it asked for: it came to the end of its stride, or of the queue."""
        return len(self.jobs) < self.limit

    @property
    def is_over(self) -> bool:
        """Whether it came to the end of its stride."""
        return self.is_short and self.until is not None

    @property
    def is_end(self) -> bool:
        """Whether it came to the end of the queue."""
        return self.is_short and self.until is None

    @property
    def last(self) -> Cursor | None:
        """How far it came."""
        if self.is_over:
            return self.until
        return Cursor(self.jobs[-1].line, self.jobs[-1].id) if self.jobs else self.after
