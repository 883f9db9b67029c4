"""`App`: a store, a registry of tasks, and everything that is asked of them.

One object that a program makes once, at module level. Making it touches nothing: the store is opened at
the first use, in this process (a fork opens its own), and a wrong password speaks up then. Where the
app is imported by a worker it is the engine's `Application`; the same file serves both sides.

A relative SQLite path is resolved against the folder of the module that calls `App(...)`, so the web
process and the worker mean the same file whatever folders they were started in. The async methods never
block the loop; the blocking ones may be called while a loop runs, and block it.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, overload
from uuid import UUID

from unstuck.app import commands, options
from unstuck.app.chunks import achunks_of, chunks_of, jobs_of, noted
from unstuck.app.client import Client
from unstuck.app.handle import Job
from unstuck.app.health import Health, watch_health
from unstuck.app.identity import Ids, id_of
from unstuck.app.joining import Joined
from unstuck.app.naming import folder_of, main_name
from unstuck.app.options import Backoff, Keep
from unstuck.app.settling import Settling
from unstuck.app.task import P, Spec, Task, check_function, name_of
from unstuck.engine.context import Context
from unstuck.engine.handler import Handler
from unstuck.model.errors import BadArguments, BadSetting, BadTask
from unstuck.model.happening import LoggedEvent
from unstuck.model.states import State
from unstuck.rules.admitting import check_name
from unstuck.rules.durations import Duration
from unstuck.storage.opening import USUAL_PREFIX, Keeper, absolute_url, open_keeper
from unstuck.storage.protocol import Filter, Store

R = TypeVar("R")


class TaskDecorator(Protocol):
    """What `@app.task(...)` gives: `async def` first, so that its result type is what it returns."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Task[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R, R]: ...


