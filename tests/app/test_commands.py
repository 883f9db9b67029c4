"""What a command does when the store is away, and how the warning about missing workers behaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.app.hand import Hand
from unstuck import App, OutcomeUnknown, StoreUnavailable
from unstuck.app import commands
from unstuck.app.commands import Command, Pause, QueueWatch, Telling
from unstuck.model.job import NewJob

JOB = NewJob(uuid4(), "mail", "t", "{}")


class Script:
    """Performs a command against a script: each plan takes `seconds` and answers or raises what comes next."""

    def __init__(self, *answers: Any, seconds: float = 0.0):
        self.answers = list(answers)
        self.seconds = seconds
        self.now = 100.0
        self.plans: list[str] = []
        self.pauses: list[float] = []
        self.hints: list[frozenset[str]] = []

    def clock(self) -> float:
        return self.now

    def perform(self, command: Command[Any]) -> Any:
        wish = next(command)
        while True:
            try:
                if isinstance(wish, Pause):
                    self.pauses.append(wish.seconds)
                    self.now += wish.seconds
                    wish = command.send(None)
                else:
                    plan = wish.plan if isinstance(wish, Telling) else wish
                    self.plans.append(plan.name)
                    self.now += self.seconds
                    answer = self.answers.pop(0)
                    if isinstance(wish, Telling) and wish.queues and not isinstance(answer, Exception):
                        self.hints.append(wish.queues)
                    wish = command.throw(answer) if isinstance(answer, Exception) else command.send(answer)
            except StopIteration as stop:
                return stop.value


def enqueued(app: App, script: Script, job: NewJob = JOB) -> Any:
    quiet = QueueWatch(lambda sentence: None, script.clock)
    quiet.wants_to_look([])
    return script.perform(commands.enqueue(app.store, [job], quiet, script.clock))


def test_an_unknown_outcome_is_asked_again_with_the_same_id(memory: App) -> None:
    script = Script(OutcomeUnknown("gone"), StoreUnavailable("down"), ["there"])
    assert enqueued(memory, script) == ["there"]
    assert script.plans == ["insert"] * 3
    assert script.pauses == [0.05, 0.1]
    assert script.hints == [frozenset({"mail"})]


def test_patience_ends_after_five_seconds(memory: App) -> None:
    script = Script(*[StoreUnavailable("down")] * 20, seconds=0.1)
    with pytest.raises(StoreUnavailable):
        enqueued(memory, script)
    assert 4 < script.now - 100 <= 5.2
    assert 5 < len(script.plans) < 12


def test_what_is_due_later_needs_no_hint(memory: App) -> None:
    script = Script(["there"])
    enqueued(memory, script, NewJob(uuid4(), "mail", "t", "{}", delay_us=5))
    assert script.hints == []


def test_who_waits_is_patient_with_a_restart(memory: App) -> None:
    @memory.task(name="t")
    def t() -> None: ...

    job = t.enqueue()
    row = job.refresh()
    script = Script(*[StoreUnavailable("down")] * 8, row, *[StoreUnavailable("down")] * 500)
    with pytest.raises(StoreUnavailable):
        script.perform(commands.wait(memory.store, job.id, None, script.clock))
    assert script.answers
    script = Script(*[StoreUnavailable("down")] * 500)
    with pytest.raises(TimeoutError, match="it is not known: the store does not answer"):
        script.perform(commands.wait(memory.store, job.id, 2.0, script.clock))


def test_waiting_slows_down_to_the_poll(memory: App) -> None:
    @memory.task(name="t")
    def t() -> None: ...

    row = t.enqueue().refresh()
    script = Script(*[row] * 1000)
    with pytest.raises(TimeoutError):
        script.perform(commands.wait(memory.store, row.id, 60.0, script.clock))
    assert script.pauses[0] == 0.02
    assert max(script.pauses) == 1.0
    assert script.now == pytest.approx(160.0)
    assert len(script.plans) < 110


def test_a_job_that_keeps_changing_cannot_be_cancelled_for_ever(memory: App) -> None:
    @memory.task(name="t")
    def t() -> None: ...

    row = t.enqueue().refresh()
    refused = memory.keeper.run(memory.store.settle([]))
    assert refused == []

    class Refused:
        is_recorded = False

    script = Script(*[row, [Refused()]] * commands.CANCEL_ROUNDS)
    with pytest.raises(StoreUnavailable, match="changed 10 times"):
        script.perform(commands.cancel(memory.store, row.id, uuid4))


def test_the_warning_comes_once_a_minute_and_names_the_queues(memory: App) -> None:
    said: list[str] = []
    now = [0.0]
    watch = QueueWatch(said.append, lambda: now[0])
    survey = memory.keeper.run(memory.store.survey())
    assert watch.wants_to_look(["mail"])
    watch.saw(survey)
    assert not watch.wants_to_look(["b"])
    assert not watch.wants_to_look(["a"])
    now[0] = 60.0
    assert watch.wants_to_look(["a"])
    watch.saw(survey)
    assert [sentence.partition(":")[0] for sentence in said] == [
        "no live worker serves the queue 'mail'",
        "no live worker serves the queue 'a'",
        "no live worker serves the queue 'b'",
    ]


@pytest.mark.parametrize("colour", ["blocking", "async"])
def test_enqueue_warns_where_nobody_serves(app: App, colour: str, caplog: pytest.LogCaptureFixture) -> None:
    @app.task(name="t")
    def t() -> None: ...

    def enqueue() -> None:
        if colour == "blocking":
            t.enqueue()
        else:
            asyncio.run(enqueue_and_close())

    async def enqueue_and_close() -> None:
        await t.aenqueue()
        await app.aclose()

    with caplog.at_level(logging.WARNING, "unstuck"):
        enqueue()
        enqueue()
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "no live worker serves the queue 'default'"
    ]


def test_enqueue_is_quiet_where_somebody_serves(app: App, caplog: pytest.LogCaptureFixture) -> None:
    @app.task(name="t")
    def t() -> None: ...

    hand = Hand(app)
    with pytest.raises(AssertionError):
        hand.claim()
    t.enqueue()
    assert caplog.records == []


def test_both_colours_clean_up_after_a_failure(memory: App) -> None:
    closed: list[str] = []

    def command() -> Command[None]:
        try:
            yield memory.store.get(uuid4())
            raise RuntimeError("stop")
        finally:
            closed.append("closed")

    performers: list[Callable[[], Any]] = [
        lambda: commands.perform(memory.keeper, command()),
        lambda: asyncio.run(commands.aperform(memory.keeper, command())),
    ]
    for perform in performers:
        with pytest.raises(RuntimeError, match="stop"):
            perform()
    assert closed == ["closed"] * 2
