"""What the doctor says: one check after the other, each with a stable name, a status and what it found.

A check is `ok`, `wrong`, `recovering` (it breaks the promise of rest, but inside the published bound and with
the moment by which that must be over), or `unfinished`: it did not end in its time, and nothing is claimed
of what it did not see. Only where every check is `ok` is nothing wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from unstuck.model.audit import Repair

SHOWN = 20
"""How many offenders of a check are named; of the others only the number is said."""


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    RECOVERING = "recovering"
    UNFINISHED = "unfinished"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Ailment:
    """One thing that is not as it should be; `due_by` where it is recovering by itself.

    `kind` groups, `subject` is the record (or queue, task, worker, setting) that it is about, and `name` the
    check that found it.
    """

    kind: str
    subject: str
    sentence: str
    due_by: datetime | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One check and what it found: at most `SHOWN` ailments of `count`, or of at least `count` where it `is_cut`."""

    name: str
    status: Status
    sentence: str
    count: int = 0
    is_cut: bool = False
    ailments: tuple[Ailment, ...] = ()
    seconds: float = 0.0

    @property
    def ids(self) -> list[str]:
        """The records that it names."""
        return list(dict.fromkeys(one.subject for one in self.ailments if one.subject))


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks, and the facts about the store that people want beside them."""

    checks: Sequence[Check]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    repairs: Sequence[Repair] = ()

    @property
    def is_fine(self) -> bool:
        """Nothing is wrong, nothing is recovering, and everything was looked at."""
        return all(check.status is Status.OK for check in self.checks)

    def ailments(self, *statuses: Status) -> list[Ailment]:
        """What checks of these statuses found."""
        return [one for check in self.checks for one in check.ailments if status_of(one) in statuses]

    def of(self, status: Status) -> list[Check]:
        """The checks that ended so."""
        return [check for check in self.checks if check.status is status]


def status_of(ailment: Ailment) -> Status:
    """An ailment with a moment by which it is over is on its way."""
    return Status.WRONG if ailment.due_by is None else Status.RECOVERING


def judged(
    name: str, found: Sequence[Ailment], seconds: float, count: int | None = None, is_cut: bool = False
) -> Check:
    """The check of this name that found this."""
    number = len(found) if count is None else count
    if not number:
        return Check(name, Status.OK, "", seconds=seconds)
    worst = Status.WRONG if any(one.due_by is None for one in found) else Status.RECOVERING
    shown = tuple(found[:SHOWN])
    more = number - len(shown)
    tail = f" and {'at least ' if is_cut else ''}{more:,} more" if more > 0 else ""
    return Check(name, worst, f"{found[0].sentence}{tail}", number, is_cut, shown, seconds)
