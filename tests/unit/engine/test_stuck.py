"""A loop that fails for ever: red at once, and in the end its process leaves, but not while the store is away."""

from __future__ import annotations

import asyncio

import pytest

from unstuck.engine.env import Env
from unstuck.engine.health import Address, HealthServer
from unstuck.engine.looping import STUCK_LEASES, Loop
from unstuck.engine.page import Page
from unstuck.engine.supervisor import Supervisor
from unstuck.engine.sweeping import Sweeping
from unstuck.engine.worker import Left
from unstuck.model.errors import StoreUnavailable
from unstuck.rules.settings import Settings
from unstuck.rules.steadying import Steadiness
from unstuck.storage.memory.keeper import MemoryKeeper

LEASE = 30.0
LONG = (STUCK_LEASES + 1) * LEASE


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Patch:
    """A round that does as it is told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.rounds = 0

    async def round(self) -> float:
        self.rounds += 1
        if self.error is not None:
            raise self.error
        return LEASE


def failing(error: Exception, clock: Clock, name: str = "renewing") -> tuple[Loop, Patch]:
    """A loop that has failed once, just now."""
    patch = Patch()
    patch.error = error
    loop = Loop(name, patch.round, Env(now=clock), Page.private(1), LEASE, LEASE)
    go_round(loop, patch)
    return loop, patch


def go_round(loop: Loop, patch: Patch) -> None:
    """One more round of the loop."""

    async def until_done() -> None:
        before = patch.rounds
        task = asyncio.create_task(loop.run())
        for _ in range(100):
            await asyncio.sleep(0)
            if patch.rounds > before:
                break
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(until_done())


def fail_on(loop: Loop, patch: Patch, clock: Clock) -> None:
    """The loop fails at each round for longer than it may."""
    for _ in range(STUCK_LEASES + 1):
        clock.now += LEASE
        go_round(loop, patch)


def test_a_bug_that_repeats_for_ten_leases_is_a_reason_to_leave() -> None:
    clock = Clock()
    loop, patch = failing(TypeError("dirty"), clock)
    assert loop.why_stuck(clock.now) is None
    clock.now += LONG
    go_round(loop, patch)
    assert loop.why_stuck(0.0) is None, "it has failed twice; between them its process stood still"
    fail_on(loop, patch, clock)
    why = loop.why_stuck(0.0)
    assert why is not None
    assert "renewing has failed for 330 s" in why
    assert "TypeError: dirty" in why


def test_a_store_that_is_away_is_none() -> None:
    clock = Clock()
    loop, patch = failing(StoreUnavailable("gone"), clock)
    written_at = clock.now
    fail_on(loop, patch, clock)
    assert loop.why_stuck(written_at) is None
    assert loop.why_stuck(clock.now - 1) is not None, "it takes what others write: then it is this loop"


def test_a_good_round_forgets_everything() -> None:
    clock = Clock()
    loop, patch = failing(TypeError("dirty"), clock)
    clock.now += LONG
    patch.error = None
    go_round(loop, patch)
    assert loop.why_stuck(clock.now) is None


def test_a_loop_that_never_succeeded_is_red_after_a_lease() -> None:
    clock = Clock()
    page = Page.private(1)
    patch = Patch()
    patch.error = TypeError("dirty")
    loop = Loop("renewing", patch.round, Env(now=clock), page, LEASE, LEASE)
    go_round(loop, patch)
    settings = Settings(lease=LEASE)
    health = HealthServer(Address("127.0.0.1", 0), lambda: {Env().new_id(): page}, settings, Env(now=clock))
    assert health.report()["workers"][0]["red"] == []
    clock.now += LEASE + settings.renew_every + 1
    go_round(loop, patch)
    assert health.report()["workers"][0]["red"] == ["renewing"]


@pytest.mark.parametrize(("name", "leaves"), [("renewing", True), ("sweeping", False), ("pruning", False)])
def test_a_supervisor_leaves_with_the_reason_and_its_code(
    name: str, leaves: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Not for a chore, and not for a sweep that goes round and only fails at one of its steps."""
    clock, keeper = Clock(), MemoryKeeper()
    settings, env = Settings(lease=LEASE), Env(now=clock)
    boss = Supervisor("no:app", keeper, settings, env)
    boss._sweeping = Sweeping(keeper.store, keeper.lane("sweep"), settings, env, Steadiness(LEASE))
    loop, patch = failing(TypeError("dirty"), clock, name)
    boss._loops = [loop]
    fail_on(loop, patch, clock)
    boss._sweeping.answered_at = clock.now
    boss._leave_if_stuck(clock.now)
    assert (boss._code == Left.STUCK.value, boss._stop_level > 0) == (leaves, leaves)
    assert ("leaves: the loop" in caplog.text) == leaves


def test_a_sweep_that_no_longer_goes_round_is_a_reason() -> None:
    clock, keeper = Clock(), MemoryKeeper()
    settings, env = Settings(lease=LEASE), Env(now=clock)
    boss = Supervisor("no:app", keeper, settings, env)
    boss._sweeping = Sweeping(keeper.store, keeper.lane("sweep"), settings, env, Steadiness(LEASE))
    loop, patch = failing(TypeError("dirty"), clock, "sweeping")
    boss._loops = [loop]
    fail_on(loop, patch, clock)
    boss._leave_if_stuck(clock.now)
    assert boss._code == Left.STUCK.value
