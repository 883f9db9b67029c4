"""insert: all or nothing, answered in order, idempotent by id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from tests.conformance.trying import DAY, HOUR, MINUTE, SECOND, Trial, new_job
from unstuck.model.errors import IdConflict
from unstuck.model.job import PRIORITY_STEP_US, Inserted, Policy
from unstuck.model.states import State

KATHMANDU = timezone(timedelta(hours=5, minutes=45))


def test_a_job_without_delay_is_ready(trial: Trial) -> None:
    row = trial.row(trial.add())
    assert row.state is State.READY
    assert row.wake_at is None
    assert trial.seconds_to(row.created_at) == 0
    assert row.line == pytest.approx(trial.now_us(), abs=trial.ground.slack_seconds * SECOND)


def test_a_job_that_is_due_later_is_scheduled_with_that_alarm(trial: Trial) -> None:
    row = trial.row(trial.add(delay_us=HOUR))
    assert row.state is State.SCHEDULED
    assert trial.seconds_to(row.wake_at) == 3600


def test_a_due_moment_in_the_stores_future_is_kept_exactly(trial: Trial) -> None:
    at = datetime.now(UTC).replace(microsecond=123_457) + timedelta(days=2)
    row = trial.row(trial.add(due_at=at))
    assert row.state is State.SCHEDULED
    assert row.wake_at == at
    assert row.line == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_a_due_moment_in_another_zone_is_the_same_moment(trial: Trial) -> None:
    at = datetime.now(UTC) + timedelta(days=2)
    row = trial.row(trial.add(due_at=at.astimezone(KATHMANDU)))
    assert row.wake_at == at


def test_a_due_moment_in_the_stores_past_is_ready_and_does_not_jump_the_line(trial: Trial) -> None:
    first = trial.add()
    trial.elapse(SECOND)
    past = trial.add(due_at=datetime.now(UTC) - timedelta(days=2))
    assert trial.row(past).state is State.READY
    assert trial.row(past).line > trial.row(first).line


def test_a_ready_job_with_an_expiry_has_it_as_alarm(trial: Trial) -> None:
    row = trial.row(trial.add(expires_in_us=HOUR))
    assert row.state is State.READY
    assert row.wake_at == row.expires_at
    assert trial.seconds_to(row.expires_at) == 3600


def test_a_scheduled_job_keeps_its_expiry_beside_its_alarm(trial: Trial) -> None:
    row = trial.row(trial.add(delay_us=HOUR, expires_in_us=2 * HOUR))
    assert trial.seconds_to(row.wake_at) == 3600
    assert trial.seconds_to(row.expires_at) == 7200


@pytest.mark.parametrize("priority", [-100, -1, 0, 1, 100])
def test_the_line_is_the_due_moment_minus_priority_times_the_step(trial: Trial, priority: int) -> None:
    plain, other = new_job(delay_us=HOUR), new_job(delay_us=HOUR, priority=priority)
    trial.insert([plain, other])
    assert trial.row(plain.id).line - trial.row(other.id).line == priority * PRIORITY_STEP_US
    assert trial.row(other.id).priority == priority


def test_the_step_is_that_of_the_queue(trial: Trial) -> None:
    trial.set_queue("slow", step_us=7)
    plain, other = new_job(queue="slow"), new_job(queue="slow", priority=3)
    trial.insert([plain, other])
    assert trial.row(plain.id).line - trial.row(other.id).line == 21


def test_a_new_job_starts_with_nothing_behind_it(trial: Trial) -> None:
    row = trial.row(trial.add())
    assert (row.generation, row.fence, row.attempt) == (1, 0, 1)
    assert (row.failures, row.crashes, row.losses, row.handbacks, row.snoozes) == (0, 0, 0, 0, 0)
    assert (row.worker_id, row.verdict_id, row.reason, row.result, row.error) == (None,) * 5
    assert (row.claimed_at, row.finished_at, row.keep_until, row.cancel_asked_at) == (None,) * 4
    assert row.progress is None


def test_everything_that_was_asked_for_comes_back(trial: Trial) -> None:
    asked = new_job(
        args='{"text":"Grüße, 世界 🙂 \\u0000 \\" \'; DROP TABLE jobs; --","n":1.5}',
        timeout_us=90 * SECOND,
        labels={"tenant": "a/b 'c'", "zone": "ü"},
        policy=Policy(
            tries=9,
            crash_limit=2,
            loss_limit=4,
            backoff_base_us=17,
            backoff_factor=1.5,
            backoff_cap_us=10**12,
            backoff_jitter=0.1,
            keep_succeeded_us=3 * DAY,
            keep_other_us=0,
        ),
        then=(
            new_job(
                queue="after",
                task="follow",
                delay_us=MINUTE,
                priority=-7,
                labels={"x": "y"},
                policy=Policy(tries=1),
                then=(new_job(due_at=datetime(2033, 5, 17, 4, 5, 6, 789, tzinfo=UTC), expires_in_us=DAY),),
            ),
        ),
    )
    trial.insert([asked])
    row = trial.row(asked.id)
    for name in (
        "id",
        "queue",
        "task",
        "args",
        "priority",
        "timeout_us",
        "policy",
        "labels",
        "then",
        "codec",
    ):
        assert getattr(row, name) == getattr(asked, name), name


def test_answers_come_in_the_order_given(trial: Trial) -> None:
    there = [new_job() for _ in range(5)]
    trial.insert(there)
    fresh = [new_job() for _ in range(5)]
    mixed = [job for pair in zip(reversed(fresh), there, strict=True) for job in pair]
    assert trial.insert(mixed) == [Inserted(job.id, created=job in fresh) for job in mixed]


def test_an_id_that_exists_with_the_same_task_and_arguments_changes_nothing(trial: Trial) -> None:
    job = new_job(priority=3)
    trial.insert([job])
    before = trial.row(job.id)
    again = new_job(id=job.id, priority=50, queue="elsewhere", delay_us=HOUR)
    assert trial.insert([again]) == [Inserted(job.id, created=False)]
    assert trial.row(job.id) == before


@pytest.mark.parametrize("other", [{"args": '{"n":2}'}, {"task": "other"}], ids=["arguments", "task"])
def test_an_id_that_exists_with_another_task_or_arguments_is_refused_and_nothing_is_inserted(
    trial: Trial, other: dict[str, str]
) -> None:
    there = trial.add()
    before = trial.row(there)
    fresh = [new_job(), new_job()]
    with pytest.raises(IdConflict, match=str(there)):
        trial.insert([fresh[0], new_job(id=there, **other), fresh[1]])
    assert [trial.get(job.id) for job in fresh] == [None, None]
    assert trial.row(there) == before


def test_one_id_twice_in_one_call_is_inserted_once(trial: Trial) -> None:
    job = new_job()
    assert trial.insert([job, job]) == [Inserted(job.id, created=True), Inserted(job.id, created=False)]


def test_one_id_with_two_meanings_in_one_call_is_refused(trial: Trial) -> None:
    job = new_job()
    with pytest.raises(IdConflict):
        trial.insert([job, new_job(id=job.id, args="{}")])
    assert trial.get(job.id) is None


def test_an_ended_job_still_answers_for_its_id(trial: Trial) -> None:
    worker = trial.add_worker()
    job = new_job()
    trial.insert([job])
    trial.take(worker)
    assert trial.insert([job]) == [Inserted(job.id, created=False)]
    assert trial.row(job.id).state is State.RUNNING


def test_no_jobs_are_no_work(trial: Trial) -> None:
    assert trial.insert([]) == []


def test_many_jobs_at_once_are_all_there(trial: Trial) -> None:
    jobs = [new_job(args=f'{{"n":{n}}}') for n in range(700)]
    assert all(inserted.created for inserted in trial.insert(jobs))
    assert trial.queues()[0].counts == {State.READY: 700}


def test_the_delay_counts_from_the_stores_now(trial: Trial) -> None:
    trial.elapse(5 * DAY)
    assert trial.seconds_to(trial.row(trial.add(delay_us=MINUTE)).wake_at) == 60


def test_any_uuid_can_be_an_id(trial: Trial) -> None:
    ids = [UUID(int=number) for number in (0, 1, 2**127, 2**128 - 1)]
    trial.insert([new_job(id=each) for each in ids])
    assert [trial.row(each).id for each in ids] == ids
