"""A transaction of the caller's, ready to run plans inside: what all rooms share.

The proof that it is the right store costs two small reads per connection and is then remembered, weakly,
so a pooled connection pays once. The first of them asks whether our tables are there at all, because a
statement about a missing table would spoil the caller's transaction on PostgreSQL.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from unstuck.model.errors import BadTransaction
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Mode, Plan, Request, Rows, Statement, run_inside, run_inside_async
from unstuck.storage.sql.library import Dialect, Spelled, Style

R = TypeVar("R")

_instances: WeakKeyDictionary[Keeper, str] = WeakKeyDictionary()
_proved: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Where:
    """A connection as its room found it: `what` is for messages, `key` remembers the proof."""

    keeper: Keeper
    dialect: Dialect
    engine: str
    what: str
    key: Any
    style: Style

    def __post_init__(self) -> None:
        if self.engine != self.keeper.engine:
            raise BadTransaction(f"tx= is {self.what}, but the store is {self.keeper.url_shown}")

    @property
    def is_proved(self) -> bool:
        """Whether this connection was seen to reach this store before."""
        instance = _instances.get(self.keeper)
        with suppress(TypeError):
            return instance is not None and _proved.get(self.key) == instance
        return False

    def note(self, found: str | None) -> bool:
        """Remember that the connection reaches the store; False where it may be another one."""
        if found is None or found != _instances.get(self.keeper):
            return False
        # Some connections cannot be referred to weakly; they are simply asked each time.
        with suppress(TypeError):
            _proved[self.key] = found
        return True

    def compare(self, found: str | None, instance: str) -> None:
        """Compare with what the store says of itself. Raises BadTransaction where that is another."""
        _instances[self.keeper] = instance
        if found is None:
            raise BadTransaction(
                f"tx= is {self.what} that does not see the tables of the store {self.keeper.url_shown}:"
                " it belongs to another database"
            )
        if not self.note(found):
            raise BadTransaction(f"tx= is {self.what} of another store than {self.keeper.url_shown}")

    @property
    def sight(self) -> Spelled:
        """Asks whether our tables are there, without failing where they are not."""
        name = f"{self.dialect.prefix}meta"
        if self.engine == "postgres":
            return Spelled(f"SELECT 1 WHERE to_regclass('{name}') IS NOT NULL", (), {})
        return Spelled(f"SELECT 1 FROM sqlite_master WHERE name = '{name}'", (), {})


class Joined(ABC):
    """What runs plans inside the caller's transaction. Each method raises BadTransaction."""

    def __init__(self, where: Where):
        self._where = where

    @abstractmethod
    def check(self) -> None:
        """Refuse unless the connection stands in a transaction."""

    def run(self, plan: Plan[R]) -> R:
        """Run a plan inside, blocking; nothing is repeated."""
        raise BadTransaction(
            f"tx= is {self._where.what}, which is async: await aenqueue(…), or use async with"
        )

    async def arun(self, plan: Plan[R]) -> R:
        """The async twin of `run`."""
        raise BadTransaction(f"tx= is {self._where.what}, which blocks: use enqueue(…), or with")

    def prove(self) -> None:
        """Refuse unless the connection reaches the store, blocking."""
        self.run(_NOTHING)

    async def aprove(self) -> None:
        """The async twin of `prove`."""
        await self.arun(_NOTHING)

    def after_commit(self, do: Callable[[], None]) -> None:  # noqa: B027 most owners never tell
        """Call this once the caller has committed, where the owner of the connection tells us."""


class BlockingJoined(Joined):
    """A blocking connection; a room says how a statement is sent."""

    @abstractmethod
    def send(self, spelled: Spelled) -> Rows:
        """Send one statement; driver errors come out as StoreErrors."""

    def begin(self, mode: Mode) -> None:
        """Never: the transaction is the caller's."""

    def commit(self, mode: Mode) -> None:
        """Never."""

    def rollback(self, mode: Mode) -> None:
        """Never."""

    def execute(self, request: Request) -> Rows:
        rows: list[tuple[Any, ...]] = []
        for spelled in self._where.dialect.spell(_statement(request), self._where.style):
            rows.extend(self.send(spelled))
        return rows

    def run(self, plan: Plan[R]) -> R:
        self.check()
        where = self._where
        if not where.is_proved:
            meta = where.keeper.store.meta
            found = run_inside(self, meta()).get("instance") if self.send(where.sight) else None
            if not where.note(found):
                where.compare(found, where.keeper.run(meta())["instance"])
        return run_inside(self, plan)


class AsyncJoined(Joined):
    """The async colour, word for word."""

    @abstractmethod
    async def asend(self, spelled: Spelled) -> Rows:
        """Send one statement; driver errors come out as StoreErrors."""

    async def begin(self, mode: Mode) -> None:
        """Never: the transaction is the caller's."""

    async def commit(self, mode: Mode) -> None:
        """Never."""

    async def rollback(self, mode: Mode) -> None:
        """Never."""

    async def execute(self, request: Request) -> Rows:
        rows: list[tuple[Any, ...]] = []
        for spelled in self._where.dialect.spell(_statement(request), self._where.style):
            rows.extend(await self.asend(spelled))
        return rows

    async def arun(self, plan: Plan[R]) -> R:
        self.check()
        where = self._where
        if not where.is_proved:
            meta = where.keeper.store.meta
            is_there = await self.asend(where.sight)
            found = (await run_inside_async(self, meta())).get("instance") if is_there else None
            if not where.note(found):
                where.compare(found, (await where.keeper.arun(meta()))["instance"])
        return await run_inside_async(self, plan)


def _statement(request: Request) -> Statement:
    if not isinstance(request, Statement):
        raise TypeError(f"only statements run inside a caller's transaction, not a {type(request).__name__}")
    return request


def _nothing() -> Any:
    yield from ()


_NOTHING: Plan[None] = Plan("prove", Mode.READ, _nothing)
