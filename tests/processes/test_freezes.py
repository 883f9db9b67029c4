"""SIGSTOP and handlers that stop the world: whoever is frozen loses nothing that it had started and no more
than that, and whoever comes back too late is told so."""

from __future__ import annotations

from uuid import UUID

from tests.processes import tasks
from tests.processes.crew import PATIENCE, Boss, Crew, is_alive
from tests.processes.pace import SWEEP, Pace
from tests.processes.stores import Shelf
from tests.processes.waiting import until
from tests.processes.witness import Witness
from unstuck import Task
from unstuck.engine.env import boottime
from unstuck.model.states import Reason, State
from unstuck.model.worker import Worker


def test_a_supervisor_frozen_with_its_children_past_the_lease(
    crew: Crew, shelf: Shelf, witness: Witness, pace: Pace
) -> None:
    boss = crew.started(shelf, processes=2)
    specs = [*(tasks.stay.spec() for _ in range(3)), *(tasks.astay.spec() for _ in range(3))]
    jobs = [job.id for job in tasks.app.enqueue_many(specs)]
    until(lambda: len(witness.running()) == 6, PATIENCE, "the jobs run")
    frozen_workers = {worker.id for worker in shelf.workers().values()}
    crew.started(shelf)

    family = [boss.pid, *boss.children()]
    frozen = crew.freeze(shelf, family)
    until(
        lambda: {w.job for w in witness.starts() if w.at > frozen} == set(jobs),
        pace.bound + PATIENCE,
        "they run elsewhere",
    )
    again = max(word.at for word in witness.starts())
    print(f"seconds until 6 jobs of a frozen supervisor ran elsewhere: {again - frozen:.2f}")
    assert again - frozen < pace.bound + pace(3.0)

    witness.let_go("1")
    thawed = boss.thaw(family)
    until(
        lambda: late_endings(shelf, frozen_workers) == 6, PATIENCE, "six late endings are refused and counted"
    )
    until(
        lambda: [w for w in shelf.workers().values() if w.pid == boss.pid and w.ended_at is None],
        PATIENCE,
        "the supervisor comes back under a new identity",
    )
    until(lambda: len(newcomers(shelf, boss, frozen_workers)) == 2, PATIENCE, "with new children")
    print(f"seconds from SIGCONT until the supervisor had new children: {boottime() - thawed:.2f}")

    witness.let_go("2")
    until(shelf.is_over, PATIENCE, "everything has ended")
    for job in crew.account(shelf, jobs).values():
        assert (job.state, job.losses, job.crashes, job.failures) == (State.SUCCEEDED, 1, 0, 0)
        (lost,) = shelf.run(shelf.store.attempts(job.id))
        assert lost.worker_id in frozen_workers and lost.late_at is not None and lost.late_wanted
        assert len(witness.starts(job.id)) == 2
    assert all(shelf.workers()[worker_id].ended_at for worker_id in frozen_workers)


def test_a_supervisor_frozen_alone(crew: Crew, shelf: Shelf, witness: Witness, pace: Pace) -> None:
    """Its children renew themselves, and nobody takes their jobs."""
    boss = crew.started(shelf, processes=2)
    specs = [*(tasks.stay.spec() for _ in range(3)), *(tasks.astay.spec() for _ in range(3))]
    jobs = [job.id for job in tasks.app.enqueue_many(specs)]
    until(lambda: len(witness.running()) == 6, PATIENCE, "the jobs run")
    crew.started(shelf)
    children, identity = boss.children(), own_row(shelf, boss).id

    frozen = crew.freeze(shelf, [boss.pid])
    until(
        lambda: shelf.workers()[identity].ended_at, pace.bound + pace(3.0), "the supervisor is declared lost"
    )
    until(lambda: boottime() - frozen > 2 * pace.lease, PATIENCE, "two leases have passed")
    assert len(witness.running()) == 6
    boss.thaw([boss.pid])
    until(lambda: own_row(shelf, boss).id != identity, PATIENCE, "it comes back under a new identity")

    witness.let_go("1")
    until(shelf.is_over, PATIENCE, "everything has ended")
    for job in crew.account(shelf, jobs).values():
        assert (job.state, job.attempt, job.handbacks) == (State.SUCCEEDED, 1, 0)
        assert len(witness.starts(job.id)) == 1
    assert boss.children() == children, "the children are still the same"


