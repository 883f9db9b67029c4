"""Coroutines are driven by hand until they wait: one task carries many jobs that never do.

A task per job, its handle and its turn of the loop cost more than a job that does nothing, and Python 3.11 cannot begin a
task eagerly. So what was started waits in a line here, and a task, the *runner*, takes the first step of one after the
other, each in a context of its own. The first that suspends keeps the runner to its end: from there on the task is its own,
so `current_task`, `asyncio.timeout`, task groups and cancellation mean what they mean anywhere; another runner comes for
the rest. A runner goes on for a few milliseconds at most, then others of the loop have their turn.

Jobs that never wait share a task one after the other, so none may leave anything on it for the next. After each the runner
looks whether the task is as it was: no cancellation pending, no callback and no name given, and nobody holds it who
did not before, since whoever does (a timer, a registry by task) might cancel it or take the next job for the last.
If it is not, the runner ends with that job.

Whatever a handler raises, exceptions that are meant to end a process included, is an ending of its job like any other.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from operator import attrgetter
from types import CoroutineType, coroutine
from typing import Any, NamedTuple

from unstuck.engine.context import current_context
from unstuck.engine.run import Ended, Run

BURST_SECONDS = 0.003
"""So long a runner goes on before others of the loop have their turn, and to the end of the first step that it is at then."""

WIDTH_MAX = 16

_traces = attrgetter("_must_cancel", "_callbacks")
_NO_TRACES = (False, None)
"""Of a task that cancelled itself and took it back only the first tells: until Python 3.13 that stays pending."""


class Suspended(NamedTuple):
    """A job that waits: in its context, for what its coroutine has yielded."""

    run: Run
    scope: Context
    coroutine: Coroutine[Any, Any, Any]
    wanted: Any


class Driving:
    """The runners of one worker. `over` hears what ended together, `ground` is what every job's context is copied from."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ground: Context,
        now: Callable[[], float],
        over: Callable[[list[Ended]], None],
    ):
        self._loop = loop
        self._ground = ground
        self._now = now
        self._over = over
        self._waiting: deque[tuple[Run, dict[str, Any]]] = deque()
        self._coming: set[asyncio.Task[None]] = set()
        """Runners that have not begun."""
        self._begun: asyncio.Task[None] | None = None
        self._is_calling = False
        self._width = 1
        """How many runners are called at once: more where each comes no further than to a job that suspends."""

    def add(self, run: Run, arguments: dict[str, Any]) -> None:
        """Last in line; runners must be called for it. What is over before its first step is left out."""
        self._waiting.append((run, arguments))

    def call(self) -> None:
        """See that runners come for what waits."""
        if self._is_calling:
            return
        self._is_calling = True
        try:
            while len(self._coming) < min(self._width, len(self._waiting)):
                # In a copy: nobody enters a context twice.
                task = self._loop.create_task(self._run(), context=self._ground.copy())
                if self._begun is not task:  # a factory of the application's may begin tasks eagerly
                    self._coming.add(task)
        finally:
            self._is_calling = False

    def recall(self) -> None:
        """The same, where somebody may have cancelled the runners that were coming."""
        self._coming = {task for task in self._coming if not task.done()}
        self.call()

    async def _run(self) -> None:
        self._begun = task = asyncio.current_task()
        assert task is not None
        self._coming.discard(task)
        ended: list[Ended] = []
        suspended: Suspended | None = None
        try:
            suspended = self._burst(task, ended)
            self._width = 1 if suspended is None else min(2 * self._width, WIDTH_MAX)
        finally:
            self.call()
            if ended:
                self._over(ended)
        if suspended is not None:
            run = suspended.run
            run.task = task
            result, error = await _onward(*suspended[1:])
            run.ended_at = self._now()
            self._over([(run, result, error)])

    def _burst(self, task: asyncio.Task[None], ended: list[Ended]) -> Suspended | None:
        """The first steps of those that wait, until one suspends, leaves something on the task, or the time is up."""
        now, waiting, ground = self._now, self._waiting, self._ground
        count_references, count_watchers = sys.getrefcount, weakref.getweakrefcount
        name, watchers, references = task.get_name(), count_watchers(task), count_references(task)
        at = now()
        # What else a task of another kind may keep, nobody knows here.
        until = at + BURST_SECONDS if type(task) is asyncio.Task else at
        while waiting:
            run, arguments = waiting.popleft()
            if run.is_over:
                continue
            run.started_at = at  # its slot says since when it may run; how long it takes counts from here
            scope = ground.copy()
            begun, answer, error = scope.run(_first_step, run, arguments)
            if begun is not None:
                return Suspended(run, scope, begun, answer)
            run.ended_at = at = now()
            ended.append((run, answer, error))
            if (
                at >= until
                or count_references(task) != references
                or count_watchers(task) != watchers
                or task.get_name() is not name
                or _traces(task) != _NO_TRACES
            ):
                break
        return None


def _first_step(
    run: Run, arguments: dict[str, Any]
) -> tuple[Coroutine[Any, Any, Any] | None, Any, BaseException | None]:
    """In the job's own context: its coroutine and what that waits for; or None, what it returned, and what it raised."""
    current_context.set(run.context)
    try:
        made: Any = run.handler.function(**arguments)
        begun: Coroutine[Any, Any, Any] = made if made.__class__ is CoroutineType else _awaiting(made)
    except BaseException as error:
        return None, None, _as_ending(error)
    try:
        return begun, begun.send(None), None
    except StopIteration as stop:
        return None, stop.value, None
    except BaseException as error:
        return None, None, _as_ending(error)


async def _awaiting(made: Any) -> Any:
    """Of whatever else can be awaited."""
    return await made


@coroutine
def _onward(
    scope: Context, coroutine: Coroutine[Any, Any, Any], wanted: Any
) -> Generator[Any, Any, tuple[Any, BaseException | None]]:
    """Hand up what the coroutine waits for and down what comes of it, until it ends: what it returned, what it raised."""
    while True:
        come = thrown = None
        try:
            come = yield wanted
        except GeneratorExit:
            scope.run(coroutine.close)
            raise  # nobody ended: what is left of a loop is being cleared away
        except BaseException as error:
            thrown = error
        wanted = None  # a future that failed holds what is raised now, whose traceback holds all that is named here
        try:
            wanted = scope.run(coroutine.send, come) if thrown is None else scope.run(coroutine.throw, thrown)
        except StopIteration as stop:
            return stop.value, None
        except BaseException as error:
            return None, _as_ending(error)
        finally:
            del come, thrown


def _as_ending(error: BaseException) -> BaseException:
    """To be cancelled is nobody's wish here: who wants a job to stop has said so before."""
    return (
        asyncio.CancelledError("the task cancelled itself")
        if isinstance(error, asyncio.CancelledError)
        else error
    )
