"""A worker's settings: R follows from them, and those that cannot work are refused."""

from __future__ import annotations

from typing import Any

import pytest

from unstuck.model.errors import BadSetting
from unstuck.rules.settings import QueueShare, Settings

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"lease": 0.0}, "lease"),
    ({"sweep": -1.0}, "sweep"),
    ({"poll": 0.0}, "poll"),
    ({"lease": 2.9, "poll": 1.0}, "shorter than three polls"),
    ({"grace": -1.0}, "grace"),
    ({"stall_limit": 0.0}, "stall limit"),
    ({"processes": 0}, "processes"),
    ({"threads": 0}, "threads"),
    ({"queues": ()}, "at least one queue"),
    ({"queues": (QueueShare("a"), QueueShare("a", 3))}, "twice"),
]


def test_the_published_bound_is_that_of_the_design() -> None:
    assert Settings().recovery_bound == 41
    assert Settings(lease=5, sweep=2, poll=1).recovery_bound == 10


def test_a_lease_of_three_polls_will_do() -> None:
    assert Settings(lease=3.0, poll=1.0).lease_us == 3_000_000


@pytest.mark.parametrize(("settings", "words"), WRONG)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        Settings(**settings)
