"""Handlers that take their process along, cannot be stopped, or run in a process of their own."""

from __future__ import annotations

from uuid import UUID

from tests.processes import tasks
from tests.processes.crew import PATIENCE, Crew
from tests.processes.pace import Pace
from tests.processes.stores import Shelf
from tests.processes.waiting import until
from tests.processes.witness import Witness
from unstuck.model.states import Reason, State
from unstuck.model.verdict import Outcome


def test_killers_are_convicted_and_their_neighbours_are_not(
    crew: Crew, shelf: Shelf, witness: Witness
) -> None:
    """Two tasks that end their process each time, with 50 neighbours of 20 s in the same child."""
    boss = crew.started(shelf, "--threads", "60", "--concurrency", "60", "--isolated", "50")
    neighbours = [job.id for job in tasks.app.enqueue_many([tasks.nap.spec(20.0) for _ in range(25)])]
    neighbours += [job.id for job in tasks.app.enqueue_many([tasks.doze.spec(20.0) for _ in range(25)])]
    until(lambda: len(witness.running()) == 50, PATIENCE, "the neighbours run")
    killers = [tasks.leave_by_exit.enqueue().id, tasks.leave_by_kill.enqueue().id]
    until(
        lambda: {shelf.job(job_id).state for job_id in killers} == {State.FAILED},
        PATIENCE,
        "both are convicted",
    )
    until(shelf.is_over, 20.0 + 2 * PATIENCE, "everything has ended")

    jobs = crew.account(shelf, [*neighbours, *killers])
    for job_id in killers:
        job = jobs[job_id]
        assert (job.state, job.reason, job.crashes) == (State.FAILED, Reason.CRASH_LIMIT, 3)
    for job_id in neighbours:
        job = jobs[job_id]
        assert (job.state, job.crashes, job.failures) == (State.SUCCEEDED, 0, 0)
        assert job.losses <= 3, "a suspect runs in a process of its own, where nobody else can hurt it"
    starts = {
        name: len(witness.starts(job_id)) for name, job_id in zip(("exit", "kill"), killers, strict=True)
    }
    print(
        f"starts until the crash limit: {starts}; losses of neighbours: {sorted({jobs[n].losses for n in neighbours})}"
    )
    assert not witness.overlaps()
    assert boss.process.poll() is None


def test_what_runs_alone_dies_alone(crew: Crew, shelf: Shelf, witness: Witness, pace: Pace) -> None:
    """Its process is killed at its timeout; its death is its own crash, also where a child of it lives on."""
    boss = crew.started(shelf, "--isolated", "4")
    (child,) = boss.children()
    bystander = tasks.nap.enqueue(15.0).id
    slow = tasks.alone.using(timeout="1s", tries=1).enqueue(60.0).id
    deadly = [tasks.alone_and_killed.enqueue(leaves).id for leaves in (False, True)]
    fine = tasks.alone.enqueue(0.1)

    assert fine.result(timeout=PATIENCE) != child
    until(lambda: shelf.job(slow).is_final, 1.0 + pace(5.0), "the slow one has ended at its timeout")
    assert (shelf.job(slow).reason, shelf.job(slow).failures) == (Reason.TIMEOUT, 1)
    for job_id in deadly:
        until(lambda job_id=job_id: shelf.job(job_id).is_final, PATIENCE, "the deadly one has ended")
        assert (shelf.job(job_id).reason, shelf.job(job_id).crashes) == (Reason.CRASH_LIMIT, 3)
        outcomes = [attempt.outcome for attempt in shelf.run(shelf.store.attempts(job_id))]
        assert outcomes == [Outcome.CRASHED] * 3
    until(shelf.is_over, PATIENCE, "everything has ended")
    crew.account(shelf, [bystander, slow, *deadly, fine.id])
    assert len(witness.starts(bystander)) == 1
    assert boss.children() == [child]


def test_what_does_not_stop_makes_its_child_be_replaced(
    crew: Crew, shelf: Shelf, witness: Witness, pace: Pace
) -> None:
    """A thread and a coroutine far past their timeouts; what raises SystemExit fails like any other."""
    boss = crew.started(shelf, "--grace", f"{pace(2):.1f}s")
    (child,) = boss.children()
    past: list[UUID] = [tasks.nap.using(timeout="1s", tries=1).enqueue(60.0).id]
    past.append(tasks.cling.using(timeout="1s", tries=1).enqueue(60.0).id)
    bystander = tasks.doze.enqueue(pace(3.0)).id
    leaver = tasks.raise_exit.using(tries=1).enqueue().id
    until(lambda: shelf.job(leaver).is_final, PATIENCE, "SystemExit is a failure")
    assert (shelf.job(leaver).reason, shelf.job(leaver).failures) == (Reason.TRIES_EXHAUSTED, 1)

    until(
        lambda: all(shelf.job(job_id).is_final for job_id in past),
        1 + pace(5 + 2),
        "settled one grace after the timeout",
    )
    for job_id in past:
        assert (shelf.job(job_id).state, shelf.job(job_id).reason) == (State.FAILED, Reason.TIMEOUT)
    until(lambda: boss.children() not in ([child], []), PATIENCE, "the child is replaced")
    after = tasks.nap.enqueue(0.1).id
    until(shelf.is_over, PATIENCE, "everything has ended")
    jobs = crew.account(shelf, [*past, bystander, leaver, after])
    assert (jobs[bystander].state, jobs[bystander].attempt) == (State.SUCCEEDED, 1)
    assert len(witness.starts(bystander)) == 1
    assert jobs[after].state is State.SUCCEEDED
