"""Many jobs with drawn endings while children are killed: each ends once, exactly as it drew.

20,000 jobs and 30 kills are what the promise is judged by: `make processes JOBS=20000`. In the suite there are
fewer of both, and each job takes longer, so that every kill meets as many running jobs.
"""

from __future__ import annotations

import os
from uuid import UUID

import pytest

from tests.processes import history, tasks
from tests.processes.crew import Crew
from tests.processes.draws import Ending, ending_of
from tests.processes.pace import Pace, holds
from tests.processes.stores import Shelf
from tests.processes.waiting import until
from tests.processes.witness import Witness
from unstuck import Spec
from unstuck.engine.env import boottime
from unstuck.model.job import Job
from unstuck.model.states import Reason, State

JOBS = int(os.environ.get("UNSTUCK_JOBS") or 1000)
KILLS = 30 if JOBS > 1000 else 12
PROCESSES = 8
PLACES = PROCESSES * (4 + 6)
EVERY = 0.75
"""Seconds between kills. A child is killed when all others have been: a longer life costs less back-off."""

SECONDS = round(1.07 * KILLS * EVERY * PLACES / JOBS, 3)
"""How long each job takes, so that there is work for as long as the kills last."""


@pytest.mark.timeout(900)
def test_many_jobs_end_as_they_drew_while_children_are_killed(
    crew: Crew, shelf: Shelf, witness: Witness, pace: Pace
) -> None:
    history.kept(shelf)
    places = ("--threads", "4", "--concurrency", "6", "--isolated", "2")
    bosses = [crew.started(shelf, *places, processes=PROCESSES // 2) for _ in range(2)]
    drawn: dict[UUID, int] = {}
    began = boottime()
    for first in range(0, JOBS, 2000):
        numbers = range(first, min(first + 2000, JOBS))
        handles = tasks.app.enqueue_many([spec_of(number) for number in numbers])
        drawn |= {handle.id: number for handle, number in zip(handles, numbers, strict=True)}

    killed: list[int] = []
    due = boottime()

    def is_over() -> bool:
        nonlocal due
        if boottime() >= due and len(killed) < KILLS + 5:
            victim = longest_alive(shelf, {word.pid for word in witness.running()} - set(killed))
            for boss in bosses:
                if victim in boss.children():
                    boss.kill_child(victim)
                    killed.append(victim)
            due = boottime() + EVERY
        return shelf.is_over()

    until(is_over, pace(120 + JOBS / 50), "everything has ended", pause=0.2)
    took = boottime() - began
    print(f"{JOBS} jobs in {took:.1f} s, {len(killed)} children killed")
    assert len(killed) >= KILLS

    jobs = crew.account(shelf, list(drawn))
    wrong = [line for job in jobs.values() for line in differences(job, drawn[job.id])]
    holds(not wrong, "\n".join(wrong[:20]))
    holds(set(witness.stays()) == set(drawn), "some never started")
    losses = sum(job.losses for job in jobs.values())
    again = sum(len(stays) for stays in witness.stays().values()) - len(jobs)
    print(f"attempts lost with a killed child: {losses}; handler starts beyond one per job: {again}")
    crew.end()
    book = history.agrees(shelf, witness, drawn, pace)
    print(f"the history checker: H9 {book.verdict('H9')}, H26 {book.verdict('H26')}")
    if not any(worker.reason == "lost" for worker in shelf.workers().values()):
        # A machine that stands still for a lease may lose a worker, and only then may two attempts overlap.
        assert not witness.overlaps()
        assert sum(worker.late_endings for worker in shelf.workers().values()) == 0


def longest_alive(shelf: Shelf, busy: set[int]) -> int:
    """Among these processes, the child that has lived longest; 0 where there is none."""
    living = [worker for worker in shelf.children() if worker.pid in busy]
    return min(living, key=lambda worker: worker.started_at).pid if living else 0


def spec_of(number: int) -> Spec[int]:
    ending = ending_of(number)
    if ending.name == "kill_alone":
        return tasks.draw_alone.using(tries=ending.tries).spec(number)
    if ending.name == "timeout":
        return tasks.adraw.using(tries=ending.tries, timeout="300ms").spec(number, SECONDS)
    task = tasks.adraw if number % 2 else tasks.draw
    return task.using(tries=ending.tries).spec(number, SECONDS)


def differences(job: Job, number: int) -> list[str]:
    """Where the row does not say what the number drew."""
    ending: Ending = ending_of(number)
    found: list[str] = []
    for name in ("state", "reason", "failures"):
        wanted, is_so = getattr(ending, name), getattr(job, name)
        if name == "reason" and ending.state is State.SUCCEEDED:
            continue
        if is_so != wanted:
            found.append(f"job {number}, drawn {ending.name}: {name} is {is_so}, not {wanted}")
    if ending.crashes and job.crashes != ending.crashes:
        found.append(f"job {number}, drawn {ending.name}: crashes are {job.crashes}, not {ending.crashes}")
    if ending.state is State.SUCCEEDED and job.result != str(number):
        found.append(f"job {number}, drawn {ending.name}: its result is {job.result}")
    if not ending.crashes and job.reason is Reason.CRASH_LIMIT:
        found.append(f"job {number} was convicted of crashes that it did not cause")
    return found
