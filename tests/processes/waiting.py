"""Waiting for facts: ask again until it is so, and say what was awaited if it never is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.05
"""Seconds between two questions: four tests side by side that ask their stores oftener keep a processor busy with it.
What is judged by seconds is judged by what witnesses wrote, not by when it was asked."""


def until(fact: Callable[[], T], within: float, what: str, pause: float = PAUSE) -> T:
    """The first true answer of `fact`; fails after `within` seconds, naming `what` and the last answer."""
    deadline = time.monotonic() + within
    while True:
        answer = fact()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within:g} s: {what} (last seen: {answer!r})")
        time.sleep(pause)
