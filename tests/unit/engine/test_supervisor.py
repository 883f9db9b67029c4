"""What a supervisor makes of its children's pages."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from tests.unit.making import NOW, worker
from unstuck.engine.children import Child
from unstuck.engine.env import Env
from unstuck.engine.page import Page, Phase
from unstuck.engine.renewing import Renewing
from unstuck.engine.supervisor import Supervisor
from unstuck.rules.settings import Settings
from unstuck.rules.steadying import Steadiness
from unstuck.storage.memory.keeper import MemoryKeeper
from unstuck.storage.memory.store import MemoryStore
from unstuck.storage.protocol import Survey

LEASE = 30.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """A supervisor whose time is given, with one child that ticks and has no process."""

    def __init__(self) -> None:
        self.clock = Clock()
        settings = Settings(lease=LEASE, processes=1)
        self.boss = Supervisor("no:app", MemoryKeeper(), settings, Env(now=self.clock))
        page = Page.private(4)
        page.round_trip = self.clock.now
        page.renewed(self.clock.now, LEASE)
        self.child = Child(0, uuid4(), page, cast(Any, None), self.clock.now)
        self.child.killed_for = None
        self.killed: list[str] = []
        self.child.kill = self.killed.append  # type: ignore[method-assign]
        self.boss._children[0] = self.child

    async def pass_time(self, seconds: float, *, boss_heard: bool, child_heard: bool) -> None:
        """Watch for so long, in steps of a second."""
        for _ in range(int(seconds)):
            self.clock.now += 1.0
            self.child.page.tick = self.clock.now
            if boss_heard:
                self.boss.page.renewed(self.clock.now, LEASE)
            if child_heard:
                self.child.page.round_trip = self.clock.now
            await self.boss._watch()


def test_a_child_that_alone_hears_nothing_for_two_leases_is_killed() -> None:
    async def story() -> list[str]:
        watch = Watch()
        await watch.pass_time(2 * LEASE, boss_heard=True, child_heard=True)
        await watch.pass_time(2 * LEASE, boss_heard=True, child_heard=False)
        assert not watch.killed
        await watch.pass_time(2, boss_heard=True, child_heard=False)
        return watch.killed

    assert set(asyncio.run(story())) == {"withdrawn"}


def test_after_an_outage_a_child_has_two_leases_to_hear_something_again() -> None:
    async def story() -> list[str]:
        watch = Watch()
        await watch.pass_time(2 * LEASE, boss_heard=True, child_heard=True)
        await watch.pass_time(3 * LEASE, boss_heard=False, child_heard=False)
        await watch.pass_time(LEASE, boss_heard=True, child_heard=False)
        await watch.pass_time(1, boss_heard=True, child_heard=True)
        return watch.killed

    assert not asyncio.run(story())


def test_a_child_that_cannot_be_started_is_tried_again() -> None:
    tries: list[int] = []

    def spawn(ordinal: int, *rest: Any) -> Child:
        tries.append(ordinal)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    async def story() -> None:
        watch = Watch()
        watch.boss._spawner = spawn
        watch.boss._children.clear()
        await watch.pass_time(3, boss_heard=True, child_heard=False)

    asyncio.run(story())
    assert len(tries) == 3


def test_a_quiet_supervisor_tells_its_children_and_starts_nobody() -> None:
    started: list[int] = []
    told: list[Any] = []

    def spawn(ordinal: int, *rest: Any) -> Child:
        started.append(ordinal)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    async def story() -> None:
        watch = Watch()
        boss = watch.boss
        boss._spawner = spawn
        own = worker(id=boss.id, draining_at=NOW)
        seen = cast(Survey, SimpleNamespace(workers=[own]))
        boss._saw(seen)
        (errand,) = list(boss._errands)
        await errand
        told.append(watch.child.is_quiet)
        boss._saw(seen)
        told.append(list(boss._errands))
        boss._children.clear()
        await watch.pass_time(3, boss_heard=True, child_heard=False)
        told.append(boss._stop_level)

    asyncio.run(story())
    assert told == [True, [], 0]
    assert not started


def test_a_quiet_supervisor_that_was_lost_comes_back_quiet() -> None:
    async def story() -> tuple[bool, bool]:
        watch = Watch()
        boss, first = watch.boss, watch.boss.id
        boss._is_quiet = True
        boss.page.lose()
        await boss._watch()
        (row,) = await boss._lanes["renew"].run(boss._store.workers(), 1.0)
        return row.id == boss.id != first, row.draining_at is not None and row.leaving_at is None

    assert asyncio.run(story()) == (True, True)


def test_a_second_signal_kills_at_once_without_asking_the_store() -> None:
    async def story() -> list[str]:
        watch = Watch()
        watch.boss.stop(1)
        assert not watch.killed
        watch.boss.stop(2)
        return watch.killed

    assert asyncio.run(story()) == ["stopped"]


def test_no_answer_of_the_store_ends_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise RuntimeError("nobody foresaw this")

    for what in ("mark_stalled", "owned", "drain"):
        monkeypatch.setattr(MemoryStore, what, refuse)

    async def story() -> None:
        watch = Watch()
        watch.child.process = cast(Any, SimpleNamespace(pid=7))
        await watch.pass_time(1, boss_heard=True, child_heard=True)
        watch.clock.now += 2 * LEASE
        await watch.boss._watch()
        assert watch.child.is_stalled
        watch.boss.stop(1)
        await watch.boss._watch()
        assert watch.child.leaving_since is not None

    asyncio.run(story())


def test_a_store_that_does_not_answer_holds_up_no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for it once per stalled child sees no death, and looks dead to whoever asks for its tick."""
    asked: list[str] = []

    async def story() -> None:
        watch = Watch()

        async def silence(plan: Any, deadline: float | None = None) -> Any:
            asked.append(plan.name)
            await asyncio.Event().wait()

        def spawn(*rest: Any) -> Child:
            raise BlockingIOError(11, "Resource temporarily unavailable")

        watch.boss._spawner = spawn
        monkeypatch.setattr(watch.boss._lanes["bury"], "run", silence)
        watch.child.process = cast(Any, SimpleNamespace(pid=7))
        await watch.pass_time(1, boss_heard=True, child_heard=True)
        watch.clock.now += 2 * LEASE
        for _ in range(3):
            await asyncio.wait_for(watch.boss._watch(), 5.0)
            await asyncio.sleep(0)
        assert watch.child.is_stalled
        watch.child.has_ended({"signal": "SIGKILL"})
        await watch.boss._watch()
        assert not watch.boss._children or watch.boss._children[0] is not watch.child

    asyncio.run(story())
    assert "mark_stalled" in asked


