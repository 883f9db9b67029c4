"""A failing seed makes itself small and tells how to see it again.

The bug that is planted is a real one of such systems: a stop of the worker costs the job a try.
"""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import main
from tests.simulation.story import LINES_MAX, lived, smallest, told, words_of
from tests.simulation.test_planted import attempt_counted_at_hand_back
from tests.simulation.world import Outcome, Scenario, World

SEEDS = range(60)
RUNS = 30


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """The first seed that fails with the bug planted."""
    attempt_counted_at_hand_back(monkeypatch)
    for seed in SEEDS:
        outcome = lived(Scenario(seed))
        if outcome.findings:
            return outcome
    pytest.fail("nobody noticed")


@pytest.mark.timeout(600)
def test_it_shrinks_tells_and_fails_again(broken: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    small = smallest(broken, runs=RUNS)
    before, after = broken.scenario, small.scenario
    assert small.findings[0].check == broken.findings[0].check
    assert len(after.skipped) > len(before.skipped) or after.workers < before.workers
    story = told(small)
    assert len(story.splitlines()) <= LINES_MAX + 7
    assert f"seed {after.seed} on memory breaks a promise: {small.findings[0].check}" in story
    assert " ".join(words_of(after)) in story
    assert main([*words_of(after), "--raw"]) == 1
    assert small.findings[0].sentence in capsys.readouterr().out


def test_a_story_that_is_told_twice_is_the_same(broken: Outcome) -> None:
    assert lived(broken.scenario).log() == broken.log()


def test_what_winds_down_after_a_world_breaks_nothing() -> None:
    world = World(Scenario(1))
    outcome = world.run()
    world.auditor.seen.find("nothing lost", "is said by one of the dead", None)
    assert not outcome.findings


@pytest.mark.parametrize("world", ["memory", "sqlite", "postgres"])
def test_what_has_not_ended_can_be_explained_in_every_world(
    world: str, request: pytest.FixtureRequest
) -> None:
    asked: World
    if world == "postgres":
        request.getfixturevalue("postgres_stand")
        from tests.simulation.scheduled_world import ScheduledWorld

        asked = ScheduledWorld(Scenario(2, world))
    else:
        asked = World(Scenario(2, world))
    said: list[str] = []
    asked.loop.after(5.0, lambda: said.extend(asked.explain(job_id) for job_id in asked.auditor.seen.rows))
    outcome = asked.run()
    assert not outcome.findings
    assert said and all(said)
