"""When a sweeper may trust what it sees: after a full lease of steady answers, and not a moment before."""

from __future__ import annotations

import pytest

from unstuck.rules.steadying import Steadiness

LEASE = 30.0


def watched(*answers: tuple[float, float]) -> Steadiness:
    steady = Steadiness(LEASE)
    for own, store in answers:
        steady.saw(own, store)
    return steady


def every(
    step: float, until: float, *, offset: float = 1000.0, start: float = 0.0
) -> list[tuple[float, float]]:
    count = int((until - start) / step)
    return [(start + n * step, offset + start + n * step) for n in range(count + 1)]


def test_nothing_seen_is_nothing_trusted() -> None:
    assert not Steadiness(LEASE).is_steady(10**6)
    assert Steadiness(LEASE).seen_us == 0


def test_a_full_lease_of_steady_answers_is_enough() -> None:
    assert not watched(*every(5, 25)).is_steady(25)
    assert watched(*every(5, 30)).is_steady(30)
    assert watched(*every(10, 30)).is_steady(30)


def test_answers_further_apart_than_a_third_of_the_lease_are_not_steady() -> None:
    assert not watched(*every(11, 44)).is_steady(44)


def test_a_silence_since_the_last_answer_ends_the_trust() -> None:
    steady = watched(*every(5, 60))
    assert steady.is_steady(70)
    assert not steady.is_steady(70.1)


def test_a_stall_begins_the_wait_anew_and_is_remembered() -> None:
    steady = watched(*every(5, 60))
    for own, store in every(5, 75 + 25, start=75 + 5):
        steady.saw(own, store)
    assert not steady.is_steady(100)
    assert steady.last_stall() == (80, 20)
    for own, store in every(5, 110, start=105):
        steady.saw(own, store)
    assert steady.is_steady(110)


@pytest.mark.parametrize("step", [-3600.0, -6.0, 6.0, 3600.0])
def test_a_store_whose_clock_steps_is_not_steady(step: float) -> None:
    steady = watched(*every(5, 60))
    for own, store in every(5, 90, start=65, offset=1000 + step):
        steady.saw(own, store)
    assert not steady.is_steady(90)
    steady.saw(95, 1095 + step)
    assert steady.is_steady(95)


def test_a_clock_that_creeps_away_is_noticed_in_the_sum() -> None:
    # Each gap is within bounds; over a lease the drift passes a sixth of it.
    steady = watched(*[(n * 5.0, n * 6.0) for n in range(20)])
    assert not steady.is_steady(95)


def test_a_sleeping_laptop_is_a_stall() -> None:
    steady = watched(*every(5, 60))
    steady.saw(8 * 3600.0, 1000 + 8 * 3600.0)
    assert not steady.is_steady(8 * 3600.0)


def test_the_last_answer_is_what_was_seen() -> None:
    assert watched((1.0, 1000.25)).seen_us == 1_000_250_000
