"""look, and what a running attempt writes: progress and log lines."""

from __future__ import annotations

import json

import pytest

from tests.conformance.trying import HOUR, LEASE, MINUTE, SECOND, Trial, new_id, new_job
from unstuck.rules import judging
from unstuck.storage.protocol import Since


def test_it_tells_the_lowest_line_that_is_ready_in_each_queue(trial: Trial) -> None:
    worker = trial.add_worker()
    for queue in ("a", "b", "elsewhere"):
        for priority in (0, 2, 1):
            trial.add(queue=queue, priority=priority)
    look = trial.look(worker, ["a", "b", "empty"], ["t"])
    lines = {queue: trial.take(worker, queue).line for queue in ("a", "b")}
    assert dict(look.ready) == lines


def test_it_tells_which_queues_it_has_looked_through_in_vain(trial: Trial) -> None:
    worker = trial.add_worker()
    for queue in ("ours", "paused", "paused with theirs"):
        trial.add(queue=queue, task="t" if queue == "ours" else "theirs")
        trial.set_queue(queue, paused=queue.startswith("paused"))
    trial.add(queue="theirs", task="theirs")
    names = ["ours", "theirs", "paused", "paused with theirs", "unheard of"]
    look = trial.look(worker, names, ["t"])
    assert (look.empty, set(look.ready)) == ({"theirs", "unheard of"}, {"ours"})
    behind = dict.fromkeys(names, look.now_us + HOUR)
    look = trial.look(worker, names, ["t"], Since(behind, HOUR))
    assert look.empty == {"ours", "theirs", "unheard of"}


