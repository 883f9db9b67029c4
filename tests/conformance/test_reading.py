"""get, find, tally, queues, meta, check: what readers see."""

from __future__ import annotations

import pytest

from tests.conformance.trying import BOOM, HOUR, SECOND, Trial, new_id, new_job
from unstuck.model.job import PRIORITY_STEP_US
from unstuck.model.states import Reason, State
from unstuck.rules import judging
from unstuck.storage.protocol import Filter


def test_a_job_that_is_not_there_is_none(trial: Trial) -> None:
    assert trial.get(new_id()) is None
    assert trial.attempts(new_id()) == []
    assert trial.logs(new_id()) == []


def test_jobs_are_found_in_order_of_id_page_by_page(trial: Trial) -> None:
    jobs = [new_job() for _ in range(7)]
    trial.insert(list(reversed(jobs)))
    pages, after = [], None
    while page := trial.find(Filter(limit=3, after=after)):
        pages.append([job.id for job in page])
        after = page[-1].id
    assert pages == [[job.id for job in jobs[start : start + 3]] for start in (0, 3, 6)]


def test_a_found_job_is_whole(trial: Trial) -> None:
    job_id = trial.add(labels={"a": "b"}, expires_in_us=HOUR, then=(new_job(),))
    assert trial.find(Filter()) == [trial.row(job_id)]


@pytest.fixture
def shelf(trial: Trial) -> dict[str, object]:
    """One job of each kind that a filter can tell apart."""
    worker = trial.add_worker()
    done = trial.start(worker, queue="mail", task="send")
    trial.end(judging.succeeded(done, new_id(), worker, None))
    failed = trial.start(worker, queue="mail", task="send", labels={"tenant": "a"})
    trial.end(judging.failed(failed, new_id(), worker, BOOM, 0.5, may_retry=False))
    running = trial.start(worker, queue="image", task="scale", labels={"tenant": "b", "zone": "a"})
    ready = trial.add(queue="mail", task="scale", labels={"tenant": "a'b"})
    later = trial.add(queue="later", task="send", delay_us=HOUR)
    return {
        "worker": worker,
        "done": done.id,
        "failed": failed.id,
        "running": running.id,
        "ready": ready,
        "later": later,
    }


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ({}, "done failed running ready later"),
        ({"states": (State.READY, State.FAILED)}, "failed ready"),
        ({"states": ()}, ""),
        ({"queue": "mail"}, "done failed ready"),
        ({"task": "send"}, "done failed later"),
        ({"queue": "mail", "task": "send"}, "done failed"),
        ({"reason": Reason.NOT_RETRIED}, "failed"),
        ({"label": ("tenant", "a")}, "failed"),
        ({"label": ("tenant", "a'b")}, "ready"),
        ({"label": ("zone", "b")}, ""),
        ({"queue": "nowhere"}, ""),
        ({"queue": "mail", "states": (State.RUNNING,)}, ""),
    ],
)
def test_each_part_of_a_filter_narrows(
    trial: Trial, shelf: dict[str, object], parts: dict[str, object], names: str
) -> None:
    which = Filter(**parts)  # type: ignore[arg-type]
    found = trial.find(which)
    assert [job.id for job in found] == [shelf[name] for name in names.split()]
    counts: dict[tuple[str, State], int] = {}
    for job in found:
        counts[job.queue, job.state] = counts.get((job.queue, job.state), 0) + 1
    assert trial.tally(which) == counts


def test_jobs_are_found_by_id_and_by_owner(trial: Trial, shelf: dict[str, object]) -> None:
    ids = (shelf["later"], shelf["done"], new_id())
    assert [job.id for job in trial.find(Filter(ids=ids))] == [shelf["done"], shelf["later"]]
    assert [job.id for job in trial.find(Filter(ids=ids, queue="later"))] == [shelf["later"]]
    assert trial.find(Filter(ids=())) == []
    assert trial.tally(Filter(ids=ids)) == {("mail", State.SUCCEEDED): 1, ("later", State.SCHEDULED): 1}
    assert [job.id for job in trial.find(Filter(worker_id=shelf["worker"]))] == [shelf["running"]]


def test_a_tally_counts_all_that_match_whatever_the_page(trial: Trial) -> None:
    jobs = [new_job() for _ in range(5)]
    trial.insert(jobs)
    assert trial.tally(Filter(limit=2, after=jobs[3].id)) == {("q", State.READY): 5}


def test_every_queue_that_has_a_row_or_a_job_is_listed_by_name(trial: Trial) -> None:
    trial.set_queue("empty", step_us=5)
    trial.set_queue("b", paused=True)
    trial.add(queue="b")
    trial.add(queue="a", delay_us=HOUR)
    infos = trial.queues()
    assert [info.name for info in infos] == ["a", "b", "empty"]
    assert [info.step_us for info in infos] == [PRIORITY_STEP_US, PRIORITY_STEP_US, 5]
    assert [info.paused_at is None for info in infos] == [True, False, True]
    assert [info.counts for info in infos] == [{State.SCHEDULED: 1}, {State.READY: 1}, {}]


def test_the_store_knows_who_it_is_and_what_time_it_is(trial: Trial) -> None:
    facts = trial.meta()
    assert facts["instance"]
    assert facts["schema"]
    assert trial.meta()["instance"] == facts["instance"]
    before = int(facts["now_us"])
    trial.elapse(HOUR)
    later = trial.row(trial.add())
    assert abs(trial.now_us() - before) <= HOUR + trial.ground.slack_seconds * SECOND
    assert trial.seconds_to(later.created_at) == 0


def test_a_check_tells_facts_about_the_engine(trial: Trial) -> None:
    facts = trial.check()
    assert facts
    assert all(isinstance(name, str) for name in facts)
