"""Crashes convict only the guilty; losses make suspects; both have their limits."""

from __future__ import annotations

import pytest

from tests.unit.making import VERDICT_ID, WORKER_ID, claimed
from unstuck.model.job import Policy
from unstuck.model.states import Event, Reason
from unstuck.model.verdict import Counts, Outcome
from unstuck.rules.rescuing import crashed, lost
from unstuck.rules.retrying import LOSS_DELAY_US


@pytest.mark.parametrize(("crashes", "event"), [(0, Event.RETRY), (1, Event.RETRY), (2, Event.FAIL)])
def test_the_third_crash_is_the_end(crashes: int, event: Event) -> None:
    verdict = crashed(claimed(crashes=crashes), VERDICT_ID, WORKER_ID, {"signal": "SIGSEGV"})
    assert verdict.event is event
    assert (verdict.counts, verdict.outcome) == (Counts(crashes=1, snoozes=None), Outcome.CRASHED)
    if event is Event.RETRY:
        assert (verdict.delay_us, verdict.reason) == (100_000 * 4**crashes, Reason.CRASHED)
    else:
        assert (verdict.keep_us, verdict.reason) == (30 * 86_400 * 10**6, Reason.CRASH_LIMIT)


def test_a_crash_says_how_the_process_died() -> None:
    verdict = crashed(claimed(failures=1), VERDICT_ID, WORKER_ID, {"exit_code": 3, "peak_memory": 10**9})
    assert verdict.error is not None
    assert verdict.error.message == "the process of attempt 2 died (exit code 3)"
    assert verdict.detail == {"exit_code": 3, "peak_memory": 10**9}


def test_the_crash_limit_is_the_policys() -> None:
    assert crashed(claimed(policy=Policy(crash_limit=1)), VERDICT_ID, None, {}).event is Event.FAIL
    assert (
        crashed(claimed(crashes=8, policy=Policy(crash_limit=10)), VERDICT_ID, None, {}).event is Event.RETRY
    )


@pytest.mark.parametrize(("losses", "event"), [(0, Event.RETRY), (8, Event.RETRY), (9, Event.FAIL)])
def test_the_tenth_loss_is_the_end(losses: int, event: Event) -> None:
    verdict = lost(claimed(losses=losses), VERDICT_ID, WORKER_ID, "host gone")
    assert verdict.event is event
    assert (verdict.counts, verdict.outcome) == (Counts(losses=1, snoozes=None), Outcome.LOST)
    if event is Event.RETRY:
        assert (verdict.delay_us, verdict.reason) == (LOSS_DELAY_US, Reason.LOST)
    else:
        assert verdict.reason is Reason.LOST_LIMIT


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("columns", [{"crashes": 2}, {"losses": 3}, {}])
def test_only_a_suspect_that_ran_alone_is_convicted_by_a_loss(columns: dict[str, int], alone: bool) -> None:
    verdict = lost(claimed(**columns), VERDICT_ID, WORKER_ID, "host gone", alone=alone)
    is_convicted = alone and bool(columns)
    assert verdict.counts == (
        Counts(crashes=1, snoozes=None) if is_convicted else Counts(losses=1, snoozes=None)
    )


def test_a_rescue_needs_no_known_worker() -> None:
    assert lost(claimed(), VERDICT_ID, None, "no row").worker_id is None
