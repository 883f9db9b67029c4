"""How far back a worker looks, and how often from the very first.

What has been claimed stays in the indexes until it may be vacuumed, and while a transaction elsewhere holds an old
snapshot that is never: to find the first ready row, or the next alarm, is then to walk over everything that was
done since (0.3 to 0.6 µs for each, 200 ms after 300,000 jobs). Jobs of tasks that this claim does not ask for are
walked over alike, however many wait. So a worker looks from where things stood two polls
ago, and claims from where its last claim ended, both of which cost the same for ever; what lies
before that place (a job with a head start, one that is tried again, one whose insert was long in
committing) is seen when it looks back from the very first.

To look back costs nothing where nothing is in the way, and is then done at every look, as if there were no
other kind. Where it takes longer than other looks and claims, so long is waited that this takes 1.5 % of the time or
less, but never longer than a lease. One slow answer proves little: it counts for no more than twice the one before,
and is good for a rest of two polls where it was very slow. What an answer waited for others is no part of its price:
were it, then the more was looked back, the longer all answers would seem to take, and the more often it would be free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping

from unstuck.rules.settings import Settings
from unstuck.storage.protocol import Cursor, Look, Since

SHARE = 0.015
"""Of a worker's time, spent in looking back by the claims of a course that bears something."""

SHARE_OF_LOOKS = 0.0075
SHARE_IN_VAIN = 0.005
"""The same for looks, and for courses that bring nothing while others do. Two workers with a course of each kind
and the sweep together stay below a tenth of a core."""

NEAR_POLLS = 2
"""How far back is looked once in a poll: for inserts that were long in committing, and what was handed back."""

MARKS_IN_A_POLL = 4
"""How far back is looked in between: where hundreds of jobs come in each second, their dead rows are walked over."""

TIMES_USUAL = 1.2
TIMES_BEFORE = 2.0
MEMORY = 0.1
FREE_SECONDS = 0.02
"""What is free as long as nothing is known of what is usual: a commit, where those are slow."""

UNEVEN = 0.2
"""By so much of it a rest is shortened at most, by chance: workers that hear the same hint would all look back at once,
and what comes in meanwhile would wait for them."""

VERY_SLOW_SECONDS = 0.1
LOOK = "look"


class LookingBack:
    """What one worker knows of where things stood, and what it has cost to begin with the very first: by kind of
    question, the look or some course of claims."""

    def __init__(self, settings: Settings, chance: Callable[[], float] = lambda: 0.0):
        """`chance`: 0 to 1, by which rests differ."""
        self._chance = chance
        self._lease, self._poll = settings.lease, settings.poll
        self._marks: deque[tuple[float, Mapping[str, int]]] = deque()
        self._due_at: dict[Hashable, float] = {}
        self._before: dict[Hashable, float] = {}
        self._usual: dict[Hashable, float] = {}
        self._near_at = 0.0
        self._looked_at = 0.0
        self.spent = 0.0
        """By how many seconds answers that began with the very first took longer than others, all in all."""
        self.now_us: int | None = None
        """The store's now at the last look."""
        self.slack_us = int((NEAR_POLLS + 1) * settings.poll * 1_000_000)
        """How late the insert of a job may be committed and still be seen without looking back."""

    @property
    def lately_us(self) -> int | None:
        """The line from which on inserts may not have been seen by the last look."""
        return None if self.now_us is None else self.now_us - self.slack_us

    def is_due(self, now: float, what: Hashable = LOOK) -> bool:
        """Whether to begin with the very first is paid for."""
        return now >= self._due_at.get(what, now)

    def is_back(self, start: Cursor | None, highest: Cursor | None) -> bool:
        """Whether a claim from this place looks back, of a course that has come so far. Where it may begin without
        being paid for is nearer by half: the course has gone on since, and quick answers would make slow ones
        cheap."""
        return start is None or highest is None or start.line < highest.line - 2 * self.slack_us

    def since(self, now: float) -> Since | None:
        """From where to look now; None for the very first."""
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= now - NEAR_POLLS * self._poll:
            marks.popleft()
        if not marks or self.is_due(now):
            self._near_at = now
            return None
        at, lines = marks[0]
        if now - self._near_at < self._poll:
            just_now = now - self._poll / MARKS_IN_A_POLL
            at, lines = next((mark for mark in reversed(marks) if mark[0] <= just_now), marks[0])
        else:
            self._near_at = now
        return Since(lines, int((now - at + self._poll) * 1_000_000))

    def saw(self, began: float, look: Look, queues: Iterable[str]) -> None:
        """What a look that began at this moment found: before that, nothing is ready."""
        self._looked_at, self.now_us = began, look.now_us
        if not self._marks or began - self._marks[-1][0] >= self._poll / MARKS_IN_A_POLL:
            self._marks.append((began, {queue: look.ready.get(queue, look.now_us) for queue in queues}))

    def is_ahead(self, line: int, now: float) -> bool:
        """Whether this line lies so far behind the store's now, as far as that is known, that others come before it."""
        if self.now_us is None:
            return False
        return line > self.now_us + int((now - self._looked_at) * 1_000_000) + self.slack_us

    def took(
        self, now: float, seconds: float, what: Hashable = LOOK, *, from_the_first: bool, share: float = SHARE
    ) -> None:
        """So long an answer took that ends now, its wait for others left out; it may take this share of the time."""
        usual = self._usual.get(what)
        if not from_the_first:
            seconds = max(0.0, seconds)
            self._usual[what] = seconds if usual is None else usual + MEMORY * (seconds - usual)
            return
        before, self._before[what] = self._before.get(what, 0.0), seconds
        free = FREE_SECONDS if usual is None else TIMES_USUAL * usual
        usual = usual or 0.0
        self.spent += seconds - usual
        price = min(seconds, TIMES_BEFORE * before)
        rest = min((price - usual) / share, self._lease) if price > free else 0.0
        rest *= 1 - UNEVEN * self._chance() if rest else 1
        if seconds > VERY_SLOW_SECONDS:
            rest = max(rest, NEAR_POLLS * self._poll)
        self._due_at[what] = now + rest
