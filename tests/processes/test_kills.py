"""kill -9 of a child and of a whole supervisor: the jobs run again in time, and once."""

from __future__ import annotations

from tests.processes import tasks
from tests.processes.crew import PATIENCE, Crew, is_alive
from tests.processes.pace import Pace
from tests.processes.stores import Shelf
from tests.processes.waiting import until
from tests.processes.witness import Witness
from unstuck.model.states import State


def test_the_jobs_of_a_killed_child_run_in_another(
    crew: Crew, shelf: Shelf, witness: Witness, pace: Pace
) -> None:
    boss = crew.started(shelf, "--threads", "4", processes=2)
    jobs = [job.id for job in tasks.app.enqueue_many([tasks.nap.spec(pace(3.0)) for _ in range(4)])]
    jobs += [job.id for job in tasks.app.enqueue_many([tasks.doze.spec(pace(3.0)) for _ in range(4)])]
    until(lambda: len(witness.running()) == 8, PATIENCE, "all jobs run")
    victim = witness.running()[0].pid
    lost = {word.job for word in witness.running() if word.pid == victim}

    killed = boss.kill_child(victim)
    until(
        lambda: {word.job for word in witness.starts() if word.at > killed} >= lost,
        PATIENCE,
        "they run again",
    )
    again = max(word.at for word in witness.starts() if word.at > killed and word.job in lost)
    print(f"seconds until {len(lost)} jobs ran again in another child: {again - killed:.2f}")
    assert again - killed < pace(2.0)

    until(shelf.is_over, PATIENCE, "everything has ended")
    for job in crew.account(shelf, jobs).values():
        assert job.state is State.SUCCEEDED
        assert job.losses + job.crashes == (job.id in lost)
        assert job.crashes == (lost == {job.id})
    assert not witness.overlaps()


def test_the_jobs_of_the_only_child_run_in_the_next(
    crew: Crew, shelf: Shelf, witness: Witness, pace: Pace
) -> None:
    boss = crew.started(shelf)
    jobs = [tasks.nap.enqueue(pace(2.0)).id]
    until(witness.running, PATIENCE, "the job runs")

    killed = boss.kill_child(boss.children()[0])
    until(lambda: len(witness.starts()) == 2, PATIENCE, "it runs again")
    again = witness.starts()[-1].at
    print(f"seconds until the job ran again in a new child: {again - killed:.2f}")
    assert again - killed < pace(4.0)

    until(shelf.is_over, PATIENCE, "everything has ended")
    job = crew.account(shelf, jobs)[jobs[0]]
    assert (job.state, job.crashes, job.losses, job.failures) == (State.SUCCEEDED, 1, 0, 0)


def test_a_killed_supervisor_takes_its_children_along(
    crew: Crew, shelf: Shelf, witness: Witness, pace: Pace
) -> None:
    """Its jobs, and one in a process of its own, run elsewhere within R + 3 s."""
    boss = crew.started(shelf, "--isolated", "2", processes=2)
    specs = [*(tasks.nap.spec(60.0) for _ in range(3)), *(tasks.doze.spec(60.0) for _ in range(3))]
    jobs = [job.id for job in tasks.app.enqueue_many([*specs, tasks.alone.spec(60.0)])]
    until(lambda: len(witness.running()) == 7, PATIENCE, "all jobs run")
    crew.started(shelf)
    family = {*boss.children(), *(word.pid for word in witness.running())}

    killed = boss.kill()
    until(lambda: not any(map(is_alive, family)), pace(1.0), "its children, and theirs, are gone")
    until(
        lambda: len({w.job for w in witness.starts() if w.at > killed}) == 7,
        pace.bound + PATIENCE,
        "they run elsewhere",
    )
    again = max(word.at for word in witness.starts())
    print(f"seconds until 7 jobs of a killed supervisor ran elsewhere: {again - killed:.2f}")
    assert again - killed < pace.bound + pace(3.0)

    for found in shelf.jobs().values():
        assert (found.state, found.losses, found.crashes) == (State.RUNNING, 1, 0)
    assert {found.id for found in shelf.jobs().values()} == set(jobs)
    assert not witness.overlaps()
