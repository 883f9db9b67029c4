"""How long to wait: growing, capped, jittered within its bounds, whatever the numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstuck.model.job import Policy
from unstuck.model.states import Reason, State
from unstuck.rules.keeping import keep_us
from unstuck.rules.retrying import backoff_us, crash_delay_us, no_handler_delay_us

PLAIN = Policy(backoff_base_us=1_000_000, backoff_cap_us=60_000_000, backoff_jitter=0.0)


def test_the_delay_doubles_up_to_its_cap() -> None:
    assert [backoff_us(PLAIN, n, 0.9) // 1_000_000 for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_factor_of_one_is_constant() -> None:
    constant = Policy(backoff_base_us=5, backoff_factor=1.0, backoff_jitter=0.0)
    assert {backoff_us(constant, n, 0.1) for n in range(1, 100)} == {5}


def test_the_dice_spread_it_by_the_jitter_and_not_further() -> None:
    spread = Policy(backoff_base_us=1000, backoff_jitter=0.25)
    assert [backoff_us(spread, 1, dice) for dice in (0.0, 0.5, 0.9999)] == [750, 1000, 1249]


@given(
    base=st.integers(0, 10**16),
    factor=st.floats(0.0, 1e300),
    cap=st.integers(0, 10**16),
    jitter=st.floats(0.0, 1.0),
    failures=st.integers(0, 10**6),
    dice=st.floats(0.0, 1.0, exclude_max=True),
)
def test_it_is_never_negative_nor_above_the_cap_and_always_answers(
    base: int, factor: float, cap: int, jitter: float, failures: int, dice: float
) -> None:
    policy = Policy(backoff_base_us=base, backoff_factor=factor, backoff_cap_us=cap, backoff_jitter=jitter)
    assert 0 <= backoff_us(policy, failures, dice) <= cap


def test_crashes_wait_longer_each_time_up_to_a_minute() -> None:
    delays = [crash_delay_us(n) for n in range(1, 40)]
    assert delays[:4] == [100_000, 400_000, 1_600_000, 6_400_000]
    assert all(one <= other for one, other in pairwise(delays))
    assert delays[-1] == 60_000_000


@pytest.mark.parametrize(("overdue", "delay"), [(-5, 60), (0, 60), (59, 60), (600, 600), (10**6, 3600)])
def test_an_unknown_task_is_asked_for_less_and_less_often(overdue: int, delay: int) -> None:
    assert no_handler_delay_us(overdue * 1_000_000) == delay * 1_000_000


def test_ended_jobs_are_kept_by_how_they_ended() -> None:
    policy = Policy(keep_succeeded_us=1, keep_other_us=2)
    assert [keep_us(policy, state) for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)] == [1, 2, 2]
    assert keep_us(policy, State.CANCELLED, Reason.EXPIRED) == 2
    assert {keep_us(policy, State.CANCELLED, reason) for reason in (Reason.DELETED, Reason.PURGED)} == {0}
