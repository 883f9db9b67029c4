"""What the engine knows of user code: a handler per task, and the application that holds them.

The engine never imports the front door; the child process imports the user's module and finds an object
that looks like `Application`. A handler decodes arguments, names the function and its kind, encodes the
result and answers the few questions that only the task's author can answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol

from unstuck.storage.opening import Keeper


class Kind(StrEnum):
    """Where a handler runs: on the loop, in a thread of the pool, or in a process of its own."""

    ASYNC = "async"
    PLAIN = "plain"
    ISOLATED = "isolated"


class Handler(Protocol):
    """One task as the engine runs it."""

    @property
    def name(self) -> str: ...
    @property
    def names(self) -> tuple[str, ...]:
        """The task's name and its aliases: all that a claim may ask for."""
        ...

    @property
    def kind(self) -> Kind: ...
    @property
    def function(self) -> Callable[..., Any]: ...
    @property
    def interrupt_threads(self) -> bool:
        """Whether a timeout may raise into the thread (opt-in: it can hit the next job)."""
        ...

    def decode(self, args: str) -> dict[str, Any]:
        """Keyword arguments from stored JSON. Raises BadArguments where they do not fit the function."""
        ...

    def encode(self, result: Any) -> tuple[str | None, str]:
        """(JSON text, "") or (None, why the result could not be kept). Never raises."""
        ...

    def may_retry(self, error: BaseException) -> bool:
        """Whether a failure with this exception deserves another try."""
        ...


class Application(Protocol):
    """What a child process finds under `package.module:app`."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By every name under which a job may ask for it, aliases included."""
        ...

    @property
    def keeper(self) -> Keeper: ...

    @property
    def url(self) -> str:
        """Where its store is, password included; never printed."""
        ...

    @property
    def prefix(self) -> str:
        """What stands before every table name."""
        ...

    @property
    def event_log(self) -> bool:
        """Whether a new store of it keeps an event log."""
        ...

    def use_url(self, url: str) -> None:
        """Point it at another store, as `--url` does."""
        ...

    def load_tasks(self) -> None:
        """Import the modules named in `App(tasks=…)`."""
        ...

    def join(self, tx: Any) -> Any:
        """A connection that runs plans inside the transaction `tx`, blocking or async. Raises BadTransaction."""
        ...
