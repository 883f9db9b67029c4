"""What one sweep does to jobs and notices that are not its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import pytest

from unstuck.engine.env import Env
from unstuck.engine.sweeping import HOLDERS_EVERY, SWEEP_MAX, Sweeping
from unstuck.model.job import Job, NewJob
from unstuck.model.notice import Finding, Kind
from unstuck.model.states import State
from unstuck.model.verdict import Settled, Verdict
from unstuck.model.worker import NewWorker
from unstuck.rules import rescuing
from unstuck.rules.settings import Settings
from unstuck.rules.steadying import Steadiness
from unstuck.storage.memory.keeper import MemoryKeeper
from unstuck.storage.memory.store import MemoryStore
from unstuck.storage.memory.tables import MemoryTables
from unstuck.storage.plan import Mode, Plan, Requests, Step
from unstuck.storage.protocol import USUAL_LIMITS, Holder, HolderLimits

SETTINGS = Settings()


class Clock:
    us = 1_000_000_000_000_000

    def __call__(self) -> int:
        return self.us


def swept(keeper: MemoryKeeper, sweeps: int = 1) -> None:
    sweeping = Sweeping(keeper.store, keeper.lane("sweep"), SETTINGS, Env(), Steadiness(SETTINGS.lease))

    async def story() -> None:
        for _ in range(sweeps):
            await sweeping.round()

    asyncio.run(story())


def test_where_no_worker_lives_nothing_is_parked() -> None:
    clock = Clock()
    keeper = MemoryKeeper(MemoryTables(clock))
    job_id = uuid4()
    keeper.run(keeper.store.insert([NewJob(id=job_id, queue="default", task="t", args="{}")]))
    clock.us += 2 * int(SETTINGS.recovery_bound * 1_000_000)
    swept(keeper)
    job = keeper.run(keeper.store.get(job_id))
    assert job is not None and job.state is State.READY
    assert [notice.kind for notice in keeper.run(keeper.store.notices())] == [Kind.NO_WORKER]

    row = NewWorker(uuid4(), "child", None, "here", 1, SETTINGS.lease_us, ("default",), ("other",))
    keeper.run(keeper.store.register(row))
    swept(keeper)
    job = keeper.run(keeper.store.get(job_id))
    assert job is not None and job.state is State.WAITING


def test_a_job_is_not_parked_before_its_task_is_on_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever dies in between leaves it in plain sight; parked without a word it would be silent for an alarm."""
    clock = Clock()
    keeper = MemoryKeeper(MemoryTables(clock))
    keeper.run(keeper.store.insert([NewJob(id=uuid4(), queue="default", task="t", args="{}")]))
    clock.us += 2 * int(SETTINGS.recovery_bound * 1_000_000)
    row = NewWorker(uuid4(), "child", None, "here", 1, SETTINGS.lease_us, ("default",), ("other",))
    keeper.run(keeper.store.register(row))
    said: list[Kind] = []

    def park(*args: object) -> object:
        said.extend(notice.kind for notice in keeper.run(keeper.store.notices()))
        raise SystemExit

    monkeypatch.setattr(type(keeper.store), "park", park)
    with pytest.raises(SystemExit):
        swept(keeper)
    assert Kind.NO_HANDLER in said


def test_a_stall_that_another_sweeper_saw_stays_on_notice() -> None:
    clock = Clock()
    keeper = MemoryKeeper(MemoryTables(clock))
    found = [Finding(Kind.LOCK_HELD, "store", "the store took no write for 20.0 s")]
    keeper.run(keeper.store.keep_notices(found, [Kind.LOCK_HELD.value]))
    swept(keeper)
    assert [notice.kind for notice in keeper.run(keeper.store.notices())] == [Kind.LOCK_HELD]
    clock.us += 601_000_000
    swept(keeper)
    assert not keeper.run(keeper.store.notices())


def test_a_lapsed_child_is_rescued_at_once_although_its_supervisor_lives() -> None:
    clock = Clock()
    keeper = MemoryKeeper(MemoryTables(clock))
    store, supervisor, child = keeper.store, uuid4(), uuid4()
    keeper.run(store.insert([NewJob(id=uuid4(), queue="default", task="t", args="{}")]))
    keeper.run(store.register(NewWorker(supervisor, "supervisor", None, "here", 1, SETTINGS.lease_us)))
    row = NewWorker(child, "child", supervisor, "here", 2, SETTINGS.lease_us, ("default",), ("t",))
    keeper.run(store.register(row))
    (job,) = keeper.run(store.claim(child, "default", ["t"], 1))
    clock.us += 2 * SETTINGS.lease_us
    keeper.run(store.renew([supervisor], SETTINGS.lease_us))
    keeper.run(store.end_lapsed(clock.us))
    swept(keeper)
    found = keeper.run(store.get(job.id))
    assert found is not None and (found.state, found.losses) == (State.SCHEDULED, 1)


