"""Plans: every storage operation written once, run in every colour.

A plan is a function that makes a generator. The generator yields requests (a `Statement` for an SQL
engine, a `Step` for memory), is sent rows, and returns the answer. It has no effect outside its yields:
ids, verdict ids and jitter are arguments. So the same text runs blocking (`run`), awaiting
(`run_async`), inside a connection that the caller owns (`run_inside`, `run_inside_async`: never begins,
commits or rolls back), and in the simulator, where every yield and every COMMIT is a place to stop the
world.

A runner begins a plan again from its function, never resumes it. It repeats `StoreConflict` (deadlock,
serialization, busy) a few times; everything else is the caller's to judge. Errors are thrown *into* the
generator only where the plan names them. A plan that finds it needs a transaction after all raises
`ContinueWith`: what it did so far is committed, and the other plan runs next.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import wraps
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from unstuck.model.errors import StoreConflict, StoreError

R = TypeVar("R")
S = TypeVar("S")
P = ParamSpec("P")

Rows = Sequence[tuple[Any, ...]]

CONFLICT_TRIES = 8
CONFLICT_PAUSE = 0.01
"""Seconds; doubled and jittered at each repetition."""


class Mode(Enum):
    """What a plan needs around its requests: nothing, for what reads or is one statement; a transaction; or a
    snapshot, in which all statements read the same moment of the store."""

    READ = "read"
    WRITE = "write"
    TRANSACTION = "transaction"
    SNAPSHOT = "snapshot"

    __hash__ = object.__hash__  # asked for at every statement, and that of enumerations is none of C's

    @property
    def is_reading(self) -> bool:
        """Whether nothing can have happened, whatever became of the answer."""
        return self in (Mode.READ, Mode.SNAPSHOT)


class Columns(Sequence[Mapping[str, Any]]):
    """Rows that were made column by column, for an engine that takes them so: hundreds of small dictionaries less.
    Whoever wants rows gets rows."""

    __slots__ = ("by_name", "meanwhile")

    def __init__(self, by_name: Mapping[str, Sequence[Any]], meanwhile: Callable[[], None] | None = None):
        self.by_name = by_name
        self.meanwhile = meanwhile
        """What may be done while the store is busy with them; an engine may do it never, or once for each try."""

    def __len__(self) -> int:
        return len(next(iter(self.by_name.values())))

    def tuples(self, *names: str) -> list[tuple[Any, ...]]:
        """The values of each row without their names: of these columns, or of all."""
        columns = [self.by_name[name] for name in names] if names else self.by_name.values()
        return list(zip(*columns, strict=True))

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        names = tuple(self.by_name)
        for values in zip(*self.by_name.values(), strict=True):
            yield dict(zip(names, values, strict=True))

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return {name: values[index] for name, values in self.by_name.items()}


# Made for every request and changed by nobody; to freeze them takes three times as long as to make them.
@dataclass(slots=True)
class Statement:
    """One named block of SQL with its bound values.

    `rows`, where given, are many values for the block's row source: one array statement on PostgreSQL,
    one execution per row on SQLite. Answers come back in no promised order.
    """

    block: str
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rows: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """Text of a migration step, which may hold several statements; `name` is for messages."""

    name: str
    text: str


@dataclass(slots=True)
class Step:
    """One atomic change of the memory keeper; `apply` gets its tables, and where it only reads says so."""

    block: str
    apply: Callable[[Any], Any]
    reads: bool = False


Request = Statement | Script | Step
Requests = Generator[Request, Any, R]


class ContinueWith(Exception):
    """Raised by a plan: commit what was done, then run this plan and give its answer."""

    def __init__(self, plan: Plan[Any]):
        super().__init__(plan.name)
        self.plan = plan


@dataclass(slots=True)
class Plan(Generic[R]):
    """An operation ready to run: `start` makes its generator anew each time."""

    name: str
    mode: Mode
    start: Callable[[], Requests[R]]
    catches: tuple[type[StoreError], ...] = ()


def both(first: Plan[R], second: Plan[S]) -> Plan[tuple[R, S]]:
    """Two plans in one transaction, and so in one commit: an error undoes both. What either would go on with after
    a commit of its own goes on within."""

    def start() -> Requests[tuple[R, S]]:
        done = yield from _throughout(first)
        return done, (yield from _throughout(second))

    return Plan(f"{first.name} and {second.name}", Mode.TRANSACTION, start, first.catches + second.catches)


def _throughout(plan: Plan[R]) -> Requests[R]:
    while True:
        try:
            return (yield from plan.start())
        except ContinueWith as more:
            plan = more.plan


def planned(
    mode: Mode, catches: tuple[type[StoreError], ...] = ()
) -> Callable[[Callable[P, Requests[R]]], Callable[P, Plan[R]]]:
    """Turn a generator function into one that returns a `Plan` of it."""

    def wrap(function: Callable[P, Requests[R]]) -> Callable[P, Plan[R]]:
        @wraps(function)
        def make(*args: P.args, **kwargs: P.kwargs) -> Plan[R]:
            return Plan(function.__name__, mode, lambda: function(*args, **kwargs), catches)

        return make

    return wrap


class BlockingConnection(Protocol):
    """What the blocking runner needs of a driver. Driver errors come out as `StoreError`s."""

    def begin(self, mode: Mode) -> None: ...
    def execute(self, request: Request) -> Any: ...
    def commit(self, mode: Mode) -> None: ...
    def rollback(self, mode: Mode) -> None: ...


class AsyncConnection(Protocol):
    """The same in the other colour."""

    async def begin(self, mode: Mode) -> None: ...
    async def execute(self, request: Request) -> Any: ...
    async def commit(self, mode: Mode) -> None: ...
    async def rollback(self, mode: Mode) -> None: ...


class Lane(Protocol):
    """A place where the engine runs plans, one at a time: a connection that heals itself.

    `deadline` is in seconds from now; when it passes, the connection is closed hard and
    `OutcomeUnknown` or `StoreUnavailable` is raised.
    """

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R: ...
    async def aclose(self) -> None: ...


def run(connection: BlockingConnection, plan: Plan[R], sleep: Callable[[float], None] = time.sleep) -> R:
    """Run a plan on a blocking connection, in a transaction of its own where it asks for one."""
    tries = 0
    while True:
        walk = plan.start()
        try:
            request = next(walk)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            connection.begin(plan.mode)
            try:
                while True:
                    try:
                        rows = connection.execute(request)
                    except plan.catches as error:
                        request = walk.throw(error)
                    else:
                        request = walk.send(rows)
            except StopIteration as stop:
                connection.commit(plan.mode)
                return stop.value  # type: ignore[no-any-return]
            except ContinueWith as more:
                connection.commit(plan.mode)
                plan, tries = more.plan, 0
            except BaseException:
                connection.rollback(plan.mode)
                raise
        except StoreConflict:
            tries += 1
            if tries >= CONFLICT_TRIES:
                raise
            sleep(_pause(tries, random.uniform))


async def run_async(
    connection: AsyncConnection, plan: Plan[R], spread: Callable[[float, float], float] = random.uniform
) -> R:
    """Run a plan on an async connection; the twin of `run`, word for word. `spread` draws the pauses."""
    tries = 0
    while True:
        walk = plan.start()
        try:
            request = next(walk)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            await connection.begin(plan.mode)
            try:
                while True:
                    try:
                        rows = await connection.execute(request)
                    except plan.catches as error:
                        request = walk.throw(error)
                    else:
                        request = walk.send(rows)
            except StopIteration as stop:
                await connection.commit(plan.mode)
                return stop.value  # type: ignore[no-any-return]
            except ContinueWith as more:
                await connection.commit(plan.mode)
                plan, tries = more.plan, 0
            except BaseException:
                await connection.rollback(plan.mode)
                raise
        except StoreConflict:
            tries += 1
            if tries >= CONFLICT_TRIES:
                raise
            await asyncio.sleep(_pause(tries, spread))


def run_inside(connection: BlockingConnection, plan: Plan[R]) -> R:
    """Run a plan inside a transaction that the caller owns; nothing is repeated."""
    while True:
        walk = plan.start()
        try:
            request = next(walk)
            while True:
                request = walk.send(connection.execute(request))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except ContinueWith as more:
            plan = more.plan


async def run_inside_async(connection: AsyncConnection, plan: Plan[R]) -> R:
    """The async twin of `run_inside`."""
    while True:
        walk = plan.start()
        try:
            request = next(walk)
            while True:
                request = walk.send(await connection.execute(request))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except ContinueWith as more:
            plan = more.plan


def _pause(tries: int, spread: Callable[[float, float], float]) -> float:
    return CONFLICT_PAUSE * 2.0**tries * spread(0.5, 1.5)
