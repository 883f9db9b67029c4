"""The event log: a line for every change, in the transaction of the change, numbered per record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from tests.conformance.trying import (
    BOOM,
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    SECOND,
    Trial,
    new_id,
    new_job,
    new_worker,
)
from unstuck.model.errors import BadSetting, IdConflict
from unstuck.model.happening import MEANING, Happening, LoggedEvent
from unstuck.model.job import Policy
from unstuck.model.moments import micros
from unstuck.model.states import Reason, State
from unstuck.rules import judging, rescuing
from unstuck.storage.protocol import Filter


@pytest.fixture
def logged(trial: Trial) -> Trial:
    """A store that keeps the log. Whatever a test did, folding the log gives every row."""
    trial.ground.keep_events()
    return trial


def lines_of(trial: Trial, record: UUID | str) -> list[LoggedEvent]:
    return [line for line in trial.events(limit=10**6) if line.record == str(record)]


def story_of(trial: Trial, record: UUID | str) -> list[str]:
    lines = lines_of(trial, record)
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    return [str(line.name) for line in lines]


def folds(trial: Trial) -> None:
    """The last line of every record says what its row says, and a row that is gone says so."""
    last = {line.record: line for line in trial.events(limit=10**6)}
    rows: dict[str, Any] = {str(job.id): job for job in trial.find(Filter(limit=10**6))}
    rows |= {str(worker.id): worker for worker in trial.workers(include_ended=True)}
    alive = {record: line for record, line in last.items() if line.kind != "queue"}
    assert {record for record, line in alive.items() if line.name is not Happening.DELETED} == rows.keys()
    for record, row in rows.items():
        facts = {name: value for name, value in last[record].facts.items() if hasattr(row, name)}
        assert facts == {name: plain(getattr(row, name)) for name in facts}


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return micros(value)
    return str(value) if isinstance(value, UUID | str) else value


def test_the_life_of_a_job_is_told_line_by_line(logged: Trial) -> None:
    worker = logged.add_worker()
    job_id = logged.add(delay_us=MINUTE, policy=Policy(tries=3))
    logged.elapse(2 * MINUTE)
    logged.promote(10)
    job = logged.take(worker)
    logged.ask_cancel([job_id])
    logged.end(judging.failed(job, new_id(), worker, BOOM, 0.5))
    logged.revive([job_id])
    logged.set_priority([(job_id, 7)])
    logged.park([(logged.row(job_id), Reason.NO_HANDLER, HOUR)])
    logged.wake([logged.row(job_id)])
    again = logged.take(worker)
    verdict = judging.succeeded(again, new_id(), worker, '"r"')
    logged.end(verdict)
    logged.forget([job_id])
    logged.elapse(SECOND)
    folds(logged)
    logged.prune(10)
    folds(logged)
    assert story_of(logged, job_id) == [
        "inserted", "promoted", "claimed", "cancel_asked", "settled", "revived", "moved", "parked", "woken",
        "claimed", "settled", "forgotten", "deleted",
    ]  # fmt: skip
    lines = lines_of(logged, job_id)
    assert lines[0].facts["tries"] == 3 and lines[0].facts["crash_limit"] is None
    claimed, ended, gone = lines[9].facts, lines[10].facts, lines[12].facts
    assert (claimed["fence"], claimed["worker_id"], claimed["generation"]) == (2, str(worker), 2)
    assert (ended["state"], ended["verdict_id"]) == ("succeeded", str(verdict.id))
    assert ended["finished_at"] is not None
    assert gone == {}


ENDINGS: dict[str, Callable[..., Any]] = {
    "snoozed": lambda job, worker: judging.snoozed(job, new_id(), worker, HOUR),
    "handed back": lambda job, worker: judging.handed_back(job, new_id(), worker, started=True),
    "crashed": lambda job, worker: rescuing.crashed(job, new_id(), worker, {"signal": 9}),
    "lost": lambda job, worker: rescuing.lost(job, new_id(), worker, "gone"),
}


@pytest.mark.parametrize("how", list(ENDINGS))
def test_every_way_out_of_running_is_one_line_that_says_what_was_counted(logged: Trial, how: str) -> None:
    worker = logged.add_worker()
    job = logged.start(worker)
    verdict = ENDINGS[how](job, worker)
    logged.settle([verdict])
    logged.settle([verdict])
    folds(logged)
    assert story_of(logged, job.id) == ["inserted", "claimed", "settled"]
    facts = lines_of(logged, job.id)[-1].facts
    counts = verdict.counts
    assert [facts[name] for name in ("crashes", "losses", "handbacks")] == [
        counts.crashes,
        counts.losses,
        counts.handbacks,
    ]
    assert (facts["state"], facts["reason"]) == (str(verdict.target), str(verdict.reason))


def test_what_an_ending_inserts_has_its_own_log(logged: Trial) -> None:
    follow = new_job()
    worker = logged.add_worker()
    job = logged.start(worker, then=(follow,))
    logged.end(judging.succeeded(job, new_id(), worker, None))
    assert story_of(logged, follow.id) == ["inserted"]
    folds(logged)


def test_the_life_of_a_worker_and_of_a_queue(logged: Trial) -> None:
    worker = logged.add_worker()
    logged.renew([worker], LEASE, {worker: '{"x":1}'})
    logged.mark_stalled(worker, True)
    logged.mark_stalled(worker, False)
    logged.drain(worker)
    logged.drain(worker)
    logged.drain(worker, leave=True)
    logged.end_worker(worker, "stopped")
    folds(logged)
    logged.elapse(2 * DAY)
    logged.prune(10)
    assert story_of(logged, worker) == [
        "registered", "stalled", "ticking", "draining", "leaving", "ended", "deleted"
    ]  # fmt: skip
    lapsed = logged.add_worker()
    logged.elapse(2 * LEASE)
    logged.end_lapsed()
    assert lines_of(logged, lapsed)[-1].facts["reason"] == "lapsed"
    for paused in (True, True, False):
        logged.set_queue("q", paused=paused)
    logged.set_queue("q", step_us=SECOND)
    assert story_of(logged, "q") == ["inserted", "resumed", "changed"]
    folds(logged)


def test_what_changes_nothing_writes_nothing(logged: Trial) -> None:
    worker = logged.add_worker()
    job = logged.start(worker)
    lines = logged.events(limit=10**6)
    new = new_job(id=job.id, args=job.args)
    logged.insert([new])
    logged.register(new_worker(id=worker))
    logged.renew([worker], LEASE)
    logged.write_progress([(job.id, job.fence, "[1,2,null]")])
    logged.write_logs([(job.id, job.fence, 1, "a line")])
    logged.settle([])
    with pytest.raises(IdConflict):
        logged.insert([new_job(), new_job(id=job.id, args="{}")])
    assert logged.events(limit=10**6) == lines


def test_the_log_is_read_page_by_page(logged: Trial) -> None:
    for number in range(7):
        job_id = logged.add(delay_us=HOUR)
        logged.set_priority([(job_id, number + 1)])
    whole = logged.events(limit=10**6)
    assert whole == sorted(whole, key=lambda line: (line.record, line.number))
    paged: list[LoggedEvent] = []
    while page := logged.events((paged[-1].record, paged[-1].number) if paged else None, 3):
        assert len(page) <= 3
        paged += page
    assert paged == whole
    assert len(whole) == 14


def test_a_log_that_was_never_turned_on_says_so(trial: Trial) -> None:
    trial.add()
    with pytest.raises(BadSetting, match="keeps no event log"):
        trial.events()


def test_turned_on_it_begins_with_what_is_there_and_turned_off_it_rests(trial: Trial) -> None:
    migrator = trial.keeper.migrator
    old = trial.add()
    trial.ground.keep_events()
    assert trial.events() == []
    migrator.keep_events(False)
    job_id = trial.add()
    worker = trial.add_worker()
    assert migrator.keep_events(True)
    assert not migrator.keep_events(True)
    assert [story_of(trial, record) for record in (job_id, worker)] == [["found"], ["found"]]
    folds(trial)
    job = trial.take(worker)
    assert migrator.keep_events(False)
    assert not migrator.keep_events(False)
    trial.end(judging.succeeded(job, new_id(), worker, None))
    assert story_of(trial, job_id) == ["found", "claimed"]
    migrator.keep_events(True)
    assert story_of(trial, job_id) == ["found", "claimed", "found"]
    assert lines_of(trial, job_id)[-1].facts["state"] == str(State.SUCCEEDED)
    assert lines_of(trial, old) == []


def test_a_row_that_hands_change_is_told_too(logged: Trial) -> None:
    job_id = logged.add()
    logged.ground.sql(f"UPDATE {{jobs}} SET queue = 'elsewhere' WHERE id = '{job_id}'")
    assert story_of(logged, job_id) == ["inserted", "changed"]
    logged.ground.sql(f"DELETE FROM {{jobs}} WHERE id = '{job_id}'")
    assert story_of(logged, job_id)[-1] == "deleted"


def test_every_happening_has_a_meaning() -> None:
    assert set(MEANING) == set(Happening)
