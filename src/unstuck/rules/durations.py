"""Durations as people write them: `timedelta`, a number of seconds, or text such as "90s" and "1h30m".

One parser for the front door, the command line and the engine, so that "5m" means the same everywhere.
Text is whole or decimal numbers, each with a unit, largest unit first or in any order: `w d h m s ms us`
(`"1d12h"`, `"1.5h"`, `"250ms"`). A bare number in text counts seconds, as a bare number does in Python.
Nothing is guessed: "5 minutes", "1:30", a negative number and NaN are refused in one sentence that names
the setting, its value and the forms that would do. The answer is whole microseconds, which is what the
store keeps; a fraction of a microsecond is rounded to the nearest.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta

from unstuck.model.errors import BadSetting, Misuse

Duration = float | str | timedelta
"""What the public functions take: seconds, text such as "5m", or a timedelta."""

UNITS_US = {
    "w": 7 * 86_400_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|w|d|h|m|s)")
_BARE = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_FORMS = 'write "90s", "5m", "1h30m", a number of seconds or a timedelta'


def duration_us(value: Duration, what: str = "duration", error: type[Misuse] = BadSetting) -> int:
    """The duration in microseconds, 0 or more.

    `what` names the setting in the message; `error` is the kind of Misuse to raise.
    """
    if isinstance(value, str):
        return _from_text(value, what, error)
    if isinstance(value, timedelta):
        us = value // timedelta(microseconds=1)
    elif isinstance(value, bool) or not isinstance(value, int | float):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise error(f"{what}={value!r} is not a duration: {_FORMS}")
    elif not math.isfinite(value):
        raise error(f"{what}={value!r} is not a duration: it must be finite")
    else:
        us = round(value * 1_000_000)
    if us < 0:
        raise error(f"{what}={value!r} is negative")
    return us


def words_of(us: int) -> str:
    """A duration as a person would say it, two units at most: `1h 30m`, `4m 10s`, `3.2s`, `15ms`."""
    if us < 0:
        return f"-{words_of(-us)}"
    if us < 1_000:
        return f"{us}us" if us else "0s"
    if us < 1_000_000:
        return f"{us // 1_000}ms"
    if us < 10_000_000:
        return f"{us / 1_000_000:.1f}".rstrip("0").rstrip(".") + "s"
    rest = us
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, UNITS_US[unit])
        if count:
            parts.append(f"{count}{unit}")
        if len(parts) == 2 or (parts and not count):
            break
    return " ".join(parts)


def _from_text(text: str, what: str, error: type[Misuse]) -> int:
    word = text.strip()
    if _BARE.fullmatch(word):
        return _whole(float(word) * 1_000_000, text, what, error)
    total, end = 0.0, 0
    for match in _PART.finditer(word):
        if match.start() != end:
            break
        total += float(match[1]) * UNITS_US[match[2]]
        end = match.end()
    if not word or end != len(word):
        raise error(f"{what}={text!r} is not a duration: {_FORMS}")
    return _whole(total, text, what, error)


def _whole(us: float, text: str, what: str, error: type[Misuse]) -> int:
    if not math.isfinite(us):
        raise error(f"{what}={text[:20]!r}… is not a duration: it must be finite")
    return round(us)
