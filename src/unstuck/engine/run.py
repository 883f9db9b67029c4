"""One started attempt, from its slot on the page to its verdict.

It is made when the slot is written and known to everybody who asks what this worker holds until its verdict is
delivered. Who is to stop it finds here how: a coroutine that waits has a task, one that has not begun yet has none.
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
Ended = tuple[Run, Any, BaseException | None]
"""A run, what its handler returned, and what it raised."""


def died(run: Run, worker_id: UUID, detail: dict[str, Any]) -> Verdict:
    """The verdict of an isolated attempt whose own process died: certainly its own crash."""
    return rescuing.crashed(run.job, run.verdict_id, worker_id, {"died": True, **detail})