def test_one_sweep_goes_on_while_there_is_more_to_recover_and_to_expire() -> None:
    clock = Clock()
    keeper = MemoryKeeper(MemoryTables(clock))
    store, count = keeper.store, 2 * SWEEP_MAX + 1
    row = NewWorker(uuid4(), "child", None, "here", 1, SETTINGS.lease_us, ("default",), ("t",))
    keeper.run(store.register(row))
    new = [NewJob(id=uuid4(), queue="default", task="t", args="{}") for _ in range(count)]
    late = [NewJob(id=uuid4(), queue="late", task="t", args="{}", expires_in_us=1) for _ in range(count)]
    keeper.run(store.insert([*new, *late]))
    assert len(keeper.run(store.claim(row.id, "default", ["t"], count))) == count
    keeper.run(store.end_worker(row.id, "died: signal SIGKILL"))
    clock.us += 2
    swept(keeper)
    assert keeper.run(store.owned(row.id)) == []
    assert keeper.run(store.expired(1)) == []


class Boot:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_notice_about_a_task_goes_when_its_last_job_has_gone() -> None:
    boot = Boot()
    keeper = MemoryKeeper(MemoryTables(Clock()))
    found = [Finding(Kind.NO_HANDLER, "t", "jobs ask for task t and no live worker knows it")]
    keeper.run(keeper.store.keep_notices(found, [Kind.NO_HANDLER.value]))
    sweeping = Sweeping(
        keeper.store, keeper.lane("sweep"), SETTINGS, Env(now=boot), Steadiness(SETTINGS.lease)
    )
    asyncio.run(sweeping.round())
    assert [notice.subject for notice in keeper.run(keeper.store.notices())] == ["t"]
    boot.seconds += 3600 + SETTINGS.recovery_bound + 1
    asyncio.run(sweeping.round())
    assert not keeper.run(keeper.store.notices())


def test_a_step_that_fails_is_on_notice_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    keeper = MemoryKeeper(MemoryTables(clock))
    job_id = uuid4()
    orphan(keeper)
    new = NewJob(id=job_id, queue="default", task="t", args="{}", expires_in_us=1_000_000)
    keeper.run(keeper.store.insert([new]))
    clock.us += 2_000_000

    def broken(*args: object) -> object:
        raise RuntimeError("an unreadable row")

    monkeypatch.setattr(type(keeper.store), "orphans", broken)
    with pytest.raises(RuntimeError):
        swept(keeper)
    job = keeper.run(keeper.store.get(job_id))
    assert job is not None and job.state is State.CANCELLED
    assert [notice.subject for notice in keeper.run(keeper.store.notices())] == ["rescue"]
    monkeypatch.undo()
    swept(keeper)
    assert not keeper.run(keeper.store.notices())


def test_an_ending_that_a_worker_cannot_store_is_on_notice() -> None:
    keeper = MemoryKeeper(MemoryTables(Clock()))
    worker = uuid4()
    row = NewWorker(worker, "child", None, "here", 1, SETTINGS.lease_us, ("default",), ("t",))
    keeper.run(keeper.store.register(row))
    keeper.run(keeper.store.renew([worker], SETTINGS.lease_us, {worker: '{"unsettled": 60.0}'}))
    swept(keeper)
    assert [notice.kind for notice in keeper.run(keeper.store.notices())] == [Kind.UNSETTLED]


def orphan(keeper: MemoryKeeper) -> None:
    """A job that a worker claimed before its row ended."""
    store, worker_id = keeper.store, uuid4()
    keeper.run(store.insert([NewJob(id=uuid4(), queue="default", task="t", args="{}")]))
    row = NewWorker(worker_id, "child", None, "here", 1, SETTINGS.lease_us, ("default",), ("t",))
    keeper.run(store.register(row))
    assert keeper.run(store.claim(worker_id, "default", ["t"], 1))
    keeper.run(store.end_worker(worker_id, "lost"))


def orphaned(
    clock: Clock, reason: str, *, jobs: int = 1, losses: int = 0, supervisor: UUID | None = None
) -> tuple[MemoryKeeper, UUID, list[UUID]]:
    """A store in which a child has ended with these jobs running; answers it, the child and the jobs."""
    keeper, child = MemoryKeeper(MemoryTables(clock)), uuid4()
    store, lease_us = keeper.store, SETTINGS.lease_us
    if supervisor is not None:
        keeper.run(store.register(NewWorker(supervisor, "supervisor", None, "here", 1, lease_us)))
    new = [NewJob(id=uuid4(), queue="default", task="t", args="{}") for _ in range(jobs)]
    keeper.run(store.insert(new))
    for _ in range(losses + 1):
        child = uuid4()
        row = NewWorker(child, "child", supervisor, "here", 2, lease_us, ("default",), ("t",))
        keeper.run(store.register(row))
        keeper.run(store.promote(jobs))
        taken = keeper.run(store.claim(child, "default", ["t"], jobs))
        assert len(taken) == jobs
        if taken[0].losses < losses:
            keeper.run(store.settle([rescuing.lost(job, uuid4(), child, "gone") for job in taken]))
            clock.us += 1_000_000
    keeper.run(store.end_worker(child, reason))
    return keeper, child, [job.id for job in new]


