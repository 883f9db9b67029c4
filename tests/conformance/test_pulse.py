"""pulse: how the work goes just now, by bounded reads."""

from __future__ import annotations

import pytest

from tests.conformance.trying import BOOM, HOUR, MINUTE, SECOND, Trial, new_id, new_job
from unstuck.model.states import State
from unstuck.rules import judging


def test_queues_are_counted_no_further_than_asked_and_their_oldest_is_told(trial: Trial) -> None:
    trial.add(queue="old", priority=3)
    trial.elapse(MINUTE)
    trial.insert([new_job(queue="old") for _ in range(3)] + [new_job(queue="young", priority=-5)])
    trial.set_queue("young", paused=True)
    slack = trial.ground.slack_seconds * SECOND
    old, young = trial.pulse(3).depths
    assert (old.queue, old.ready, old.is_paused) == ("old", 3, False)
    assert old.oldest_us == pytest.approx(MINUTE, abs=slack)
    assert (young.queue, young.ready, young.is_paused) == ("young", 1, True)
    assert young.oldest_us == pytest.approx(0, abs=slack)
    assert [each.ready for each in trial.pulse(10).depths] == [4, 1]


def test_the_first_alarms_are_counted_by_state(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.insert([new_job(delay_us=HOUR), new_job(delay_us=HOUR), new_job()])
    trial.start(worker, queue="timed", timeout_us=MINUTE)
    assert trial.pulse(10).alarms == {State.SCHEDULED: 2, State.RUNNING: 1}


def test_who_was_claimed_just_now_tells_how_long_it_had_been_due(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=10 * HOUR)
    trial.insert([new_job(priority=7), new_job(delay_us=2 * SECOND)])
    trial.elapse(3 * SECOND)
    trial.promote(10)
    first, second = trial.claim(worker, "q", ["t"], 10)
    trial.end(judging.succeeded(first, new_id(), worker, None))
    slack = trial.ground.slack_seconds * SECOND
    pulse = trial.pulse(10)
    assert sorted(pulse.waited_us) == [
        pytest.approx(SECOND, abs=slack),
        pytest.approx(3 * SECOND, abs=slack),
    ]
    assert pulse.arrived_us == [pytest.approx(3 * SECOND, abs=slack)] * 2
    trial.elapse(2 * MINUTE)
    assert trial.pulse(10).waited_us == []
    assert second.fence == 1


def test_a_second_attempt_does_not_say_how_long_it_waited(trial: Trial) -> None:
    worker = trial.add_worker(lease_us=10 * HOUR)
    job = trial.start(worker)
    trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5, after_us=SECOND))
    trial.elapse(HOUR)
    trial.promote(1)
    trial.take(worker)
    assert trial.pulse(10).waited_us == []


def test_an_id_made_of_a_text_is_not_among_the_newest(trial: Trial) -> None:
    ours = trial.add()
    trial.add(id=type(ours)("ffffffff-ffff-5fff-bfff-ffffffffffff"))
    assert len(trial.pulse(10).arrived_us) == 1


def test_the_living_and_those_that_went_within_the_hour_are_told_apart(trial: Trial) -> None:
    long_gone, gone, living = (trial.add_worker(lease_us=10 * HOUR) for _ in range(3))
    trial.end_worker(long_gone, "stopped")
    trial.elapse(2 * HOUR)
    trial.end_worker(gone, "killed")
    trial.start(living)
    pulse = trial.pulse(10)
    assert [(each.id, each.running) for each in pulse.workers] == [(living, 1)]
    within = [each.id for each in pulse.gone]
    assert within[0] == gone
    assert within == [gone] or trial.ground.slack_seconds
    assert pulse.gone[0].reason == "killed"
