"""The life cycle, walked: every edge, every missing edge, and the texts that are made from the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import unstuck.storage
from unstuck.model.errors import IllegalTransition
from unstuck.model.states import (
    CHECK_JOBS,
    CHECK_STATE,
    CHECK_WORKERS,
    FINAL,
    MEANING,
    TRANSITIONS,
    UNFINISHED,
    Event,
    Reason,
    State,
    diagram,
    sources_of,
    target_of,
)

MIGRATIONS = sorted(Path(unstuck.storage.__file__).parent.glob("*/migrations/0001_*.sql"))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_an_edge_is_in_the_table_or_cannot_be_spelled(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert target_of(state, event) is TRANSITIONS[state, event]
        assert state in sources_of(event)
    else:
        assert state not in sources_of(event)
        with pytest.raises(
            IllegalTransition, match=f"a job that is {state} cannot {event}".replace("_", " ")
        ):
            target_of(state, event)


def test_an_ended_job_can_only_be_revived() -> None:
    assert {event for state, event in TRANSITIONS if state in FINAL} == {Event.REVIVE}
    assert all((state, Event.REVIVE) in TRANSITIONS for state in FINAL)


def test_every_unfinished_state_can_reach_each_end_that_it_may() -> None:
    for start in UNFINISHED:
        reached, grown = {start}, True
        while grown:
            further = {target for (source, _), target in TRANSITIONS.items() if source in reached}
            grown = not further <= reached
            reached |= further
        assert reached >= FINAL, f"{start} is a dead end"


def test_only_a_claim_leads_to_running_and_only_from_ready() -> None:
    into = [(source, event) for (source, event), target in TRANSITIONS.items() if target is State.RUNNING]
    assert into == [(State.READY, Event.CLAIM)]


def test_success_and_failure_are_endings_of_running_jobs_only() -> None:
    for event in (Event.SUCCEED, Event.FAIL, Event.RETRY, Event.SNOOZE, Event.HAND_BACK):
        assert sources_of(event) == (State.RUNNING,)


def test_a_running_job_does_not_expire() -> None:
    assert State.RUNNING not in sources_of(Event.EXPIRE)


def test_final_and_unfinished_are_all() -> None:
    assert set(UNFINISHED) | FINAL == set(State)
    assert not set(UNFINISHED) & FINAL


def test_the_diagram_shows_every_edge_once() -> None:
    edges = re.findall(r"^    (\w+) --> (\w+): (\w+)$", diagram(), re.MULTILINE)
    assert edges == [(source, target, event) for (source, event), target in TRANSITIONS.items()]


def test_every_reason_says_what_it_means() -> None:
    assert list(MEANING) == list(Reason)


def test_reasons_states_and_events_are_plain_words() -> None:
    for word in (*State, *Event, *Reason):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", word), word


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.parts[-3])
def test_the_schema_says_what_the_table_says(path: Path) -> None:
    text = path.read_text()
    for check in (CHECK_STATE, CHECK_JOBS, CHECK_WORKERS):
        assert f"CHECK ({check})" in text


def test_there_are_schemas_to_compare() -> None:
    assert len(MIGRATIONS) >= 2
