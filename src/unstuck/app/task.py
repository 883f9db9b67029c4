"""Tasks: functions that can also be asked for later.

A task stays what it was: called, it runs here and now with its own signature. `enqueue` takes the same
arguments and answers a handle; `using(...)` says everything that is not an argument and answers a
`Bound`, which has no `__call__`, so that options can never be mistaken for arguments; `spec` stops short
of the store and gives a request that `enqueue_many` and `then=` take.

The other side of a task is the engine's `Handler`: names, kind, decode, encode, may_retry. A name is
`module.qualname`, the same in every process; what has no such name (a lambda, a nested function, a
method, something typed at a prompt) must be given one, since a job may outlive the process that asked.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar
from uuid import UUID

import msgspec

from unstuck.app import options
from unstuck.app.arguments import Answer, Arguments
from unstuck.app.client import Client
from unstuck.app.handle import Job
from unstuck.app.options import Backoff, Keep, Mould, Options
from unstuck.engine.handler import Kind
from unstuck.model.errors import BadArguments, BadTask
from unstuck.model.job import NewJob
from unstuck.rules.durations import Duration

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
RCo = TypeVar("RCo", covariant=True)

_ANY_RETRY = Backoff()


class Spec(msgspec.Struct, Generic[RCo], frozen=True, gc=False):
    """A checked request that has not been sent; each use of it is a job of its own, unless `id=` was given."""

    # Thousands are made at once. Nothing that lives with them leads back to one, so the collector need not look at them.

    client: Client
    mould: Mould
    args: str

    def job(self) -> NewJob:
        """The job to insert, with an id drawn now. Raises BadArguments."""
        return self.mould.cast(self.args, self.client.draw)


class Bound(Generic[P, RCo]):
    """A task with options; it cannot be called, only enqueued."""

    __slots__ = ("_mould", "_options", "_task")

    def __init__(self, task: Task[P, RCo, Any], options: Options):
        self._task = task
        self._options = options
        self._mould: Mould | None = None

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[RCo]:
        """Check the arguments and insert the job; see `Task.enqueue`. With `tx=`, inside that transaction."""
        return self._task.client.enqueue([self._job(args, kwargs)], self._options.tx)[0]

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[RCo]:
        """The async twin of `enqueue`; calls that are made at once share a commit."""
        job, said = self._job(args, kwargs), self._options
        if said.tx is None and said.id is None:
            return await self._task.client.aenqueue_one(job)
        return (await self._task.client.aenqueue([job], said.tx))[0]

    def spec(self, *args: P.args, **kwargs: P.kwargs) -> Spec[RCo]:
        """A checked request for `enqueue_many` or `then=`; nothing is sent."""
        return self.specify(args, kwargs)

    def specify(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Spec[RCo]:
        """The same of arguments that were taken already."""
        if self._options.tx is not None:
            raise BadArguments("a spec cannot carry tx=: pass it to enqueue_many, or enqueue")
        task = self._task
        text = task.written(args, kwargs)
        # The options are checked together now, not when a chunk of thousands is sent.
        mould = self._mould or self._cast()
        spec: Spec[RCo] = Spec(task.client, mould, text)
        if mould.has_followers:
            spec.job()
        return spec

    def using(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        expires: Duration | None = None,
        timeout: Duration | None = None,
        tries: int | None = None,
        backoff: Backoff | None = None,
        labels: Mapping[str, str] | None = None,
        id: UUID | str | None = None,
        tx: Any = None,
        then: Spec[Any] | Iterable[Spec[Any]] | None = None,
        keep: Duration | Keep | None = None,
    ) -> Bound[P, RCo]:
        """Further options laid over these; see `Task.using`."""
        if isinstance(backoff, Backoff) and (backoff.never or backoff.only):
            raise BadArguments(
                "backoff: never= and only= belong to @app.task, exceptions do not travel with a job"
            )
        more = options.parse(
            queue=queue,
            priority=priority,
            delay=delay,
            at=at,
            expires=expires,
            timeout=timeout,
            tries=tries,
            backoff=backoff,
            labels=labels,
            id=id,
            tx=tx,
            then=_followers(then),
            keep=keep,
        )
        return Bound(self._task, more.over(self._options))

    def __repr__(self) -> str:
        return f"<{self._task.name} with options; enqueue() asks for it>"

    def _job(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NewJob:
        task = self._task
        text = task.written(args, kwargs)
        return (self._mould or self._cast()).cast(text, task.client.draw)

    def _cast(self) -> Mould:
        mould = self._mould
        if mould is None:
            mould = self._mould = Mould(self._options, self._task.name)
        return mould


class Task(Generic[P, R, C]):
    """A function, callable as ever (`C` is what a call gives: R, or a coroutine of R), that can be enqueued."""

    def __init__(
        self,
        client: Client,
        function: Callable[P, C],
        name: str,
        *,
        aliases: tuple[str, ...],
        options: Options,
        isolate: bool,
        interrupt_threads: bool,
    ):
        self.client = client
        self._function = function
        self._name = name
        self._aliases = aliases
        self._options = options
        self._isolate = isolate
        self._interrupt_threads = interrupt_threads
        self._bound: Bound[P, R] = Bound(self, options)
        self._plain: Mould | None = None
        is_async = inspect.iscoroutinefunction(function)
        self._kind = Kind.ISOLATED if isolate else Kind.ASYNC if is_async else Kind.PLAIN
        self._arguments = Arguments(function, name)
        self.written = self._arguments.encode
        """A call's arguments, checked, as JSON; what every way to enqueue begins with. Raises BadArguments."""
        self._answer = Answer(function)
        update_wrapper(self, function)
        if is_async:
            _mark_async(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Run the function here and now; no job is made."""
        return self._function(*args, **kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Check the arguments, insert a job for them, answer its handle.

        Blocking; if the store does not answer, it is asked again for about five seconds with the same id.
        Raises BadArguments, IdConflict, StoreError.
        """
        return self._bound.enqueue(*args, **kwargs)

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """The async twin of `enqueue`; calls that are made at once share a commit."""
        return await self._bound.aenqueue(*args, **kwargs)

    def spec(self, *args: P.args, **kwargs: P.kwargs) -> Spec[R]:
        """A checked request for `enqueue_many` or `then=`; nothing is sent. Raises BadArguments."""
        mould = self._plain
        if mould is None:
            spec = self._bound.specify(args, kwargs)
            self._plain = None if spec.mould.has_followers else spec.mould
            return spec
        # Thousands are made at once: without a call that could be spared.
        return Spec(self.client, mould, self.written(args, kwargs))

    def using(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        expires: Duration | None = None,
        timeout: Duration | None = None,
        tries: int | None = None,
        backoff: Backoff | None = None,
        labels: Mapping[str, str] | None = None,
        id: UUID | str | None = None,
        tx: Any = None,
        then: Spec[Any] | Iterable[Spec[Any]] | None = None,
        keep: Duration | Keep | None = None,
    ) -> Bound[P, R]:
        """This task with options, each laid over what `@app.task` said; None leaves that as it is.

        `queue`; `priority` from -100 to 100, larger runs first; `delay` or `at` (aware) for the earliest
        start; `expires`: cancelled if no attempt has started by then; `timeout` of each attempt; `tries`
        including the first; `backoff`; `labels`; `id`, a UUID or a text (the same id is the same job); `tx`,
        a transaction of yours to insert in; `then`, specs of jobs to insert with the success; `keep`, how
        long the ended job stays. Raises BadArguments.
        """
        return self._bound.using(
            queue=queue,
            priority=priority,
            delay=delay,
            at=at,
            expires=expires,
            timeout=timeout,
            tries=tries,
            backoff=backoff,
            labels=labels,
            id=id,
            tx=tx,
            then=then,
            keep=keep,
        )

    # What the engine asks for: `Handler`.

    @property
    def name(self) -> str:
        """The name under which jobs ask for this task."""
        return self._name

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases: all that a claim may ask for."""
        return (self._name, *self._aliases)

    @property
    def kind(self) -> Kind:
        """Where it runs."""
        return self._kind

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself."""
        return self._function

    @property
    def interrupt_threads(self) -> bool:
        """Whether a timeout may raise into the thread."""
        return self._interrupt_threads

    def decode(self, args: str) -> dict[str, Any]:
        """Keyword arguments from stored JSON. Raises BadArguments where they do not fit the function."""
        return self._arguments.decode(args)

    def encode(self, result: Any) -> tuple[str | None, str]:
        """(JSON text, "") or (None, why the result could not be kept). Never raises."""
        return self._answer.encode(result)

    def decode_result(self, text: str) -> Any:
        """A stored result as the type that the function says it returns."""
        return self._answer.decode(text)

    def may_retry(self, error: BaseException) -> bool:
        """Whether a failure with this exception deserves another try."""
        return (self._options.backoff or _ANY_RETRY).may_retry(error)

    def __repr__(self) -> str:
        return f"<task {self._name}>"


def _followers(then: Spec[Any] | Iterable[Spec[Any]] | None) -> tuple[Callable[[], NewJob], ...] | None:
    if then is None:
        return None
    given = (then,) if isinstance(then, Spec) else tuple(then)
    for spec in given:
        if not isinstance(spec, Spec):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadArguments(f"then={spec!r} must be a spec: then=other.spec(…)")
    return tuple(spec.job for spec in given)


def name_of(function: Callable[..., Any], main: str | None) -> str:
    """`module.qualname`, with `__main__` replaced by `main`. Raises BadTask where that names nothing elsewhere."""
    qualname = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if not qualname or not module:
        raise BadTask(f"{function!r} has no name of its own: give it one, @app.task(name=…)")
    if "<lambda>" in qualname:
        raise BadTask(
            "a lambda has no name that another process could find: give it one, app.task(name=…)(lambda …)"
        )
    if "<locals>" in qualname:
        raise BadTask(
            f"{qualname} is defined inside a function, where no other process can find it: give it a name="
        )
    if "." in qualname:
        raise BadTask(f"{qualname} is a method, and a job has no self: use a function, or give it a name=")
    if module == "__main__":
        if main is None:
            raise BadTask(
                f"{qualname} is defined in a program that no worker can import (__main__): move it to a module, or give it a name="
            )
        module = main
    return f"{module}.{qualname}"


def check_function(function: Callable[..., Any]) -> None:
    """Refuse what cannot be a task. Raises BadTask."""
    if isinstance(function, Task):
        raise BadTask(f"{function.name} is a task already")
    if isinstance(function, type) or not callable(function):  # pyright: ignore[reportUnnecessaryComparison]
        raise BadTask(f"{function!r} is not a function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BadTask(f"{function.__qualname__} is a generator; a task returns once")
    if isinstance(function, staticmethod | classmethod):
        raise BadTask(f"{function!r} is a method wrapper: decorate the plain function")


def _mark_async(task: Any) -> None:
    """Let frameworks that ask whether a callable is `async def` get the right answer."""
    mark = getattr(inspect, "markcoroutinefunction", None)
    if mark is not None:
        mark(task)
    else:
        # Python 3.11 has only asyncio's own question.
        task._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)
