"""Waiting for facts: ask again until it is so, and say what was awaited if it never is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.02


def until(fact: Callable[[], T], within: float, what: str) -> T:
    """The first true answer of `fact`; fails after `within` seconds, naming `what` and the last answer."""
    deadline = time.monotonic() + within
    while True:
        answer = fact()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within:g} s: {what} (last seen: {answer!r})")
        time.sleep(PAUSE)


def for_all_of(fact: Callable[[], bool], seconds: float, what: str) -> None:
    """Fails as soon as `fact` is not so during these seconds: for what must *not* happen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert fact(), what
        time.sleep(PAUSE)