def rows(keeper: MemoryKeeper, ids: list[UUID]) -> list[Job]:
    return [job for job_id in ids if (job := keeper.run(keeper.store.get(job_id))) is not None]


def test_a_dead_childs_jobs_are_its_supervisors_to_settle_for_a_lease_and_then_anybodys() -> None:
    clock, supervisor = Clock(), uuid4()
    keeper, _, ids = orphaned(clock, "died: signal SIGKILL", supervisor=supervisor)
    clock.us += SETTINGS.lease_us - 1_000_000
    keeper.run(keeper.store.renew([supervisor], SETTINGS.lease_us))
    swept(keeper)
    assert [job.state for job in rows(keeper, ids)] == [State.RUNNING]
    clock.us += 2_000_000
    swept(keeper)
    assert [(job.state, job.losses) for job in rows(keeper, ids)] == [(State.SCHEDULED, 1)]


@pytest.mark.parametrize(
    ("reason", "counts"), [("stopped", (1, 0)), ("withdrawn", (1, 0)), ("lapsed", (0, 1))]
)
def test_what_a_worker_left_behind_counts_a_loss_unless_it_had_stopped_by_itself(
    reason: str, counts: tuple[int, int]
) -> None:
    keeper, _, ids = orphaned(Clock(), reason)
    swept(keeper)
    assert [(job.handbacks, job.losses) for job in rows(keeper, ids)] == [counts]


@pytest.mark.parametrize(("suspects", "counts"), [(1, [(1, 3)]), (2, [(0, 4), (0, 4)])])
def test_a_suspect_is_convicted_by_the_loss_of_its_worker_only_if_it_was_the_only_one(
    suspects: int, counts: list[tuple[int, int]]
) -> None:
    keeper, _, ids = orphaned(Clock(), "lapsed", jobs=suspects, losses=3)
    swept(keeper)
    assert [(job.crashes, job.losses) for job in rows(keeper, ids)] == counts


def test_a_running_job_whose_worker_has_no_row_is_found_once_a_lease() -> None:
    clock, boot = Clock(), Boot()
    keeper, child, ids = orphaned(clock, "lapsed")
    del keeper.tables.workers[child]
    env, steadiness = Env(now=boot), Steadiness(SETTINGS.lease)
    sweeping = Sweeping(keeper.store, keeper.lane("sweep"), SETTINGS, env, steadiness)
    asyncio.run(sweeping.round())
    assert [job.state for job in rows(keeper, ids)] == [State.RUNNING]
    boot.seconds += SETTINGS.lease + 1.0
    asyncio.run(sweeping.round())
    assert [(job.state, job.losses) for job in rows(keeper, ids)] == [(State.SCHEDULED, 1)]


@pytest.mark.parametrize("place", range(5))
def test_one_bad_row_does_not_stop_the_recovery_of_others(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, _, ids = orphaned(Clock(), "lapsed", jobs=5)
    bad, settle = sorted(ids)[place], type(keeper.store).settle

    def choosy(store: MemoryStore, verdicts: Sequence[Verdict]) -> Plan[list[Settled]]:
        if any(verdict.job_id == bad for verdict in verdicts):
            raise ValueError("no such verdict")
        return settle(store, verdicts)

    monkeypatch.setattr(MemoryStore, "settle", choosy)
    swept(keeper)
    assert {job.id for job in rows(keeper, ids) if job.state is State.RUNNING} == {bad}


def test_an_old_snapshot_is_on_notice_as_long_as_it_stands() -> None:
    """It is asked for once a minute; in between the notice stays, and it goes with its cause."""

    class Held(MemoryStore):
        holders_now: tuple[Holder, ...] = (Holder("session", "42 (report)", 900, None),)
        asked = 0

        def holders(self, limits: HolderLimits = USUAL_LIMITS) -> Plan[list[Holder]]:
            def look(tables: MemoryTables) -> list[Holder]:
                self.asked += 1
                return list(self.holders_now)

            return Plan("holders", Mode.READ, lambda: _one_step(look))

    def _one_step(look: Callable[[MemoryTables], list[Holder]]) -> Requests[list[Holder]]:
        found: list[Holder] = yield Step("holders", look)
        return found

    keeper, moment = MemoryKeeper(MemoryTables(Clock())), [1000.0]
    store = keeper.store = Held()
    env = Env(now=lambda: moment[0])
    sweeping = Sweeping(store, keeper.lane("sweep"), SETTINGS, env, Steadiness(SETTINGS.lease))

    def kinds_after_a_sweep() -> list[Kind]:
        asyncio.run(sweeping.round())
        return [notice.kind for notice in keeper.run(store.notices())]

    assert kinds_after_a_sweep() == [Kind.OLD_SNAPSHOT]
    store.holders_now = ()
    moment[0] += HOLDERS_EVERY / 2
    assert (kinds_after_a_sweep(), store.asked) == ([Kind.OLD_SNAPSHOT], 1)
    moment[0] += HOLDERS_EVERY
    assert (kinds_after_a_sweep(), store.asked) == ([], 2)
