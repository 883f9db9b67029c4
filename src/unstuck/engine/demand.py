"""How much a claim asks for: exactly the free places, and a little more where tasks are fast.

More than the free places is claimed only for tasks whose recent mean is under 50 ms: under 5 ms what can start within
half a poll, else what bridges the time until the next claim answers, as measured. So each queue and kind of place
has two courses, one for what is fast and one for the rest, which never ask for the same task.

Half of what is claimed ahead is left in hand when the next claim goes, so that no place is empty until its answer comes.
Nothing is claimed ahead while the store cannot follow with endings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unstuck.engine.executing import Executor
from unstuck.engine.handler import Kind
from unstuck.engine.shift import Shift
from unstuck.rules.settings import QueueShare

AHEAD_PORTIONS = 2
"""So many portions wait for a place at most: half of it is left when the next claim goes, so that each asks for as
many as it may, and what is left lasts until it answers."""

VERY_FAST_SECONDS = 0.005
AHEAD_SECONDS = 0.02
AHEAD_SECONDS_MAX = 0.1
AHEAD_ROUND_TRIPS = 4
"""How long what is claimed ahead of tasks from 5 to 50 ms may last: so many of our own claims' recent round trips,
within these bounds. Half of it is left when the next claim goes, so that no place is empty until it answers; and no
more, because somebody else could be running it."""

MEMORY_OF_ROUND_TRIP = 0.2
UNSETTLED_PORTIONS = 2
"""So many portions of endings that the store has not confirmed mean that it cannot follow: nothing is claimed ahead then."""


@dataclass(frozen=True, eq=False, slots=True)
class Course:
    """One kind of claim: from this queue, for this kind of place, beyond the free places or not."""

    share: QueueShare
    kind: Kind
    is_prefetch: bool


class Demand:
    """What one worker could start now, by course."""

    def __init__(self, shift: Shift, executor: Executor):
        self._shift = shift
        self._executor = executor
        self._tasks = {
            kind: [name for name, handler in shift.handlers.items() if handler.kind is kind] for kind in Kind
        }
        self._round_trip = 0.0

    def courses(self) -> list[Course]:
        """Every kind of claim that this worker ever makes, in turn."""
        return [
            Course(share, kind, is_prefetch)
            for share in self._shift.settings.queues
            for kind, tasks in self._tasks.items()
            if tasks
            for is_prefetch in ((True, False) if kind is not Kind.ISOLATED else (False,))
        ]

    def learn(self, seconds: float) -> None:
        """So long a claim took that brought something."""
        self._round_trip += MEMORY_OF_ROUND_TRIP * (seconds - self._round_trip)

    def is_very_fast(self, course: Course) -> bool:
        """Whether it asks for something, and all of that runs in no time."""
        tasks = self.tasks(course)
        return bool(tasks) and all(self._executor.pace.mean(name) < VERY_FAST_SECONDS for name in tasks)

    def tasks(self, course: Course) -> Sequence[str]:
        """The tasks of this course: those that are fast beyond the free places, the others by them."""
        tasks = self._tasks[course.kind]
        if course.kind is Kind.ISOLATED:
            return tasks
        return [name for name in tasks if self._executor.pace.is_fast(name) is course.is_prefetch]

    def of(self, course: Course) -> tuple[Sequence[str], int]:
        """Which tasks, and how many, this course could start now."""
        shift, executor = self._shift, self._executor
        tasks = self._tasks[course.kind]
        fast = (
            [name for name in tasks if executor.pace.is_fast(name)]
            if course.kind is not Kind.ISOLATED
            else []
        )
        limit = executor.room(course.kind) - shift.buffer.count(course.kind)
        if course.is_prefetch:
            tasks = fast
            slowest = max([executor.pace.mean(name) for name in tasks], default=1.0)
            seconds = shift.settings.poll / 2 if slowest < VERY_FAST_SECONDS else self._bridge()
            soon = int(executor.places(course.kind) * seconds / max(slowest, 1e-6))
            can_follow = len(shift.outbox) < UNSETTLED_PORTIONS * shift.portion
            ahead = min(AHEAD_PORTIONS * shift.portion, soon) if can_follow else 0
            # Many at once, or as many as there are places: what is left in hand lasts until the answer comes.
            held = len(shift.buffer)
            if held <= ahead // 2:
                limit = max(limit, ahead - held)
        elif fast:
            tasks = [name for name in tasks if name not in fast]
            limit = executor.room_for_slow(course.kind) if tasks else 0
        if course.share.limit is not None:
            limit = min(limit, course.share.limit - self._in_hand(course.share.name))
        return tasks, min(limit, shift.portion)

    def _bridge(self) -> float:
        return min(max(AHEAD_SECONDS, AHEAD_ROUND_TRIPS * self._round_trip), AHEAD_SECONDS_MAX)

    def _in_hand(self, queue: str) -> int:
        shift = self._shift
        running = sum(run.job.queue == queue for run in list(shift.runs.values()))
        return running + sum(held.job.queue == queue for held in shift.buffer)