def test_children_that_do_not_tick(crew: Crew, shelf: Shelf, witness: Witness, pace: Pace) -> None:
    """One is frozen, one is held by a C call, one has its loop blocked: what they had started stays theirs,
    what they had not started runs elsewhere within two leases; a stall has a limit."""
    one_place = ("--threads", "1", "--concurrency", "1")
    frozen = crew.started(shelf, "-q", "frozen", *one_place, "--stall-limit", f"{pace(12):.1f}s")
    held = crew.started(shelf, "-q", "held", *one_place)
    blocked = crew.started(shelf, "-q", "blocked", *one_place)
    trials: dict[str, tuple[Boss, Task[[float], object, object]]] = {
        "held": (held, tasks.hold),
        "blocked": (blocked, tasks.block),
        "frozen": (frozen, tasks.doze),
    }
    jobs: list[UUID] = []
    for queue, (_, task) in trials.items():
        # So many quick ones that their worker claims more than it can run at once.
        jobs += [
            job.id for job in tasks.app.enqueue_many([task.using(queue=queue).spec(0.0) for _ in range(200)])
        ]
    until(shelf.is_over, PATIENCE, "the workers have learned that these tasks are quick")

    first: dict[str, UUID] = {}
    waiting: dict[str, set[UUID]] = {}
    workers = {queue: worker for worker in shelf.children() for queue in worker.queues}
    for queue, (boss, task) in trials.items():
        quick = [task.using(queue=queue).spec(0.0) for _ in range(40)]
        long = task.using(queue=queue).spec(60.0 if queue == "frozen" else 2.5 * pace.lease)
        sent = [job.id for job in tasks.app.enqueue_many([*quick[:5], long, *quick[5:]])]
        jobs += sent
        first[queue] = sent[5]
        # Every ending is stored when the stall begins: one that is not runs again if its process is killed.
        until(
            lambda queue=queue, sent=sent: shelf.owned(workers[queue].id) == set(sent[5:]),
            PATIENCE,
            "the long one keeps the only place, and the others wait behind it",
        )
        waiting[queue] = set(sent[6:])
        if queue == "frozen":
            until(lambda: witness.starts(first["frozen"]), PATIENCE, "the long one has started")
            crew.freeze(shelf, boss.children())
        else:
            witness.let_go(queue)
    # A call that caught its own child's writer inside a transaction of an embedded store would be another stall.
    assert any(shelf.is_free() for _ in range(5)), "somebody holds the store"
    began = {queue: witness.starts(first[queue])[0].at for queue in trials}
    stalled = {queue: worker.id for queue, worker in workers.items()}
    crew.started(shelf, "-q", "frozen,held,blocked", "--threads", "1")

    until(
        lambda: stalled_ones(shelf) == set(stalled.values()),
        pace.lease + pace(2.0),
        "they are shown as stalled",
    )
    until(
        lambda: notices_of(shelf, "stalled") == set(map(str, stalled.values())),
        pace(2 * SWEEP),
        "and are on notice",
    )
    for queue, ids in waiting.items():
        until(
            lambda ids=ids: ids <= {word.job for word in witness.words("end")},
            2 * pace.lease,
            f"what was not started runs elsewhere ({queue})",
        )
        ran = max(word.at for word in witness.words("end") if word.job in ids)
        print(
            f"{queue}: {len(ids)} jobs claimed and not started ran elsewhere after {ran - began[queue]:.2f} s"
        )
        assert ran - began[queue] < 2 * pace.lease
        assert shelf.job(first[queue]).state is State.RUNNING, "what had started keeps its lease"
        assert len(witness.starts(first[queue])) == 1

    (victim,) = frozen.children()
    until(lambda: not is_alive(victim), pace(12.0), "the frozen one is killed at its stall limit")
    until(lambda: len(witness.starts(first["frozen"])) == 2, pace(4.0), "and what it had started runs again")
    (attempt,) = shelf.run(shelf.store.attempts(first["frozen"]))
    assert (attempt.reason, shelf.job(first["frozen"]).crashes) == (Reason.STALLED, 1)
    until(lambda: not stalled_ones(shelf), PATIENCE, "the others tick again")
    until(lambda: not shelf.run(shelf.store.notices()), PATIENCE, "and the notices go")
    for queue in ("held", "blocked"):
        job = shelf.job(first[queue])
        assert (job.state, job.attempt, job.handbacks) == (State.SUCCEEDED, 1, 0)
        assert len(witness.starts(job.id)) == 1
    for job_id in set(jobs) - set(first.values()):
        job = shelf.job(job_id)
        assert (job.state, job.attempt, len(witness.starts(job_id))) == (State.SUCCEEDED, 1, 1)
    assert not witness.overlaps()
    assert not shelf.offenders()


def late_endings(shelf: Shelf, workers: set[UUID]) -> int:
    """How many refused endings are counted on these workers' rows."""
    return sum(worker.late_endings for worker in shelf.workers().values() if worker.id in workers)


def newcomers(shelf: Shelf, boss: Boss, known: set[UUID]) -> list[Worker]:
    """Living children of this supervisor that were not there before."""
    pids = boss.children()
    return [worker for worker in shelf.children() if worker.pid in pids and worker.id not in known]


def own_row(shelf: Shelf, boss: Boss) -> Worker:
    """The supervisor's own latest row."""
    mine = [worker for worker in shelf.workers().values() if worker.pid == boss.pid]
    return max(mine, key=lambda worker: worker.started_at)


def stalled_ones(shelf: Shelf) -> set[UUID]:
    return {worker.id for worker in shelf.children() if worker.stalled_at is not None}


def notices_of(shelf: Shelf, kind: str) -> set[str]:
    """Whom the notices of this kind are about."""
    return {notice.subject for notice in shelf.run(shelf.store.notices()) if notice.kind == kind}
