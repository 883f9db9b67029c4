"""Ambushes strike at the moment that they wait for, and only there."""

from __future__ import annotations

from tests.simulation.story import lived
from tests.simulation.weather import KINDS
from tests.simulation.world import Outcome, Scenario

SEEDS = 12


def worlds(kind: str) -> list[Outcome]:
    """Worlds in which nothing goes wrong but by this kind, if they have it at all."""
    others = frozenset(KINDS) - {kind}
    outcomes = [lived(Scenario(seed, without=others)) for seed in range(SEEDS)]
    assert all(not outcome.findings for outcome in outcomes)
    return [outcome for outcome in outcomes if kind in outcome.kinds]


def test_who_was_eclipsed_comes_back_when_his_work_has_just_become_anothers() -> None:
    came_back = 0
    for outcome in worlds("eclipse"):
        away: str | None = None
        for number, (at, who, _, what) in enumerate(outcome.events):
            if what == "is eclipsed":
                away = who
            elif who == away and what == "goes on" and at < outcome.storm:
                lately = [each for each in outcome.events[:number] if at - 0.51 < each[0]]
                came_back += any(
                    claimer != away and claim.startswith("is claimed") and not claim.endswith(" 1")
                    for _, claimer, _, claim in lately
                )
                away = None
    assert came_back >= 3


def test_who_never_hears_that_an_ending_was_recorded_says_it_again() -> None:
    outcomes = worlds("echo")
    assert any(
        "settle: applied, but its answer was lost" in event for each in outcomes for event in each.events
    )
    assert sum(outcome.counts.get("already", 0) for outcome in outcomes) >= 3


def test_a_claim_whose_answer_was_lost_is_given_back() -> None:
    lost = [
        outcome
        for outcome in worlds("ambush")
        if any("claim: applied, but its answer was lost" in event for event in outcome.events)
    ]
    assert lost
