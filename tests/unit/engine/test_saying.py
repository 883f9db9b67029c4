"""A failure that repeats is one line a minute, wherever it repeats."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast
from uuid import uuid4

import pytest

from unstuck.engine import burying
from unstuck.engine.env import Env
from unstuck.engine.looping import Loop
from unstuck.engine.page import Page
from unstuck.engine.saying import Saying
from unstuck.engine.supervisor import Supervisor
from unstuck.engine.sweeping import Sweeping
from unstuck.model.errors import StoreUnavailable
from unstuck.model.job import NewJob
from unstuck.model.worker import NewWorker
from unstuck.rules.settings import Settings
from unstuck.rules.steadying import Steadiness
from unstuck.storage.memory.keeper import MemoryKeeper


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_kind_is_said_at_once_and_then_once_a_minute_with_the_number_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    saying = Saying(clock)
    for _ in range(121):
        saying.say(logging.WARNING, "kind", "job %s failed", 7)
        clock.now += 1.0
    assert caplog.messages == [
        "job 7 failed",
        "job 7 failed; 59 more like it since the last such line",
        "job 7 failed; 59 more like it since the last such line",
    ]


def test_kinds_do_not_silence_each_other(caplog: pytest.LogCaptureFixture) -> None:
    saying = Saying(Clock())
    for _ in range(3):
        saying.say(logging.WARNING, "one", "one")
        saying.say(logging.ERROR, "other", "other", error=ValueError("seen"))
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "one"),
        ("ERROR", "other"),
    ]
    assert caplog.records[1].exc_info is not None


def test_a_loop_that_fails_at_every_round_is_one_line_a_minute_of_each_kind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    errors = [StoreUnavailable("away"), ValueError("odd")]
    rounds = 0

    async def round() -> float:
        nonlocal rounds
        rounds += 1
        clock.now += 1.0
        if rounds == 60:
            raise asyncio.CancelledError
        raise errors[rounds % 2]

    loop = Loop("looking", round, Env(now=clock), Page.private(1), 30.0, 0.0)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(loop.run())
    assert sorted(record.levelname for record in caplog.records) == ["ERROR", "WARNING"]


def test_a_hundred_jobs_that_cannot_be_recovered_are_one_line_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, clock, settings = MemoryKeeper(), Clock(), Settings()
    store = keeper.store
    row = NewWorker(uuid4(), "child", None, "here", 1, settings.lease_us, ("default",), ("t",))
    keeper.run(store.register(row))
    keeper.run(store.insert([NewJob(id=uuid4(), queue="default", task="t", args="{}") for _ in range(100)]))
    assert len(keeper.run(store.claim(row.id, "default", ["t"], 100))) == 100
    keeper.run(store.end_worker(row.id, "lost"))

    def refuse(verdicts: object) -> Any:
        raise ValueError("no such verdict")

    monkeypatch.setattr(store, "settle", refuse)
    sweeping = Sweeping(store, keeper.lane("sweep"), settings, Env(now=clock), Steadiness(settings.lease))

    async def sweeps() -> None:
        for _ in range(5):
            await sweeping.round()
            clock.now += settings.sweep

    asyncio.run(sweeps())
    said = [message for message in caplog.messages if "cannot be recovered" in message]
    assert len(said) == 1


def test_a_burial_that_has_to_wait_is_one_line_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, tried = Clock(), 0

    async def refuse(*_: object) -> int:
        nonlocal tried
        tried += 1
        clock.now += 1.0
        if tried == 50:
            return 0
        raise StoreUnavailable("away")

    monkeypatch.setattr(burying, "bury", refuse)
    boss = Supervisor("no:app", MemoryKeeper(), Settings(lease=1.0, sweep=0.5, poll=0.001), Env(now=clock))

    class Process:
        def release(self) -> None:
            """Nothing leads to it."""

    class Dead:
        worker_id = uuid4()
        process = Process()

    asyncio.run(boss._bury(cast(Any, Dead()), {}, "died"))
    assert tried == 50
    assert len(caplog.messages) == 1
