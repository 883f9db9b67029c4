"""Jobs, verdicts and ids: what they compute of themselves."""

from __future__ import annotations

from uuid import RFC_4122, UUID

import pytest

from tests.unit.making import claimed, job
from unstuck.model.errors import IllegalTransition
from unstuck.model.ids import uuid7
from unstuck.model.states import FINAL, Event, State
from unstuck.model.verdict import Answer, Settled, Verdict


def test_the_attempt_counts_failures_crashes_and_losses() -> None:
    assert claimed().attempt == 1
    assert claimed(failures=1, crashes=2, losses=3, snoozes=9).attempt == 7
    assert job(failures=1, crashes=2, losses=3, handbacks=9, snoozes=9).attempt == 7


@pytest.mark.parametrize(
    ("crashes", "losses", "is_suspect"), [(0, 0, False), (1, 2, False), (2, 0, True), (0, 3, True)]
)
def test_two_crashes_or_three_losses_make_a_suspect(crashes: int, losses: int, is_suspect: bool) -> None:
    assert claimed(crashes=crashes, losses=losses).is_suspect is is_suspect


@pytest.mark.parametrize("state", State)
def test_a_job_knows_whether_it_has_ended(state: State) -> None:
    assert job(state=state).is_final is (state in FINAL)


def test_a_verdict_leads_where_the_table_says() -> None:
    verdict = Verdict(UUID(int=1), UUID(int=2), 1, Event.RETRY)
    assert (verdict.target, verdict.is_final) == (State.SCHEDULED, False)
    assert Verdict(UUID(int=1), UUID(int=2), 1, Event.FAIL).is_final
    with pytest.raises(IllegalTransition):
        _ = Verdict(UUID(int=1), UUID(int=2), 1, Event.SUCCEED, source=State.READY).target


@pytest.mark.parametrize("answer", Answer)
def test_everything_but_a_refusal_is_recorded(answer: Answer) -> None:
    verdict = Verdict(UUID(int=1), UUID(int=2), 1, Event.SUCCEED)
    assert Settled(verdict, answer).is_recorded is (answer is not Answer.REFUSED)


def test_ids_sort_by_the_millisecond_in_which_they_were_made() -> None:
    ids = [uuid7(unix_ms=ms) for ms in (0, 1, 1_000, 1_900_000_000_000, 2**48 - 1)]
    assert ids == sorted(ids)
    assert [each.int >> 80 for each in ids] == [0, 1, 1_000, 1_900_000_000_000, 2**48 - 1]


@pytest.mark.parametrize("chance", [bytes(10), b"\xff" * 10, bytes(range(10))])
def test_an_id_is_a_version_7_uuid_whatever_the_dice(chance: bytes) -> None:
    made = uuid7(5, chance)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made == uuid7(5, chance)


def test_ids_of_one_millisecond_differ() -> None:
    assert len({uuid7(1) for _ in range(1000)}) == 1000
