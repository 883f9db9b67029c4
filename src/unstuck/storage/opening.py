"""Opening a store: from a URL to the one object through which everything above storage reaches it.

A `Keeper` bundles the promises (`store`) with the ways to run them: blocking (`run`), awaiting (`arun`)
and for the engine's loops (`lane`), each with connections of its own kind, opened when first used and
dropped after a fork. Hints travel beside them: `hint` says that a queue has work, an `Ear` hears it;
both may lose what they carry, because polling alone meets every bound.

Nothing is opened by `open_keeper` itself, so a wrong password or a missing file speaks up at the first
use, as a `StoreError` in one sentence. A keeper never changes a schema, with one exception: an SQLite
file that did not exist before is given its tables when it is created.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Iterable
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote, unquote, urlsplit

from unstuck.model.errors import BadSetting
from unstuck.storage.migrating import Migrator
from unstuck.storage.plan import Lane, Plan
from unstuck.storage.protocol import Store
from unstuck.storage.sql.library import Dialect, check_prefix

R = TypeVar("R")

USUAL_PREFIX = "unstuck_"
"""What stands before every table name where nobody says otherwise."""

SCHEMES = "sqlite:///file.db, postgresql://user@host/name or memory://"


class Ear(Protocol):
    """Hears hints: `async for queues in ear`. An empty set means that something changed, somewhere.

    It heals itself and ends only with `aclose`. `is_proved` is False while nothing shows that hints
    arrive (a pooler swallows them, the server is away); then polling is all there is.
    """

    @property
    def is_proved(self) -> bool: ...
    def __aiter__(self) -> AsyncIterator[frozenset[str]]: ...
    async def aclose(self) -> None: ...


class Keeper(ABC):
    """One store, ready to use; all of it may be used from several threads and loops at once.

    `engine` is "sqlite", "postgres" or "memory". `url_shown` may be printed: no password, and the
    absolute path of a file. `dialect` spells statements for connections that a caller owns (`tx=`);
    None where there is no SQL.
    """

    engine: str
    url_shown: str
    store: Store
    dialect: Dialect | None
    migrator: Migrator

    @abstractmethod
    def run(self, plan: Plan[R]) -> R:
        """Run a plan, blocking. Raises what the plan raises, and StoreErrors."""

    @abstractmethod
    async def arun(self, plan: Plan[R]) -> R:
        """Run a plan, awaiting; the connections belong to the running loop."""

    @abstractmethod
    def lane(self, name: str) -> Lane:
        """A place of its own for the engine to run plans one at a time; `name` is for people."""

    @abstractmethod
    def ear(self) -> Ear | None:
        """A listener for hints, or None where the engine has none. Call it inside a running loop."""

    def route(self) -> str:
        """How the store is reached, in a few words: "direct", or which kind of pooler stands between."""
        return "direct"

    @abstractmethod
    def hint(self, queues: Iterable[str]) -> None:
        """Say that these queues have work: at once, then at most once per queue and 50 ms. Never fails."""

    def run_telling(self, plan: Plan[R], queues: Collection[str]) -> R:
        """Run a plan that brings work to these queues, and say so; in one go where the engine can."""
        answer = self.run(plan)
        if queues:
            self.hint(queues)
        return answer

    async def arun_telling(self, plan: Plan[R], queues: Collection[str]) -> R:
        """The same, awaiting."""
        answer = await self.arun(plan)
        if queues:
            self.hint(queues)
        return answer

    @abstractmethod
    def close(self) -> None:
        """Close the blocking connections and send what is left of hints. May be opened anew by use."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what belongs to the running loop, then the rest."""


def open_keeper(
    url: str,
    prefix: str = USUAL_PREFIX,
    *,
    folder: str | Path | None = None,
    application: str = "unstuck",
    event_log: bool = False,
) -> Keeper:
    """The keeper for a URL; nothing is connected yet.

    A relative SQLite path is resolved against `folder` (default: the current one). `prefix` stands
    before every table name. `application` names the connections on a PostgreSQL server. With `event_log`
    a new store keeps an event log, and one that does not is refused at the first use. Raises BadSetting
    for a URL that no engine answers to.
    """
    check_prefix(prefix)
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        from unstuck.storage.sqlite.keeper import SqliteKeeper

        return SqliteKeeper(sqlite_path(url, folder), prefix, event_log=event_log)
    if parts.scheme in ("postgresql", "postgres"):
        try:
            from unstuck.storage.postgres.keeper import PostgresKeeper
        except ModuleNotFoundError as error:
            if error.name not in ("psycopg", "psycopg_pool"):
                raise
            raise BadSetting("PostgreSQL needs psycopg: pip install 'unstuck[postgres]'") from None
        return PostgresKeeper(url, prefix, application, event_log=event_log)
    if parts.scheme == "memory":
        from unstuck.storage.memory.keeper import MemoryKeeper

        return MemoryKeeper(event_log=event_log)
    shown = f"{parts.scheme}://" if parts.scheme else repr(url)
    raise BadSetting(f"{shown} is no store that unstuck knows: use {SCHEMES}")


def absolute_url(url: str, folder: str | Path | None = None) -> str:
    """The same URL, a relative SQLite path made absolute (see `open_keeper`), so that it means the same everywhere."""
    return f"sqlite:///{quote(str(sqlite_path(url, folder)))}" if url.startswith("sqlite:") else url


def sqlite_path(url: str, folder: str | Path | None = None) -> Path:
    """The absolute path that an `sqlite:` URL names: three slashes for a relative one, four for an absolute one."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/") or parts.query or parts.fragment:
        raise BadSetting(
            f"{url!r} does not name a file: use sqlite:///relative.db or sqlite:////absolute/path.db"
        )
    name = path[1:]
    if name in ("", ":memory:"):
        raise BadSetting(
            "a database inside one SQLite connection cannot be shared: name a file, or use memory://"
        )
    return (Path(folder or Path.cwd()) / name).absolute()
