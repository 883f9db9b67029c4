"""Endings drawn by number: what each of many jobs is to do, known to its handler and to the test alike."""

from __future__ import annotations

import random
from dataclasses import dataclass

from unstuck.model.states import Reason, State


@dataclass(frozen=True)
class Ending:
    """How a job drawn so ends, its counted failures and crashes, how many tries it is given, and how often
    it is drawn in a thousand."""

    name: str
    state: State
    reason: Reason | None = None
    failures: int = 0
    crashes: int = 0
    tries: int = 3
    weight: float = 10.0


ENDINGS = (
    Ending("value", State.SUCCEEDED, weight=885.0),
    Ending("second", State.SUCCEEDED, failures=1, weight=30.0),
    Ending("snooze", State.SUCCEEDED, weight=20.0),
    Ending("fail", State.FAILED, Reason.TRIES_EXHAUSTED, failures=3, weight=20.0),
    Ending("never", State.FAILED, Reason.NOT_RETRIED, failures=1, weight=20.0),
    Ending("cancel", State.CANCELLED, Reason.CANCELLED, weight=20.0),
    Ending("timeout", State.FAILED, Reason.TIMEOUT, failures=1, tries=1, weight=4.0),
    Ending("kill", State.FAILED, Reason.CRASH_LIMIT, crashes=3, weight=0.25),
    Ending("kill_alone", State.FAILED, Reason.CRASH_LIMIT, crashes=3, weight=0.75),
)


def ending_of(number: int) -> Ending:
    """What job `number` draws: the same in every process and every attempt."""
    return random.Random(number).choices(ENDINGS, [ending.weight for ending in ENDINGS])[0]
