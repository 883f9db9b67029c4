"""No claim walks further than to an end that was chosen before it began.

A claim passes over whatever is ready in its queue and none of its tasks, 0.3 to 0.5 µs for each entry. With three
million jobs of other tasks in a queue, a claim that found nothing took 1.5 s, and nothing else was claimed meanwhile.
So before a course claims from a place that it knows nothing of, it asks for the place of the 10,000th ready job
behind that (an index read, 3 ms), and its claims go no further; where there are fewer, they go to the end of the
queue. A stride that was walked in vain takes the course to its end, where the next one begins. The course is dry only
when the end of the queue was reached. Strides in vain of a worker whose other claims bring all that they ask for take
a twentieth of its time, which is a lease for three million entries; who has nothing better to do walks on at once.

That there are few may change while nobody asks, so it is believed for as long as inserts may be late in being seen,
and ten times as long where later places go on to show it. A claim that brought something, or a look that found
nothing, and came to the end of the queue in less time than so many entries take to be passed over has shown it as
well: who works off single jobs as they come need not ask. While a course walks it is not sent back, or it would never
arrive: what is known to stand elsewhere is an *errand*, a claim from there that leaves the walk where it is. What has
come in lately is fetched so only by a walk that lasts: behind a short one stands what has waited for longer.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from unstuck.storage.protocol import Cursor

C = TypeVar("C", bound=Hashable)

NOBODY = UUID(int=0)
FAR = Cursor(2**63 - 1, NOBODY)
"""Behind every place in line."""
ERRANDS_MAX = 3

FEW_TIMES = 10
"""For so many times as long it is believed that few are ready behind a place where no later one shows more: to count
them from the very first costs as much as to claim from there, and only what has a head start is added before."""

ENTRY_SECONDS = 0.000_000_3
"""For passing over one entry, at least."""

SHARE = 0.05
"""Of a worker's time, spent in walking in vain while others have something to claim."""

REST_MAX = 0.25
"""Seconds: so long is rested after a stride at most. One that takes more than a twentieth of it waits for a lock or for the
processor, and to rest for longer would leave what stands behind a short queue there for a minute (a storm on SQLite)."""


class Few(NamedTuple):
    """Behind this place fewer are ready than a claim walks over: counted then, and seen last from a later one."""

    behind: Cursor | None
    counted_at: float
    seen_at: float


@dataclass(frozen=True, slots=True)
class Errand:
    """A claim of at most so many from there, which says nothing about where to go on. Behind its first stride it goes only
    where a place is named to which."""

    start: Cursor
    count: int
    to: Cursor | None = None
    is_sure: bool = False
    """Whether something is known to stand there."""


@dataclass(slots=True)
class Walk:
    """Strides in vain, one behind the other; how the first of them began."""

    is_own: bool
    """Whether it began behind what the last claim had brought: where a look had sent it, it can have missed nothing before that."""
    is_back: bool
    """Whether it began where the course had been before."""
    seconds: float = 0.0
    began_at: float = 0.0
    goes_on_at: float = 0.0
    may_look: bool = True
    """Whether a stride has been made since looks sent it on errands: or it would run nothing but these."""


