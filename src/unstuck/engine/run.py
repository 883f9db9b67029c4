"""One started attempt, from its slot on the page to its verdict, and the coroutine that carries its handler.

A coroutine's handler is carried to its end inside its own task: what it returns or raises is delivered in
the same step, without a callback and another turn of the loop. Two things asyncio would do are kept from
it: an exception that is meant to end the process (`SystemExit`, a `KeyboardInterrupt` that a handler
raises) is an error of the handler like any other; and a task that was cancelled before its first step
never comes to its coroutine, so the executor looks for those once per poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from unstuck.engine.concluding import Stop
from unstuck.engine.context import Context
from unstuck.engine.handler import Handler, Kind
from unstuck.engine.shift import Key
from unstuck.model.job import ClaimedJob
from unstuck.model.verdict import Verdict
from unstuck.rules import rescuing


@dataclass(eq=False)
class Run:
    """One started attempt. `deadline` is when it times out, by the clock of the engine; None: never. `is_over`
    once it has ended, whatever of it may still be at work. What is the same for most stands in
    the class until it changes."""

    job: ClaimedJob
    handler: Handler
    kind: Kind
    slot: int
    verdict_id: UUID
    context: Context
    started_at: float
    deadline: float | None = field(default=None, init=False)
    stop: Stop = field(default=Stop.NOT, init=False)
    why: str = field(default="", init=False)
    ended_at: float = field(default=0.0, init=False)
    task: asyncio.Task[Any] | None = field(default=None, init=False)
    thread_id: int | None = field(default=None, init=False)
    patience: asyncio.TimerHandle | None = field(default=None, init=False)
    is_over: bool = field(default=False, init=False)

    @property
    def key(self) -> Key:
        """(job id, fence)."""
        return self.job.id, self.job.fence


Isolate = Callable[[Run], Awaitable[Verdict]]
Ended = Callable[[Run, Any, BaseException | None], None]


async def carried(run: Run, arguments: dict[str, Any], now: Callable[[], float], ended: Ended) -> None:
    """Run the handler of a coroutine and deliver how it ended."""
    run.started_at = now()  # its slot says since when it may run; how long it takes counts from here
    try:
        result = await run.handler.function(**arguments)
    except GeneratorExit:
        raise  # nobody ended: what is left of a loop is being cleared away
    except asyncio.CancelledError:
        ended(run, None, asyncio.CancelledError("the task cancelled itself"))
    except BaseException as error:
        ended(run, None, error)
    else:
        ended(run, result, None)


def died(run: Run, worker_id: UUID, detail: dict[str, Any]) -> Verdict:
    """The verdict of an isolated attempt whose own process died: certainly its own crash."""
    return rescuing.crashed(run.job, run.verdict_id, worker_id, {"died": True, **detail})
