"""Nobody is passed over for long: whoever is ready comes before those that stand behind him in his queue.

No log knows how many places were free. But a claim proves that one was: where a job of the same queue and task
from further behind in the line is claimed, the one before it could have been. For a while that is as it
should be (a worker goes on from where its last claim ended, and looks back once in a lease; a claim may be long in
committing); if it goes on for longer than R, it is starvation. Moments are the store's, so a store whose clock was
stepped is not asked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.checker.book import Book

Line = Mapping[str, Any]
Course = tuple[str, str]


@dataclass
class Waits:
    """From when to when jobs stood ready at one place of one line, and when others were claimed there."""

    open: dict[str, Line] = field(default_factory=dict[str, Line])
    over: dict[Course, list[tuple[str, Line, Line]]] = field(
        default_factory=lambda: defaultdict[Course, list[tuple[str, Line, Line]]](list)
    )
    claims: dict[Course, list[tuple[int, int, Line]]] = field(
        default_factory=lambda: defaultdict[Course, list[tuple[int, int, Line]]](list)
    )

    def note(self, job: str, line: Line) -> None:
        """The next line of this job."""
        facts, since = line["facts"], self.open.get(job)
        if line["name"] == "claimed":
            self.claims[_course(facts)].append((facts["claimed_at"], facts["line"], line))
        if since is not None:
            stays = (
                bool(facts)
                and facts["state"] == "ready"
                and all(facts[name] == since["facts"][name] for name in ("queue", "task", "line"))
            )
            if stays:
                return
            if line["at"] is not None:
                self.over[_course(since["facts"])].append((job, since, line))
            del self.open[job]
        if facts and facts["state"] == "ready" and line["at"] is not None:
            self.open[job] = line


def _course(facts: Line) -> Course:
    return facts["queue"], facts["task"]


def check_overtaking(book: Book, waits: Waits, patience_us: int) -> None:
    """Whoever was ready and was passed over once has his turn within `patience_us`, or nobody behind him has."""
    for course, stays in waits.over.items():
        claims = sorted(waits.claims.get(course, ()), key=lambda claim: claim[:2])
        moments = [at for at, _, _ in claims]
        highest = _Highest([line for _, line, _ in claims])
        for job, since, until in stays:
            facts = since["facts"]
            end = until["facts"]["claimed_at"] if until["name"] == "claimed" else until["at"]
            if facts["expires_at"] is not None:
                end = min(end, facts["expires_at"])
            first, last = bisect_right(moments, since["at"]), bisect_left(moments, end)
            if first >= last:
                continue
            once = again = highest.first_above(facts["line"], first, last)
            if once is not None:
                late = bisect_right(moments, moments[once] + patience_us)
                again = highest.first_above(facts["line"], late, last)
            sentence = f"was ready since {since['at']}, and passed over for longer than R"
            proof = () if once is None or again is None else (claims[once][2], claims[again][2])
            book.look("H24", again is None, job, sentence, since, *proof, until)


class _Highest:
    """Which of some neighbours is the first above a value, without looking at each."""

    def __init__(self, values: list[int]):
        self._levels = [values]
        width = 1
        while 2 * width <= len(values):
            below = self._levels[-1]
            self._levels.append(
                [max(below[at], below[at + width]) for at in range(len(values) - 2 * width + 1)]
            )
            width *= 2

    def first_above(self, value: int, first: int, last: int) -> int | None:
        """The first place, from `first` to before `last`, that is higher than this; None where there is none."""
        if first >= last or self._between(first, last) <= value:
            return None
        while last - first > 1:
            middle = (first + last) // 2
            if self._between(first, middle) > value:
                last = middle
            else:
                first = middle
        return first

    def _between(self, first: int, last: int) -> int:
        level = (last - first).bit_length() - 1
        row = self._levels[level]
        return max(row[first], row[last - (1 << level)])
