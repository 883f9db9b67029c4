"""SIGTERM under load: nothing starts after it, nothing is counted, nothing runs twice because of it."""

from __future__ import annotations

from tests.processes import tasks
from tests.processes.crew import PATIENCE, Crew
from tests.processes.pace import Pace
from tests.processes.stores import Shelf
from tests.processes.waiting import until
from tests.processes.witness import Witness
from unstuck.model.states import State

AT_ONCE = 0.3
"""Seconds that a signal may take through a busy supervisor."""


def test_a_stop_under_load(crew: Crew, shelf: Shelf, witness: Witness, pace: Pace) -> None:
    """What runs may end within grace; what does not heed is killed, and only then runs elsewhere."""
    boss = crew.started(
        shelf, "--threads", "4", "--concurrency", "4", "--grace", f"{pace(3):.1f}s", processes=2
    )
    long = [tasks.nap.enqueue(60.0).id, tasks.doze.enqueue(60.0).id, tasks.cling.enqueue(60.0).id]
    until(lambda: {word.job for word in witness.running()} == set(long), PATIENCE, "the long ones run")
    crew.started(shelf, "--threads", "6", "--concurrency", "6")
    short = [job.id for job in tasks.app.enqueue_many([tasks.nap.spec(0.2) for _ in range(150)])]
    short += [job.id for job in tasks.app.enqueue_many([tasks.doze.spec(0.2) for _ in range(150)])]
    until(lambda: len(witness.words("end")) > 50, PATIENCE, "the load is on")
    family = boss.children()

    asked = boss.terminate()
    assert boss.wait(pace(3 + 5) + PATIENCE) == 0
    late = [word.at - asked for word in witness.starts() if word.at > asked and word.pid in family]
    print(f"starts after SIGTERM: {len(late)}, the last {max(late, default=0):.3f} s after it")
    assert max(late, default=0.0) < pace(AT_ONCE)
    leavers = [worker.id for worker in shelf.workers().values() if worker.pid in family]
    assert not any(map(shelf.owned, leavers)), "a stopped worker still owns jobs"

    until(lambda: shelf.counts()[State.SUCCEEDED] == len(short), PATIENCE, "the rest has run")
    until(
        lambda: {word.job for word in witness.starts() if word.pid not in family} >= set(long),
        PATIENCE,
        "the long ones run elsewhere",
    )
    assert not witness.overlaps(), "a job ran again while its first attempt was still at work"
    for job in shelf.jobs().values():
        assert (job.failures, job.crashes, job.losses) == (0, 0, 0)
        assert len(witness.starts(job.id)) == 1 or job.id in long


def test_a_second_signal_stops_at_once(crew: Crew, shelf: Shelf, witness: Witness, pace: Pace) -> None:
    boss = crew.started(shelf)
    jobs = {tasks.nap.enqueue(60.0).id, tasks.doze.enqueue(60.0).id, tasks.alone.enqueue(60.0).id}
    until(lambda: len(witness.running()) == 3, PATIENCE, "the jobs run")

    boss.terminate()
    until(lambda: all(worker.draining_at for worker in shelf.children()), PATIENCE, "the child drains")
    boss.terminate()
    assert boss.wait(pace(3.0)) == 0
    for job_id in jobs:
        job = shelf.job(job_id)
        assert (job.state, job.failures, job.crashes, job.losses) == (State.READY, 0, 0, 0)
