"""Jobs come in: by the promise itself, and by the command that asks again for a while."""

from __future__ import annotations

from typing import Any

from tests.crashpoints.acting import Acting, Scenario
from tests.crashpoints.stages import SECOND, Stage
from unstuck.app import commands
from unstuck.model.errors import IdConflict
from unstuck.model.job import NewJob


def one(stage: Stage) -> list[NewJob]:
    return [stage.new_job()]


def several(stage: Stage) -> list[NewJob]:
    """One ready, one scheduled, one that will expire late, one with a follow-up."""
    stage.ask(stage.store.set_queue("r", step_us=SECOND))
    return [
        stage.new_job(),
        stage.new_job(queue="r", priority=3, delay_us=2 * SECOND),
        stage.new_job(expires_in_us=3600 * SECOND),
        stage.new_job(then=(stage.new_job(task="u"),)),
    ]


def with_one_there(stage: Stage) -> list[NewJob]:
    jobs = several(stage)
    stage.ask(stage.store.insert(jobs[:1]))
    return jobs


def with_another_there(stage: Stage) -> list[NewJob]:
    jobs = several(stage)
    stage.ask(stage.store.insert([stage.new_job(id=jobs[2].id, args='{"n":2}')]))
    return jobs


def insert(acting: Acting, jobs: list[NewJob]) -> Any:
    return acting.store.insert(jobs)


def alike(stage: Stage) -> list[NewJob]:
    """They differ in id and arguments only, so that all go in the shortest statement."""
    return [stage.new_job(args=f'{{"n":{n}}}') for n in range(3)]


def alike_again(stage: Stage) -> list[NewJob]:
    return [*alike(stage), stage.new_job()]


def alike_with_one_there(stage: Stage) -> list[NewJob]:
    jobs = alike(stage)
    stage.ask(stage.store.insert(jobs[1:2]))
    return jobs


def one_after_another(acting: Acting, jobs: list[NewJob]) -> Any:
    """On one connection, which prepares the statement meanwhile."""
    answers: list[Any] = []
    for job in jobs:
        answers += yield acting.store.insert([job])
    return answers


def insert_each(acting: Acting, jobs: list[NewJob]) -> Any:
    return acting.store.insert_each(jobs)


def enqueue_each(acting: Acting, jobs: list[NewJob]) -> Any:
    watch = acting.kept("watch", lambda: commands.QueueWatch(lambda said: None))
    return commands.enqueue_each(acting.store, jobs, watch)


def enqueue(acting: Acting, jobs: list[NewJob]) -> Any:
    watch = acting.kept("watch", lambda: commands.QueueWatch(lambda said: None))
    return commands.enqueue(acting.store, jobs, watch)


def created(answer: Any) -> list[bool | str]:
    return ["conflict" if isinstance(each, IdConflict) else each.created for each in answer]


SCENARIOS = (
    Scenario(
        "insert one job", ("insert",), one, insert, [True], [False], tells=created
    ),
    Scenario(
        "insert several jobs", ("insert",), several, insert, [True] * 4, [False] * 4, tells=created
    ),
    Scenario(
        "insert jobs of which one is there",
        ("insert",), with_one_there, insert, [False, True, True, True], [False] * 4, tells=created,
    ),
    Scenario(
        "insert jobs of which one is another's",
        ("insert",), with_another_there, insert, IdConflict, IdConflict, tells=created,
    ),
    Scenario(
        "insert jobs that are alike", ("insert",), alike, insert, [True] * 3, [False] * 3, tells=created
    ),
    Scenario(
        "insert jobs that are alike, of which one is there",
        ("insert",), alike_with_one_there, insert, [True, False, True], [False] * 3, tells=created,
    ),
    Scenario(
        "insert jobs one after another",
        ("insert",), alike_again, one_after_another, [True] * 4, [False] * 4, tells=created, goes_on=True,
    ),
    Scenario(
        "insert each of several jobs",
        ("insert_each",), several, insert_each, [True] * 4, [False] * 4, tells=created,
    ),
    Scenario(
        "insert each of several jobs of which one is another's",
        ("insert_each",), with_another_there, insert_each,
        [True, True, "conflict", True], [False, False, "conflict", False], tells=created,
    ),
    Scenario(
        "insert each of jobs that are alike, of which one is there",
        ("insert_each",), alike_with_one_there, insert_each, [True, False, True], [False] * 3, tells=created,
    ),
    Scenario(
        "enqueue each of several jobs",
        ("commands.enqueue_each",), several, enqueue_each, [True] * 4, [False] * 4, tells=created, goes_on=True,
    ),
    Scenario(
        "enqueue a job", ("commands.enqueue",), one, enqueue, [True], [False], tells=created, goes_on=True
    ),
    Scenario(
        "enqueue several jobs",
        ("commands.enqueue",), several, enqueue, [True] * 4, [False] * 4, tells=created, goes_on=True,
    ),
)  # fmt: skip
