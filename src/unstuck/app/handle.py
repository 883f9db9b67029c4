"""The handle of a job: an id, and what can be asked about it.

A handle costs nothing to make and holds no connection. What it knows of the job is its `snapshot`, one
consistent read of the whole row, replaced by `refresh` and by whatever else reads; a snapshot itself
never changes. Every question that goes to the store has a twin with an `a` in front for async code. The
blocking ones may be called while a loop runs, but they block it, as any blocking call does; and a job
that waits in its handler for another one holds its place in the worker all the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from unstuck.app import commands
from unstuck.model.errors import JobCancelled, JobFailed, ResultNotKept
from unstuck.model.job import Job as Snapshot
from unstuck.model.job import LogLine
from unstuck.model.states import State
from unstuck.rules.durations import Duration, duration_us

if TYPE_CHECKING:
    from unstuck.app.client import Client

RCo = TypeVar("RCo", covariant=True)


class Job(Generic[RCo]):
    """A job whose task returns an `R`.

    `created` is False where the enqueue found the same job there already. `snapshot` is the row as it
    was last read, or None before the first read.
    """

    __slots__ = ("_client", "created", "id", "snapshot")

    def __init__(self, client: Client, id: UUID, *, created: bool = False, snapshot: Snapshot | None = None):
        self._client = client
        self.id = id
        self.created = created
        self.snapshot = snapshot

    @staticmethod
    def of(client: Client, ids: Iterable[UUID]) -> list[Job[Any]]:
        """Handles of many jobs that were inserted just now, at a tenth of the price of as many calls."""
        held = list(ids)
        jobs: list[Job[Any]] = list(map(_new, repeat(Job, len(held))))
        columns: tuple[Iterable[Any], ...] = (repeat(client), held, repeat(True), repeat(None))
        for put, values in zip(_PUTS, columns, strict=True):
            deque(map(put, jobs, values), 0)
        return jobs

    def refresh(self) -> Snapshot:
        """Read the job anew and answer the snapshot. Raises JobNotFound."""
        self.snapshot = self._client.do(commands.get(self._client.store, self.id))
        return self.snapshot

    async def arefresh(self) -> Snapshot:
        """The async twin of `refresh`."""
        self.snapshot = await self._client.ado(commands.get(self._client.store, self.id))
        return self.snapshot

    def result(self, timeout: Duration | None = None) -> RCo:
        """Wait for the end and answer what the task returned; for ever without a `timeout`.

        Raises TimeoutError, JobFailed (with the stored type, message and traceback), JobCancelled,
        ResultNotKept, or JobNotFound where the row is gone.
        """
        self.snapshot = self._client.do(commands.wait(self._client.store, self.id, _seconds(timeout)))
        result: RCo = self._outcome(self.snapshot)
        return result

    async def aresult(self, timeout: Duration | None = None) -> RCo:
        """The async twin of `result`."""
        self.snapshot = await self._client.ado(commands.wait(self._client.store, self.id, _seconds(timeout)))
        result: RCo = self._outcome(self.snapshot)
        return result

    def cancel(self) -> bool:
        """End the job as cancelled, or ask it to stop where it runs; False where it had ended otherwise.

        A running job ends as cancelled whatever its handler then does, unless its success was recorded before.
        """
        return self._client.do(commands.cancel(self._client.store, self.id, self._client.draw))

    async def acancel(self) -> bool:
        """The async twin of `cancel`."""
        return await self._client.ado(commands.cancel(self._client.store, self.id, self._client.draw))

    def explain(self) -> str:
        """Why the job stands where it stands, and what would release it, in one sentence; true of one moment."""
        return self._client.do(commands.explain(self._client.store, self.id)).whole

    async def aexplain(self) -> str:
        """The async twin of `explain`."""
        return (await self._client.ado(commands.explain(self._client.store, self.id))).whole

    def logs(self) -> list[LogLine]:
        """The lines that the handler wrote with `ctx.log`, oldest first."""
        return self._client.do(commands.ask(self._client.store.logs(self.id)))

    async def alogs(self) -> list[LogLine]:
        """The async twin of `logs`."""
        return await self._client.ado(commands.ask(self._client.store.logs(self.id)))

    @property
    def created_at(self) -> datetime | None:
        """When the job was inserted, by the store's clock; None before the first read."""
        return self.snapshot.created_at if self.snapshot else None

    def __repr__(self) -> str:
        about = f" {self.snapshot.task} {self.snapshot.state}" if self.snapshot else ""
        return f"<Job {self.id}{about}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id  # pyright: ignore[reportUnknownMemberType]

    def __hash__(self) -> int:
        return hash(self.id)

    def _outcome(self, job: Snapshot) -> Any:
        """The result of a job that has ended, or the error that says why there is none."""
        said = job.error
        if job.state is State.SUCCEEDED:
            if job.result is None and said is not None:
                raise ResultNotKept(f"job {job.id} ({job.task}) succeeded, but {said.message}")
            return self._client.result_of(job)
        reason = str(job.reason or job.state)
        what = f"job {job.id} ({job.task})"
        if job.state is State.CANCELLED:
            why = f": {said.message}" if said is not None and said.message else ""
            raise JobCancelled(f"{what} was cancelled ({reason}){why}", reason=reason)
        if said is None:
            raise JobFailed(f"{what} failed ({reason})", reason=reason)
        raise JobFailed(
            f"{what} failed ({reason}): {said.type}: {said.message}",
            reason=reason,
            type=said.type,
            text=said.message,
            traceback=said.traceback,
        )


def _seconds(timeout: Duration | None) -> float | None:
    return None if timeout is None else duration_us(timeout, "timeout") / 1_000_000


_new: Callable[[Any], Any] = object.__new__
_PUTS: tuple[Callable[[Any, Any], None], ...] = tuple(
    getattr(Job, name).__set__ for name in ("_client", "id", "created", "snapshot")
)