def test_who_comes_back_under_a_new_identity_lives_while_it_registers() -> None:
    """Its new row is not there yet, which is not the same as ended; and its watch is not red."""

    async def story() -> None:
        watch = Watch()
        boss, settings = watch.boss, Settings(lease=LEASE)
        renewing = Renewing(
            boss._store, boss._lanes["renew"], boss.pages, settings, boss._env, Steadiness(LEASE)
        )
        lost, boss.page.tick = boss.page, watch.clock.now

        async def register() -> None:
            assert boss.page is not lost and boss.page.tick == watch.clock.now
            await renewing.round()
            assert not boss.page.is_lost

        boss._register = register  # type: ignore[method-assign]
        boss.page.lose()
        await boss._watch()
        assert boss.page is not lost

    asyncio.run(story())


@pytest.mark.parametrize("timeout", [None, 50.0])
def test_a_child_that_does_not_tick_is_killed_at_its_limit_and_not_before(timeout: float | None) -> None:
    """The limit is its longest timeout and the grace, or the stall limit where something in it has none."""

    async def story() -> None:
        watch = Watch()
        watch.child.process = cast(Any, SimpleNamespace(pid=7))
        await watch.pass_time(1, boss_heard=True, child_heard=True)
        stood, settings = watch.clock.now, Settings(lease=LEASE)
        for deadline in (stood + 10.0, 0.0 if timeout is None else stood + timeout):
            watch.child.page.write_slot(uuid4(), 1, Phase.RUNNING, deadline)
        limit = settings.stall_limit if timeout is None else timeout + settings.timeout_grace
        watch.clock.now = stood + limit - 1.0
        await watch.boss._watch()
        assert watch.child.is_stalled and not watch.killed
        watch.clock.now = stood + limit + 1.0
        await watch.boss._watch()
        assert watch.killed == ["stalled"]

    asyncio.run(story())