class Strides(Generic[C]):
    """What one worker knows of how far its claims may go, by course, and which of them walk in vain."""

    def __init__(self, good_for: float, length: int):
        """`good_for`: so many seconds it is believed that no more than so many (`length`) are ready behind a place."""
        self._good_for = good_for
        self.length = length
        self._ends: dict[C, tuple[Cursor | None, Cursor]] = {}
        self._few: dict[str, Few] = {}
        self._walks: dict[C, Walk] = {}
        self._asking: dict[C, float] = {}
        self._errands: dict[C, list[Errand]] = {}

    def knows(self, course: C, queue: str, after: Cursor | None, now: float) -> bool:
        """Whether it is known how far a claim from this place may go."""
        if self.end(course, after) is not None:
            return True
        few = self._few.get(queue)
        return few is not None and now < few.seen_at + self._good_for and _is_behind(after, few.behind)

    def end(self, course: C, after: Cursor | None) -> Cursor | None:
        """How far; None for the end of the queue."""
        begin, end = self._ends.get(course, (None, None))
        if end is None or not _is_behind(after, begin):
            return None
        return end if after is None or after.before(end) else None

    def reached(
        self, course: C, queue: str, after: Cursor | None, end: Cursor | None, began: float, now: float
    ) -> None:
        """So far a claim from this place may go, the store says now, asked at the moment when this began."""
        self._asking[course] = now - began
        self._ends.pop(course, None)
        if end is None:
            few = self._few.get(queue)
            is_confirmed = few is not None and not _is_behind(few.behind, after) and self._is_fresh(few, now)
            self._few[queue] = few._replace(seen_at=now) if few and is_confirmed else Few(after, now, now)
        else:
            self._few.pop(queue, None)
            self._ends[course] = after, end

    def _is_fresh(self, few: Few, now: float) -> bool:
        return now < few.seen_at + 2 * self._good_for and now < few.counted_at + FEW_TIMES * self._good_for

    def came_to_the_end(self, queue: str, after: Cursor | None, began: float, now: float) -> None:
        """A claim from this place brought something and a look found nothing, and nothing was left behind that."""
        few = self._few.get(queue)
        is_quick = 0.0 < now - began < self.length * ENTRY_SECONDS
        if is_quick and (
            few is None or began >= few.seen_at + self._good_for or _is_behind(few.behind, after)
        ):
            self._few[queue] = Few(after, began, began)

    def price(self, course: C) -> float:
        """The seconds that it took to know how far the claim goes that has been sent."""
        return self._asking.pop(course, 0.0)

    def is_walking(self, course: C) -> bool:
        """Whether the last claim of this course was a stride in vain."""
        return course in self._walks

    def walked(self, course: C, now: float, stride: Walk) -> None:
        """A stride in vain ends now."""
        walk = self._walks.setdefault(course, stride)
        if walk is stride:
            walk.began_at = now
        else:
            walk.seconds += stride.seconds
        walk.goes_on_at, walk.may_look = now + _rest_after(stride.seconds), True

    def was_in_vain(self, course: C, now: float, seconds: float) -> None:
        """An errand that took so long ends now, and has brought nothing: it is paid like a stride."""
        walk = self._walks.get(course)
        if walk is not None:
            walk.goes_on_at = max(walk.goes_on_at, now + _rest_after(seconds))

    def arrived(self, course: C, stride: Walk) -> Walk:
        """The walk whose last stride this is: there was something, or the end of the queue."""
        walk = self._walks.pop(course, stride)
        walk.seconds += 0.0 if walk is stride else stride.seconds
        return walk

    def rests(self, course: C, now: float) -> bool:
        """Whether this course walks in vain, and has had its share of the time."""
        walk = self._walks.get(course)
        errands = self._errands.get(course)
        is_sent = errands and errands[0].is_sure
        return walk is not None and now < walk.goes_on_at and not is_sent

    def rest(self, now: float, longest: float) -> float:
        """After how long the first walk that rests goes on."""
        return min(
            (each.goes_on_at - now for each in self._walks.values() if each.goes_on_at > now), default=longest
        )

    def send(self, course: C, errand: Errand) -> None:
        """Run this errand next."""
        self._errands[course] = [errand, *self._errands.get(course, [])][:ERRANDS_MAX]

    def look_in(
        self, course: C, cursor: Cursor | None, lines: tuple[int | None, int | None], now: float
    ) -> None:
        """While it walks, claim too what a look has seen before that place, and, where it walks for long, what has come in
        lately behind it: from these lines on."""
        errands, walk = self._errands.setdefault(course, []), self._walks[course]
        if cursor is None or errands or not walk.may_look:
            return
        walk.may_look = False
        seen, late = lines
        if seen is not None and seen <= cursor.line:
            errands.append(Errand(Cursor(seen, NOBODY), self.length))
        if late is not None and late > cursor.line and now > walk.began_at + self._good_for:
            errands.append(Errand(Cursor(late, NOBODY), self.length, FAR))

    def start(self, course: C, cursor: Cursor | None) -> Cursor | None:
        """Where the next claim of a course begins that stands there."""
        errands = self._errands.get(course)
        return errands[0].start if errands else cursor

    def errand(self, course: C) -> Errand | None:
        """The errand that comes next; it is taken."""
        errands = self._errands.get(course)
        return errands.pop(0) if errands else None

    def go_on(self, course: C, errand: Errand, last: Cursor, brought: int, *, is_full: bool) -> None:
        """This errand came so far, not to the end of the queue, and brought so many, all that was asked for or not."""
        left = errand.count - brought
        if brought and errand.to is FAR:
            return  # What has come in lately; what has waited for longer stands where the walk goes on.
        if left > 0 and (is_full or (errand.to is not None and last.before(errand.to))):
            self.send(course, Errand(last, left, errand.to, errand.is_sure))


def _rest_after(seconds: float) -> float:
    return min(seconds / SHARE, REST_MAX)


def _is_behind(place: Cursor | None, other: Cursor | None) -> bool:
    """Whether a place is no less far down the line; None is the very first."""
    return other is None or (place is not None and not place.before(other))
