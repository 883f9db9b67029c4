"""The running job, as the code inside it sees it.

`current()` finds it through a context variable, so it works in coroutines, in pool threads (each job
runs in a copied context) and in isolated processes. Everything here only notes a wish: progress and log
lines are gathered and written by the settling loop, fenced like every write for an attempt; when the
store refuses one, `cancelled` turns true, because whoever lost the job should stop.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from unstuck.model.errors import NoCurrentJob
from unstuck.model.job import ClaimedJob

LOG_LINES_MAX = 1000
LOG_BYTES_MAX = 2048

current_context: ContextVar[Context] = ContextVar("unstuckcurrent_context")


def _nobody(context: Context) -> None:
    """Hears what a context notes where nobody else does."""


@dataclass(eq=False)
class Context:
    """The running attempt: what `unstuck.current()` returns inside a job.

    One is made for every job, so what most of them never touch stands in the class until somebody does.
    """

    job: ClaimedJob
    worker_id: UUID
    _wrote: Callable[[Context], None] = field(repr=False, default=_nobody)
    _settle_inside: Callable[[Context, Any, Any], Any] | None = field(repr=False, default=None)
    verdict_id: UUID | None = field(default=None, repr=False)
    _must_stop: bool = field(default=False, init=False, repr=False)
    _progress: tuple[float, float | None, str] | None = field(default=None, init=False, repr=False)
    _lines: deque[tuple[int, str]] | None = field(default=None, init=False, repr=False)
    _numbered: int = field(default=0, init=False, repr=False)
    is_settled: bool = field(default=False, init=False, repr=False)

    @property
    def id(self) -> UUID:
        """The id of the job."""
        return self.job.id

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.job.task

    @property
    def queue(self) -> str:
        """The queue that the job came from."""
        return self.job.queue

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self.job.attempt

    @property
    def fence(self) -> int:
        """What proves that this attempt owns the job: rises at every claim."""
        return self.job.fence

    @property
    def cancelled(self) -> bool:
        """Whether this attempt should stop: asked to cancel, timed out, or no longer the owner."""
        return self._must_stop

    def ask_to_stop(self) -> None:
        """Turn `cancelled` true; for the engine."""
        self._must_stop = True

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far the job is; the last value is kept, written at most once a second.

        NaN and infinity say nothing and are not kept.
        """
        of, out_of = float(done), None if total is None else float(total)
        if math.isfinite(of) and (out_of is None or math.isfinite(out_of)):
            self._progress = (of, out_of, _cut(str(note)))
            self._wrote(self)

    def log(self, text: str) -> None:
        """Keep a line with the job: 1,000 lines of 2 KiB per attempt at most; more are dropped and said so."""
        if self._numbered >= LOG_LINES_MAX:
            return
        self._numbered += 1
        last = self._numbered == LOG_LINES_MAX
        if self._lines is None:
            self._lines = deque()
        self._lines.append((self._numbered, "(further lines are not kept)" if last else _cut(text)))
        self._wrote(self)

    def take_lines(self) -> list[tuple[int, str]]:
        """The lines written since the last call, numbered; for the settling loop."""
        lines: list[tuple[int, str]] = []
        while self._lines:
            lines.append(self._lines.popleft())
        return lines

    def take_progress(self) -> tuple[float, float | None, str] | None:
        """The progress noted since the last call; for the settling loop."""
        taken, self._progress = self._progress, None
        return taken

    def put_back(self, lines: list[tuple[int, str]]) -> None:
        """The store did not take these lines: keep them for the next time."""
        if self._lines is None:
            self._lines = deque()
        self._lines.extendleft(reversed(lines))

    def settling(self, tx: Any, result: Any = None) -> Any:
        """Effects and ending in one transaction: `with ctx.settling(tx=session):` or `async with`.

        On leaving the block the attempt is settled as succeeded inside `tx`; if ownership was lost,
        LostOwnership is raised there, so that the caller's transaction rolls back. After the commit the
        handler should return; what it returns is ignored in favour of `result`.
        """
        if self._settle_inside is None:
            raise NoCurrentJob("settling() needs a job that runs in a worker's own process")
        return self._settle_inside(self, tx, result)


def _cut(text: str) -> str:
    plain = text.replace("\x00", "�").encode("utf-8", "replace")
    return plain[:LOG_BYTES_MAX].decode("utf-8", "ignore")


def current() -> Context:
    """The job that runs here. Raises NoCurrentJob outside a job."""
    try:
        return current_context.get()
    except LookupError:
        raise NoCurrentJob(
            "there is no job running here: current() works inside a task that a worker runs"
        ) from None
