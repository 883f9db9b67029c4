"""What one sweep does to jobs and notices that are not its own."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from unstuck.engine.env import Env
from unstuck.engine.sweeping import SWEEP_MAX, Sweeping
from unstuck.model.job import NewJob
from unstuck.model.notice import Finding, Kind
from unstuck.model.states import State
from unstuck.model.worker import NewWorker
from unstuck.rules.settings import Settings
from unstuck.rules.steadying import Steadiness
from unstuck.storage.memory.keeper import MemoryKeeper
from unstuck.storage.memory.tables import MemoryTables

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
