"""What may enter: each limit at its edge, and the option named where it is passed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from unstuck.model.errors import BadArguments
from unstuck.model.job import NewJob, Policy
from unstuck.rules.admitting import (
    HORIZON_US,
    LABELS_MAX,
    NAME_LENGTH_MAX,
    PAYLOAD_BYTES_MAX,
    check_name,
    check_new,
)

JOB = NewJob(UUID(int=1), "q", "t", "{}")

FINE = [
    {},
    {"priority": 100},
    {"priority": -100},
    {"delay_us": 0},
    {"delay_us": HORIZON_US},
    {"expires_in_us": 1},
    {"delay_us": 5, "expires_in_us": 6},
    {"timeout_us": 1},
    {"policy": Policy(tries=1)},
    {"args": "x" * PAYLOAD_BYTES_MAX},
    {"labels": {str(n): "" for n in range(LABELS_MAX)}},
    {"queue": "übung/🙂", "task": "a.b.c"},
]

WRONG = [
    ({"priority": 101}, "priority=101"),
    ({"priority": -101}, "priority=-101"),
    ({"delay_us": -1}, "delay"),
    ({"delay_us": HORIZON_US + 1}, "delay"),
    ({"expires_in_us": 0}, "expires"),
    ({"expires_in_us": HORIZON_US + 1}, "expires"),
    ({"delay_us": 5, "expires_in_us": 5}, "could never start"),
    ({"timeout_us": 0}, "timeout"),
    ({"timeout_us": HORIZON_US + 1}, "timeout"),
    ({"policy": Policy(tries=0)}, "tries=0"),
    ({"args": "x" * (PAYLOAD_BYTES_MAX + 1)}, "256 KiB"),
    ({"args": "ü" * (PAYLOAD_BYTES_MAX // 2 + 1)}, "256 KiB"),
    ({"labels": {str(n): "" for n in range(LABELS_MAX + 1)}}, "33 labels"),
    ({"queue": ""}, "queue"),
    ({"queue": "two words"}, "queue"),
    ({"task": "tab\there"}, "task"),
    ({"task": "nul\x00"}, "task"),
    ({"task": "t" * (NAME_LENGTH_MAX + 1)}, "task"),
]


@pytest.mark.parametrize("options", FINE, ids=lambda options: ",".join(options) or "plain")
def test_what_is_within_the_limits_enters(options: dict[str, Any]) -> None:
    job = replace(JOB, **options)
    assert check_new(job) is job


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_what_is_not_is_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadArguments, match=words):
        check_new(replace(JOB, **options))


def test_a_name_as_long_as_it_may_be_is_a_name() -> None:
    assert check_name("queue", "q" * NAME_LENGTH_MAX) == "q" * NAME_LENGTH_MAX
