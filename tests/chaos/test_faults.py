"""The plan of a storm follows from its seed, and a short storm meets every kind that it can have."""

from __future__ import annotations

import itertools

import pytest

from tests.chaos.faults import LANES, STORE, WORKERS, planned

KINDS = [kind for lane in LANES.values() for kind in lane]


@pytest.mark.parametrize("seed", range(20))
def test_a_minute_meets_every_kind_of_fault(seed: int) -> None:
    met = {fault.kind for fault in planned(seed, 60.0, KINDS, 5.0)}
    assert met >= set(WORKERS) | set(STORE)


def test_ten_minutes_hold_a_hundred_faults_on_each_engine() -> None:
    without_network = [*WORKERS, "disk full", "write lock held"]
    for kinds in (KINDS, without_network):
        assert len(planned(1, 600.0, kinds, 5.0)) > 150


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert planned(7, 60.0, KINDS, 5.0) == planned(7, 60.0, KINDS, 5.0)
    assert planned(7, 60.0, KINDS, 5.0) != planned(8, 60.0, KINDS, 5.0)


def test_a_store_is_not_disturbed_twice_at_once_and_is_well_in_the_end() -> None:
    of_store = [fault for fault in planned(3, 300.0, KINDS, 5.0) if fault.lane == "store"]
    assert all(first.at + first.seconds < second.at for first, second in itertools.pairwise(of_store))
    assert max(fault.at + fault.seconds for fault in of_store) <= 300.0


def test_what_a_run_cannot_have_is_not_planned() -> None:
    assert {fault.kind for fault in planned(1, 60.0, ["child killed"], 5.0)} == {"child killed"}
