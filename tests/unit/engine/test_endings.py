"""Whatever a handler asks for, its attempt ends, and in a way that the store can keep."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.engine.handling import Task, worked
from unstuck.model.errors import Cancel, Retry, Snooze
from unstuck.model.states import Reason


@pytest.mark.parametrize(
    "after", ["99999999999d", 1.7e12, timedelta.max, 10**400, 11 * 366 * 86_400.0], ids=str
)
@pytest.mark.parametrize("asked", [Retry, Snooze])
def test_a_try_asked_for_beyond_ten_years_is_a_counted_failure(asked: Any, after: Any) -> None:
    def function() -> None:
        raise asked(after=after)

    job = worked(Task(function), lambda job: job.failures > 0)
    assert job.error is not None and "after=" in job.error.message
    assert job.wake_at is None or job.wake_at.year < 2100


@pytest.mark.parametrize("why", [404, ValueError("x"), "\ud800", "\x00"], ids=ascii)
def test_a_reason_to_cancel_is_kept_as_text_whatever_it_is(why: Any) -> None:
    def function() -> None:
        raise Cancel(why)

    job = worked(Task(function), lambda job: job.is_final)
    assert job.reason is Reason.CANCELLED
    assert job.error is not None and job.error.type == "Cancel" and type(job.error.message) is str
    job.error.message.encode()


def test_an_ending_that_cannot_be_judged_is_a_failure_and_takes_no_other_with_it() -> None:
    class Odd(Task):
        def may_retry(self, error: BaseException) -> bool:
            raise RuntimeError("no opinion")

    def function() -> None:
        raise ValueError("x")

    job = worked(Odd(function), lambda job: job.failures > 0)
    assert job.error is not None and job.error.message == "no opinion"