class App:
    """The front door of one store.

    `url`: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://…` or `memory://`; default
    $UNSTUCK_URL. `tasks`: modules to import so that a worker knows all tasks. `prefix` begins the table
    names. `ids` makes the ids of jobs (UUIDv7; tests bring their own). `event_log`: a new store writes down
    every change of a job, a worker or a queue (see `events`); one that does not is refused until
    `unstuck migrate apply` turns the log on. Raises BadSetting.
    """

    def __init__(
        self,
        url: str | None = None,
        tasks: Sequence[str] = (),
        *,
        prefix: str = USUAL_PREFIX,
        ids: Callable[[], UUID] | None = None,
        event_log: bool = False,
    ):
        if isinstance(tasks, str):
            raise BadSetting(f"tasks={tasks!r} must be a list of module names")
        said = url or os.environ.get("UNSTUCK_URL")
        if not said:
            raise BadSetting(
                'no store: give App a URL, for example App("sqlite:///jobs.db"), or set UNSTUCK_URL'
            )
        self._prefix = prefix
        self._tasks_in = tuple(tasks)
        frame = inspect.currentframe()
        self._url = absolute_url(said, folder_of(frame.f_back if frame else None))
        self._event_log = event_log
        self._client = Client(open_keeper(self._url, prefix, event_log=event_log), ids or Ids())

    # Declaring tasks

    @overload
    def task(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Task[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R, R]: ...
    @overload
    def task(
        self,
        /,
        *,
        queue: str | None = None,
        tries: int | None = None,
        backoff: Backoff | None = None,
        timeout: Duration | None = None,
        priority: int | None = None,
        name: str | None = None,
        aliases: Sequence[str] = (),
        isolate: bool = False,
        keep: Duration | Keep | None = None,
        labels: Mapping[str, str] | None = None,
        interrupt_threads: bool = False,
    ) -> TaskDecorator: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        queue: str | None = None,
        tries: int | None = None,
        backoff: Backoff | None = None,
        timeout: Duration | None = None,
        priority: int | None = None,
        name: str | None = None,
        aliases: Sequence[str] = (),
        isolate: bool = False,
        keep: Duration | Keep | None = None,
        labels: Mapping[str, str] | None = None,
        interrupt_threads: bool = False,
    ) -> Any:
        """Make a function a task: `@app.task`, or `@app.task(queue="mail", tries=3)`.

        `tries` counts the first (5 by default); `backoff` says how long between them and after which
        exceptions there are none; `timeout` of each attempt (none by default); `name` replaces
        `module.qualname`, `aliases` are names that older jobs may still carry; `isolate` runs each attempt
        in a process of its own; `keep` is how long ended jobs stay; `interrupt_threads` lets a timeout
        raise into the thread of a plain function. Raises BadTask.
        """
        said = options.parse(
            queue=queue,
            tries=tries,
            backoff=backoff,
            timeout=timeout,
            priority=priority,
            keep=keep,
            labels=labels,
            error=BadTask,
        )
        if isinstance(aliases, str):
            raise BadTask(f"aliases={aliases!r} must be a list of names")

        def register(function: Callable[..., Any]) -> Task[..., Any, Any]:
            check_function(function)
            called = name_of(function, main_name()) if name is None else name
            try:
                said.job("task", "{}", self._client.draw)
            except BadArguments as wrong:
                raise BadTask(f"task {called}: {wrong}") from None
            task: Task[..., Any, Any] = Task(
                self._client,
                function,
                called,
                aliases=tuple(aliases),
                options=said,
                isolate=isolate,
                interrupt_threads=interrupt_threads,
            )
            self._register(task)
            return task

        return register if function is None else register(function)

    def _register(self, task: Task[..., Any, Any]) -> None:
        for name in task.names:
            try:
                check_name("task", name)
            except (BadArguments, TypeError):
                raise BadTask(
                    f"{name!r} cannot name a task: 1 to 128 characters without spaces or control characters"
                ) from None
            if name in self._client.tasks:
                raise BadTask(
                    f"task {name} is registered twice: names and aliases must differ; give one of them a name="
                )
        self._client.tasks.update(dict.fromkeys(task.names, task))

    # Enqueueing many, finding, asking

    def enqueue_many(self, specs: Iterable[Spec[R]], *, tx: Any = None) -> list[Job[R]]:
        """Insert many jobs; `app.enqueue_many(send.spec(n) for n in range(10_000))`.

        Up to 10,000 are one transaction: all or none. More are sent in chunks of 5,000, each a transaction
        of its own, while the iterable is consumed lazily; if one fails, those before it stay, and a note
        on the exception says how many. With `tx=`, everything is in that transaction; after an error, roll
        it back. Answers the handles in order. Raises BadArguments, IdConflict, StoreError.
        """
        jobs: list[Job[R]] = []
        for chunk in chunks_of(specs, whole=tx is not None):
            try:
                jobs += self._client.enqueue(jobs_of(chunk), tx)
            except Exception as error:
                raise noted(error, len(jobs)) from error.__cause__
        return jobs

    async def aenqueue_many(
        self, specs: Iterable[Spec[R]] | AsyncIterable[Spec[R]], *, tx: Any = None
    ) -> list[Job[R]]:
        """The async twin of `enqueue_many`; takes async iterables too."""
        jobs: list[Job[R]] = []
        async for chunk in achunks_of(specs, whole=tx is not None):
            try:
                jobs += await self._client.aenqueue(jobs_of(chunk), tx)
            except Exception as error:
                raise noted(error, len(jobs)) from error.__cause__
        return jobs

    def job(self, id: UUID | str) -> Job[Any]:
        """The handle of a job, by its id or by the text that was given as `id=`. Raises JobNotFound."""
        snapshot = self._client.do(commands.get(self.store, id_of(id)))
        return Job(self._client, snapshot.id, snapshot=snapshot)

    async def ajob(self, id: UUID | str) -> Job[Any]:
        """The async twin of `job`."""
        snapshot = await self._client.ado(commands.get(self.store, id_of(id)))
        return Job(self._client, snapshot.id, snapshot=snapshot)

    def jobs(
        self,
        *,
        state: State | str | None = None,
        queue: str | None = None,
        task: str | None = None,
        label: tuple[str, str] | None = None,
        after: UUID | None = None,
        limit: int = 100,
    ) -> list[Job[Any]]:
        """Handles of jobs that match, in order of creation, with their snapshots; `after` pages by id."""
        which = _filter(state, queue, task, label, after, limit)
        return [
            Job(self._client, one.id, snapshot=one)
            for one in self._client.do(commands.ask(self.store.find(which)))
        ]

    async def ajobs(
        self,
        *,
        state: State | str | None = None,
        queue: str | None = None,
        task: str | None = None,
        label: tuple[str, str] | None = None,
        after: UUID | None = None,
        limit: int = 100,
    ) -> list[Job[Any]]:
        """The async twin of `jobs`."""
        which = _filter(state, queue, task, label, after, limit)
        return [
            Job(self._client, one.id, snapshot=one)
            for one in await self._client.ado(commands.ask(self.store.find(which)))
        ]

    def health(self) -> Health:
        """Whether work gets done: the store answers, someone serves the queues that have work, no notices. Never raises StoreError."""
        return self._client.do(watch_health(self.store, self.keeper.url_shown))

    async def ahealth(self) -> Health:
        """The async twin of `health`."""
        return await self._client.ado(watch_health(self.store, self.keeper.url_shown))

    def events(self, after: tuple[str, int] | None = None, *, page: int = 1000) -> Iterator[LoggedEvent]:
        """The lines of the event log behind (record, number) `after`, read page by page while you go on.

        Record by record, each in its own order; there is no order between records. With `after=(id, 0)`
        the lines of that record come first. Raises BadSetting where the store never kept a log.
        """
        while lines := self._client.do(commands.ask(self.store.events(after, page))):
            yield from lines
            after = (lines[-1].record, lines[-1].number)

    async def aevents(
        self, after: tuple[str, int] | None = None, *, page: int = 1000
    ) -> AsyncIterator[LoggedEvent]:
        """The async twin of `events`."""
        while lines := await self._client.ado(commands.ask(self.store.events(after, page))):
            for line in lines:
                yield line
            after = (lines[-1].record, lines[-1].number)

    def close(self) -> None:
        """Close the blocking connections; the app may be used again and opens new ones."""
        self.keeper.close()

    async def aclose(self) -> None:
        """Close the connections of this loop, and the rest."""
        await self.keeper.aclose()

    def __repr__(self) -> str:
        return f"<App on {self.keeper.url_shown}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # What the engine asks for: `Application`.

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The tasks, by every name under which a job may ask for them."""
        return self._client.tasks

    @property
    def tasks(self) -> Mapping[str, Task[..., Any, Any]]:
        """The tasks, by name."""
        return {name: task for name, task in self._client.tasks.items() if task.name == name}

    @property
    def keeper(self) -> Keeper:
        """The store, ready to use."""
        return self._client.keeper

    @property
    def url(self) -> str:
        """Where the store is, with an absolute path, password included: not to be printed (`keeper.url_shown` is)."""
        return self._url

    @property
    def prefix(self) -> str:
        """What stands before every table name."""
        return self._prefix

    @property
    def event_log(self) -> bool:
        """Whether the app asks for the event log."""
        return self._event_log

    @property
    def store(self) -> Store:
        """The store's promises."""
        return self._client.store

    def use_url(self, url: str, folder: str | Path | None = None) -> None:
        """Point the app at another store, as `--url` does; relative paths are resolved against `folder`."""
        self._url = absolute_url(url, Path(folder or Path.cwd()))
        self._client.use(open_keeper(self._url, self._prefix, event_log=self._event_log))

    def load_tasks(self) -> None:
        """Import the modules named in `App(tasks=…)`. Raises BadSetting for one that is not there."""
        for module in self._tasks_in:
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                    raise
                raise BadSetting(f"tasks=[{module!r}]: there is no module {error.name!r} to import") from None

    def join(self, tx: Any) -> Joined:
        """What runs plans inside the caller's transaction `tx`. Raises BadTransaction."""
        return self._client.join(tx)

    def settle_inside(self, context: Context, tx: Any, result: Any) -> Settling:
        """What `ctx.settling(tx=…, result=…)` enters and leaves, in either colour."""
        return Settling(self._client, context, tx, result)


def _filter(
    state: State | str | None,
    queue: str | None,
    task: str | None,
    label: tuple[str, str] | None,
    after: UUID | None,
    limit: int,
) -> Filter:
    try:
        states = None if state is None else (State(state),)
    except ValueError:
        raise BadArguments(f"state={state!r} is not a state: {', '.join(State)}") from None
    return Filter(states=states, queue=queue, task=task, label=label, after=after, limit=limit)
