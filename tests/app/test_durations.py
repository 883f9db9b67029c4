"""Durations: what people write, and how they are said back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstuck.model.errors import BadSetting
from unstuck.rules.durations import UNITS_US, Duration, duration_us, words_of

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("written", "us"),
    [
        ("90s", 90 * SECOND),
        ("5m", 300 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("1d12h", 129_600 * SECOND),
        ("2w", 14 * 86_400 * SECOND),
        ("250ms", 250_000),
        ("7us", 7),
        ("1.5h", 5400 * SECOND),
        (" 30s ", 30 * SECOND),
        ("12", 12 * SECOND),
        (0, 0),
        (0.25, 250_000),
        (timedelta(minutes=2), 120 * SECOND),
    ],
)
def test_written_forms(written: Duration, us: int) -> None:
    assert duration_us(written) == us


@pytest.mark.parametrize(
    "written",
    ["", "soon", "5 minutes", "1:30", "-5s", "5s5", "s", "1h 30m", "1e3s", "٣s", -1, True, None, [], b"5s"],
)
def test_refused(written: object) -> None:
    with pytest.raises(BadSetting, match="lease="):
        duration_us(written, "lease")  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(sorted(UNITS_US))), min_size=1, max_size=4))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{count}{unit}" for count, unit in parts)
    assert duration_us(text) == sum(count * UNITS_US[unit] for count, unit in parts)


@pytest.mark.parametrize(
    ("us", "words"),
    [(0, "0s"), (15, "15us"), (15_000, "15ms"), (3_200_000, "3.2s"), (9_999_999, "10s"), (45 * SECOND, "45s"),
     (250 * SECOND, "4m 10s"), (3600 * SECOND, "1h"), (5400 * SECOND, "1h 30m"), (90_061 * SECOND, "1d 1h"),
     (86_405 * SECOND, "1d"), (-5 * SECOND, "-5s")],
)  # fmt: skip
def test_words(us: int, words: str) -> None:
    assert words_of(us) == words