def test_it_leaves_out_paused_queues(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.add(queue="a")
    trial.add(queue="b")
    trial.set_queue("a", paused=True)
    assert list(trial.look(worker, ["a", "b"], ["t"]).ready) == ["b"]


def test_it_leaves_out_tasks_that_the_worker_does_not_name(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.add(task="unknown", priority=5)
    known = trial.add()
    assert dict(trial.look(worker, ["q"], ["t"]).ready) == {"q": trial.row(known).line}
    assert dict(trial.look(worker, ["q"], ["other"]).ready) == {}


def test_it_leaves_out_what_is_not_ready(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.start(worker)
    trial.add(delay_us=HOUR)
    assert dict(trial.look(worker, ["q"], ["t"]).ready) == {}


def test_it_tells_the_time_to_the_next_alarm(trial: Trial) -> None:
    worker = trial.add_worker()
    assert trial.look(worker, ["q"], ["t"]).next_alarm_us is None
    trial.add(delay_us=2 * HOUR)
    trial.add(delay_us=HOUR)
    slack = trial.ground.slack_seconds * SECOND
    assert trial.look(worker, ["q"], ["t"]).next_alarm_us == pytest.approx(HOUR, abs=slack)
    trial.elapse(HOUR + MINUTE)
    assert trial.look(worker, ["q"], ["t"]).next_alarm_us == pytest.approx(-MINUTE, abs=slack)


def test_from_a_place_on_it_leaves_out_what_lies_before(trial: Trial) -> None:
    worker = trial.add_worker()
    for queue in ("a", "b"):
        trial.add(queue=queue, priority=5)
    late = trial.row(trial.add(queue="a"))
    running = trial.row(trial.add(queue="b")), trial.start(worker)
    trial.add(delay_us=HOUR)
    now_us = trial.look(worker, ["a"], ["t"]).now_us
    look = trial.look(worker, ["b", "a", "c"], ["t"], Since({"a": late.line, "b": now_us + HOUR}, HOUR))
    assert dict(look.ready) == {"a": late.line}
    assert look.next_alarm_us is not None and look.is_alive
    trial.ask_cancel([running[1].id])
    look = trial.look(worker, ["a", "b"], ["t"], Since({"b": late.line}, MINUTE))
    assert dict(look.ready) == {"a": trial.take(worker, "a").line, "b": running[0].line}
    assert list(look.cancel) == [(running[1].id, running[1].fence)]
    trial.elapse(2 * HOUR)
    look = trial.look(worker, ["a"], ["t"], Since({}, MINUTE))
    assert (look.next_alarm_us, list(look.cancel)) == (None, [])
    assert trial.promote(10, MINUTE)[""] == 0
    assert trial.promote(10, 3 * HOUR)[""] == 1


def test_it_tells_whether_the_worker_is_alive_to_be_quiet_and_to_leave(trial: Trial) -> None:
    worker = trial.add_worker()
    look = trial.look(worker, ["q"], ["t"])
    assert (look.is_alive, look.is_draining, look.is_leaving) == (True, False, False)
    trial.drain(worker)
    look = trial.look(worker, ["q"], ["t"])
    assert (look.is_alive, look.is_draining, look.is_leaving) == (True, True, False)
    trial.drain(worker, leave=True)
    look = trial.look(worker, ["q"], ["t"])
    assert (look.is_alive, look.is_draining, look.is_leaving) == (True, True, True)
    trial.end_worker(worker, "stopped")
    assert not trial.look(worker, ["q"], ["t"]).is_alive
    assert not trial.look(new_id(), ["q"], ["t"]).is_alive


def test_a_lease_that_has_run_out_is_not_yet_an_end(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.elapse(2 * LEASE)
    assert trial.look(worker, ["q"], ["t"]).is_alive


def test_it_names_the_workers_own_attempts_that_are_asked_to_stop(trial: Trial) -> None:
    worker, other = trial.add_worker(), trial.add_worker()
    asked = [trial.start(worker) for _ in range(3)]
    theirs = trial.start(other)
    trial.start(worker)
    trial.ask_cancel([job.id for job in (*asked, theirs)])
    assert sorted(trial.look(worker, ["q"], ["t"]).cancel) == sorted((job.id, job.fence) for job in asked)
    for job in asked:
        trial.end(judging.cancelled(job, new_id(), worker))
    assert list(trial.look(worker, ["q"], ["t"]).cancel) == []


def test_it_carries_the_stores_clock(trial: Trial) -> None:
    worker = trial.add_worker()
    slack = trial.ground.slack_seconds * SECOND
    assert trial.look(worker, [], []).now_us == pytest.approx(trial.now_us(), abs=slack)


def test_progress_is_kept_for_the_running_attempt(trial: Trial) -> None:
    worker = trial.add_worker()
    one, two = trial.start(worker), trial.start(worker)
    rows = [(one.id, one.fence, json.dumps([3, 10, "ü"])), (two.id, two.fence, json.dumps([0.5, None, ""]))]
    assert trial.write_progress(rows) == {one.id, two.id}
    assert trial.row(one.id).progress == (3, 10, "ü")
    assert trial.row(two.id).progress == (0.5, None, "")


def test_progress_of_an_attempt_that_is_over_is_not_taken(trial: Trial) -> None:
    worker = trial.add_worker()
    old = trial.start(worker)
    trial.end(judging.handed_back(old, new_id(), worker, started=True))
    assert trial.write_progress([(old.id, old.fence, "[1,2,null]")]) == frozenset()
    job = trial.take(worker)
    row = "[1,2,null]"
    assert trial.write_progress([(job.id, old.fence, row), (new_id(), 1, row)]) == frozenset()
    assert trial.row(job.id).progress is None
    assert trial.write_progress([]) == frozenset()


def test_log_lines_are_appended_and_read_oldest_first(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.write_logs([(job.id, 1, 1, "one"), (job.id, 1, 2, "zwei 'ü' \n 🙂")])
    trial.write_logs([(job.id, 2, 1, "three")])
    lines = trial.logs(job.id)
    assert [(line.fence, line.number, line.text) for line in lines] == [
        (1, 1, "one"),
        (1, 2, "zwei 'ü' \n 🙂"),
        (2, 1, "three"),
    ]
    assert all(line.job_id == job.id for line in lines)
    assert trial.seconds_to(lines[0].at) == 0


def test_a_log_line_that_exists_is_left_alone(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.write_logs([(job.id, 1, 1, "first")])
    trial.write_logs([(job.id, 1, 1, "again"), (job.id, 1, 2, "second")])
    assert [line.text for line in trial.logs(job.id)] == ["first", "second"]
    assert trial.logs(new_job().id) == []
