"""An operation and the process that does it: in either colour, once or again, and killed where it stands.

A process that is killed is frozen, with its thread or its task, and is let go only after everything has
been checked; so whatever it would still have done can be seen not to matter.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.crashpoints.stages import Stage
from tests.crashpoints.striking import Dead, Fault, Fuse
from unstuck.app.commands import Pause, aperform, perform
from unstuck.model.states import State
from unstuck.storage.plan import Plan

WAIT_SECONDS = 60.0


class Anything:
    """An answer that tells nothing."""

    def __repr__(self) -> str:
        return "anything"


ANYTHING = Anything()


def _as_it_is(answer: Any) -> Any:
    return answer


def _all_succeed(prepared: Any) -> Mapping[UUID, State]:
    return {}


def _nothing_to_heal(stage: Stage) -> None:
    """Nothing to do."""


@dataclass(frozen=True)
class Scenario:
    """One operation, on a stage that makes it do everything it can.

    `covers` are the names of what it proves. `prepare` sets the stage by the test's own hand and answers
    what the operation needs; `act` does the operation, once or again, with a process and that: it answers
    a plan, a command, or a coroutine. `first` and `again` are the answers (as `tells` puts them) where
    nothing and where everything had happened before. `masks` are columns that a repetition may fill with
    other ids. `ends` says how jobs end that do not succeed; `heal` is what only a person can do.
    """

    name: str
    covers: tuple[str, ...]
    prepare: Callable[[Stage], Any]
    act: Callable[[Acting, Any], Any]
    first: Any = ANYTHING
    again: Any = ANYTHING
    tells: Callable[[Any], Any] = _as_it_is
    masks: tuple[str, ...] = ()
    ends: Callable[[Any], Mapping[UUID, State]] = _all_succeed
    heal: Callable[[Stage], None] = _nothing_to_heal
    engines: tuple[str, ...] = ("sqlite", "postgres")
    colours: tuple[str, ...] = ("blocking", "async")
    repeats: bool = True
    goes_on: bool = False
    """After an error it does other things, or the same again, before it tells anybody."""
    comes_again: bool = False
    """It is done again and again, whatever it answers."""
    is_reading: bool = False
    may_lose_words: bool = False
    """An error that nobody foresaw may cost log lines, so that it never holds up an ending."""
    raises: tuple[type[Exception], ...] = ()
    """What else it may raise: errors of a driver, where the user himself asks it."""
    is_bare: bool = False
    """The store has no tables yet: nothing runs on it in the end."""

    def __str__(self) -> str:
        return self.name


class Acting:
    """The process that does the operation: its keeper, and what it keeps in memory between two tries."""

    def __init__(self, stage: Stage, fuse: Fuse, house: asyncio.Runner, colour: str):
        self.stage = stage
        self.fuse = fuse
        self.colour = colour
        self.keeper = stage.keeper(fuse)
        self.store = stage.store
        self.memory: dict[str, Any] = {}
        self._house = house
        self._ids = 0

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What this process made once and has kept in memory."""
        if name not in self.memory:
            self.memory[name] = make()
        return self.memory[name]

    def id(self) -> UUID:
        """A new id, as the product would draw it: another at each repetition."""
        self._ids += 1
        return UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0000 + self._ids)

    def do(self, scenario: Scenario, prepared: Any) -> Any:
        """Do it once. Raises what it raises; `Dead` where the process is no more."""
        work = lambda: self._in_colour(scenario, prepared)  # noqa: E731
        if self.fuse.fault is not Fault.KILLED or self.fuse.is_burnt:
            return work()
        if self.colour == "async":
            return self._house.run(self._until_frozen(scenario, prepared))
        return self._in_a_thread(work)

    def close(self) -> None:
        """Let go of everything."""
        self.fuse.thaw() if self.fuse.is_dead else None
        for thread in self.memory.pop("threads", ()):
            thread.join(WAIT_SECONDS)
        tasks = self.memory.pop("tasks", ())
        if tasks:
            self._house.run(_ended(tasks))
        for closing in self.memory.pop("closing", ()):
            closing()
        if self.colour == "async":
            self._house.run(self._aclose())
        else:
            self.keeper.close()

    async def _aclose(self) -> None:
        for closing in self.memory.pop("aclosing", ()):
            await closing()
        await self.keeper.aclose()

    def _in_colour(self, scenario: Scenario, prepared: Any) -> Any:
        if self.colour == "async":
            return self._house.run(self._awaited(scenario, prepared))
        asked = scenario.act(self, prepared)
        if isinstance(asked, Plan):
            return self.keeper.run(asked)
        if inspect.isgenerator(asked):
            return perform(self.keeper, hurried(asked))
        return asked

    async def _awaited(self, scenario: Scenario, prepared: Any) -> Any:
        asked = scenario.act(self, prepared)
        if isinstance(asked, Plan):
            return await self.keeper.arun(asked)
        if inspect.isgenerator(asked):
            return await aperform(self.keeper, hurried(asked))
        return await asked if inspect.isawaitable(asked) else asked

    async def _until_frozen(self, scenario: Scenario, prepared: Any) -> Any:
        loop = asyncio.get_running_loop()
        frozen = loop.create_future()
        self.fuse.freezes = lambda: loop.call_soon_threadsafe(
            lambda: None if frozen.done() else frozen.set_result(None)
        )
        task = loop.create_task(self._awaited(scenario, prepared))
        self.memory["tasks"] = [task]
        await asyncio.wait({task, frozen}, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if frozen.done():
            raise Dead
        assert task.done(), "neither done nor frozen"
        return task.result()

    def _in_a_thread(self, work: Callable[[], Any]) -> Any:
        over = threading.Event()
        answers: list[Any] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(work())
            except BaseException as error:
                errors.append(error)
            over.set()

        self.fuse.freezes = over.set
        thread = threading.Thread(target=run, name="struck", daemon=True)
        self.memory["threads"] = [thread]
        thread.start()
        assert over.wait(WAIT_SECONDS), "neither done nor frozen"
        if self.fuse.is_dead:
            raise Dead
        if errors:
            raise errors[0]
        return answers[0]


async def _ended(tasks: list[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks, timeout=WAIT_SECONDS)
    for task in tasks:
        assert task.done()
        if not task.cancelled():
            task.exception()


def hurried(command: Any) -> Iterator[Any]:
    """The same command by somebody who does not wait between two tries."""
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            wish = command.send(answer) if error is None else command.throw(error)
        except StopIteration as stop:
            return stop.value
        answer, error = None, None
        if isinstance(wish, Pause):
            continue
        try:
            answer = yield wish
        except Exception as raised:
            error = raised
