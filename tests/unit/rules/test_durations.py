"""Durations at the edge of what numbers can say; how people write them is tested at the front door."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstuck.model.errors import BadSetting
from unstuck.rules.durations import duration_us, words_of


@pytest.mark.parametrize("value", ["9" * 400, "9" * 400 + "s", float("inf"), float("nan"), -0.5, True, None])
def test_what_is_no_duration_is_refused_by_the_name_of_the_setting(value: Any) -> None:
    with pytest.raises(BadSetting, match=r"^lease="):
        duration_us(value, "lease")


@given(us=st.integers(0, 10**17))
def test_whole_microseconds_come_back_as_they_were_written(us: int) -> None:
    assert duration_us(timedelta(microseconds=us)) == us


@given(us=st.integers(-(10**17), 10**17))
def test_any_duration_can_be_said(us: int) -> None:
    assert words_of(us)
