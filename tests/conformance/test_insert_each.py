"""insert_each: many jobs in one commit, each as if it had been inserted by itself."""

from __future__ import annotations

import msgspec
import pytest

from tests.conformance.trying import HOUR, SECOND, Trial, new_job
from unstuck.model.errors import IdConflict
from unstuck.model.job import Inserted, Policy
from unstuck.model.states import State


def test_each_is_there_and_answered_in_the_order_given(trial: Trial) -> None:
    jobs = [new_job(args=f'{{"n":{n}}}') for n in range(5)]
    given = [jobs[3], jobs[0], jobs[4], jobs[1], jobs[2]]
    assert trial.insert_each(given) == [Inserted(job.id, created=True) for job in given]
    assert [trial.row(job.id).args for job in jobs] == [job.args for job in jobs]


def test_one_whose_id_has_another_meaning_is_told_and_the_others_are_inserted(trial: Trial) -> None:
    there = new_job(args='{"n":1}')
    trial.insert([there])
    fresh = [new_job(), new_job()]
    answers = trial.insert_each([fresh[0], new_job(id=there.id, args='{"n":2}'), fresh[1]])
    assert answers[0] == Inserted(fresh[0].id, created=True)
    assert answers[2] == Inserted(fresh[1].id, created=True)
    assert isinstance(answers[1], IdConflict)
    assert str(there.id) in str(answers[1])
    assert [trial.row(job.id).state for job in fresh] == [State.READY] * 2
    assert trial.row(there.id).args == '{"n":1}'


def test_one_that_is_there_already_is_told_and_not_touched(trial: Trial) -> None:
    there, fresh = new_job(priority=3), new_job()
    trial.insert([there])
    before = trial.row(there.id)
    assert trial.insert_each([there, fresh]) == [
        Inserted(there.id, created=False),
        Inserted(fresh.id, created=True),
    ]
    assert trial.row(there.id) == before


def test_one_that_was_claimed_meanwhile_is_there_too(trial: Trial) -> None:
    worker = trial.add_worker()
    jobs = [new_job(), new_job()]
    trial.insert_each(jobs)
    trial.take(worker)
    assert trial.insert_each(jobs) == [Inserted(job.id, created=False) for job in jobs]


def test_the_first_of_two_with_one_id_counts(trial: Trial) -> None:
    job, other = new_job(), new_job()
    again = new_job(id=job.id, args='{"other":1}')
    answers = trial.insert_each([job, job, again, other])
    assert answers[0] == Inserted(job.id, created=True)
    assert answers[1] == Inserted(job.id, created=False)
    assert isinstance(answers[2], IdConflict)
    assert answers[3] == Inserted(other.id, created=True)
    assert trial.row(job.id).args == job.args


def test_jobs_of_every_kind_go_together(trial: Trial) -> None:
    trial.set_queue("slow", step_us=7)
    plain, later, urgent = new_job(), new_job(delay_us=HOUR), new_job(queue="slow", priority=3)
    kept = new_job(expires_in_us=HOUR, timeout_us=SECOND, labels={"a": "b"}, policy=Policy(tries=1))
    parent = new_job(then=(new_job(task="follow"),))
    jobs = [plain, later, urgent, kept, parent]
    assert all(answer.created for answer in trial.insert_each(jobs))
    for job in jobs:
        row = trial.row(job.id)
        assert row.state is (State.SCHEDULED if job is later else State.READY)
        assert (row.queue, row.priority, row.timeout_us) == (job.queue, job.priority, job.timeout_us)
        assert (row.labels, row.policy, row.then) == (job.labels, job.policy, job.then)
    assert trial.row(plain.id).line - trial.row(urgent.id).line == 21


def test_no_jobs_are_no_work(trial: Trial) -> None:
    assert trial.insert_each([]) == []


@pytest.mark.parametrize("promise", ["insert", "insert_each"])
def test_many_alike_of_which_one_is_there(trial: Trial, promise: str) -> None:
    """Many that differ in id and arguments only may go a shorter way, until one of them stands in it."""
    jobs = [new_job(args=f'{{"n":{n}}}') for n in range(300)]
    trial.insert([jobs[250]])
    answers = getattr(trial, promise)(jobs)
    assert [answer.created for answer in answers] == [n != 250 for n in range(300)]
    assert {trial.row(job.id).args for job in jobs} == {job.args for job in jobs}
    assert trial.queues()[0].counts == {State.READY: 300}
    assert [answer.created for answer in getattr(trial, promise)(jobs)] == [False] * 300


def test_of_many_alike_all_or_none(trial: Trial) -> None:
    jobs = [new_job(args=f'{{"n":{n}}}') for n in range(30)]
    trial.insert([new_job(id=jobs[20].id, args="{}")])
    with pytest.raises(IdConflict):
        trial.insert(jobs)
    assert trial.queues()[0].counts == {State.READY: 1}


@pytest.mark.parametrize("text", ['"', "\\\\", "{}", ",", "NULL", "", "ü世🙂", "a\\nb", "'"])
def test_texts_of_many_arrive_letter_by_letter(trial: Trial, text: str) -> None:
    args = [msgspec.json.encode({"t": text, "n": n}).decode() for n in range(3)]
    jobs = [new_job(args=each) for each in args]
    trial.insert_each(jobs)
    assert [trial.row(job.id).args for job in jobs] == args
