"""The balance judges the whole demo, so each way not to add up is made up here and must be seen."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from unstuck.demo.counting import Balance, Ended, Kill, LostAttempt, balance
from unstuck.demo.serial import Findings
from unstuck.demo.witness import Start
from unstuck.model.states import State

QUIET, HIT, UNSTARTED = UUID(int=1), UUID(int=2), UUID(int=3)
VICTIM, OTHER = UUID(int=101), UUID(int=102)
FINDINGS = Findings("ab" * 32, 10, ("os",), "")
EXPECTED = {QUIET: FINDINGS, HIT: FINDINGS, UNSTARTED: FINDINGS}
KILL = Kill("child", 4711, 100.0, frozenset({VICTIM}), frozenset({(HIT, 1), (UNSTARTED, 1)}))


def ended(job_id: UUID, fence: int) -> Ended:
    return Ended(job_id, State.SUCCEEDED, 1, fence, FINDINGS, fence)


ENDED = {QUIET: ended(QUIET, 1), HIT: ended(HIT, 2), UNSTARTED: ended(UNSTARTED, 2)}
ROWS = [LostAttempt(HIT, 1, VICTIM, "crashed")]
STARTS = [
    Start(QUIET, 1, 1, 99.0),
    Start(HIT, 1, 2, 99.5),
    Start(HIT, 2, 3, 101.25),
    Start(UNSTARTED, 2, 3, 100.5),
]


def judged(
    ended: dict[UUID, Ended] | None = None,
    rows: list[LostAttempt] | None = None,
    starts: list[Start] | None = None,
    changed: frozenset[UUID] = frozenset(),
) -> Balance:
    return balance(
        EXPECTED,
        ENDED if ended is None else ended,
        ROWS if rows is None else rows,
        STARTS if starts is None else starts,
        [KILL],
        changed,
    )


def test_a_run_with_one_attempt_killed_adds_up() -> None:
    found = judged()
    assert found.is_even
    assert (found.jobs, found.results, found.ran_again, found.lost_by_kills) == (3, 3, 1, 1)


def test_recovery_lasts_until_the_last_job_that_the_kill_hit_runs_again() -> None:
    (recovery,) = judged().recoveries
    assert (recovery.hit, recovery.seconds) == (2, 1.25)


def test_a_job_that_never_ran_again_has_no_time_to_recover() -> None:
    (recovery,) = judged(starts=STARTS[:2] + STARTS[3:]).recoveries
    assert recovery.seconds is None


def test_an_ending_that_was_under_way_at_the_kill_had_not_to_run_again() -> None:
    found = judged(
        ended=ENDED | {UNSTARTED: ended(UNSTARTED, 1)}, starts=[*STARTS[:3], Start(UNSTARTED, 1, 2, 99.9)]
    )
    assert found.is_even
    assert found.recoveries[0].hit == 1


def test_an_attempt_lost_before_its_handler_began_is_no_repetition() -> None:
    found = judged(rows=[*ROWS, LostAttempt(UNSTARTED, 1, VICTIM, "lost")])
    assert found.is_even
    assert found.lost_by_kills == 1


def test_a_job_that_did_not_end_is_lost() -> None:
    found = judged(ended=ENDED | {QUIET: Ended(QUIET, State.READY, 1, 1)})
    assert list(found.lost) == [QUIET]
    assert not found.is_even


def test_a_job_that_is_gone_from_the_store_is_lost() -> None:
    found = judged(ended={HIT: ENDED[HIT], UNSTARTED: ENDED[UNSTARTED]})
    assert list(found.lost) == [QUIET]
    assert not found.is_even


def test_a_job_that_failed_is_lost_though_it_ended() -> None:
    assert list(judged(ended=ENDED | {QUIET: Ended(QUIET, State.FAILED, 1, 1)}).lost) == [QUIET]


def test_another_result_than_the_plain_one_is_wrong() -> None:
    other = replace(ENDED[QUIET], findings=replace(FINDINGS, lines=11))
    found = judged(ended=ENDED | {QUIET: other})
    assert list(found.wrong) == [QUIET]
    assert not found.is_even


def test_another_result_of_a_file_that_changed_is_told_apart() -> None:
    other = replace(ENDED[QUIET], findings=replace(FINDINGS, lines=11))
    found = judged(ended=ENDED | {QUIET: other}, changed=frozenset({QUIET}))
    assert not found.wrong
    assert list(found.changed) == [QUIET]
    assert found.is_even


def test_a_start_whose_earlier_ending_is_on_no_record_was_ended_twice() -> None:
    found = judged(ended=ENDED | {QUIET: ended(QUIET, 2)}, starts=[*STARTS, Start(QUIET, 2, 3, 103.0)])
    assert list(found.doubled) == [QUIET]
    assert not found.is_explained


def test_an_attempt_that_was_recorded_as_lost_and_ended_its_job_was_ended_twice() -> None:
    found = judged(ended=ENDED | {HIT: ended(HIT, 1)})
    assert list(found.doubled) == [HIT]


def test_a_result_of_another_fence_than_the_job_ended_with_was_accepted_from_a_stranger() -> None:
    found = judged(ended=ENDED | {HIT: replace(ENDED[HIT], answered_fence=1)})
    assert list(found.doubled) == [HIT]
    assert not found.is_even


def test_a_job_that_was_opened_again_has_ended_twice() -> None:
    assert list(judged(ended=ENDED | {QUIET: replace(ENDED[QUIET], generation=2)}).doubled) == [QUIET]


def test_a_repetition_that_no_kill_explains_does_not_add_up() -> None:
    found = judged(rows=[replace(ROWS[0], worker_id=OTHER)])
    assert (found.ran_again, found.lost_by_kills) == (1, 0)
    assert not found.is_even


def test_a_failure_is_no_loss_by_a_kill() -> None:
    assert not judged(rows=[replace(ROWS[0], outcome="failed")]).is_even


def test_two_starts_under_one_fence_do_not_add_up() -> None:
    found = judged(starts=[*STARTS, Start(QUIET, 1, 9, 99.1)])
    assert "started 2 times under one fence" in found.unexplained[0]
    assert not found.is_even


def test_a_result_without_any_start_does_not_add_up() -> None:
    found = judged(starts=STARTS[1:])
    assert "no handler started" in found.unexplained[0]
    assert not found.is_even


def test_a_start_under_a_fence_that_the_store_never_gave_out_does_not_add_up() -> None:
    assert not judged(starts=[*STARTS, Start(QUIET, 7, 9, 99.1)]).is_even
