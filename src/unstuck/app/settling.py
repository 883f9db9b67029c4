"""`ctx.settling(tx=…)`: a handler's effects and its ending in one transaction.

    with ctx.settling(tx=connection, result=total):
        connection.execute("UPDATE accounts …")

On leaving the block without an exception the attempt is settled as succeeded through the same
connection. If the caller's transaction commits, both are there; if not, neither is. If the attempt is no
longer the owner (its worker was declared lost, somebody else runs the job), LostOwnership is raised at
the end of the block, so that the effects roll back; if it was asked to cancel meanwhile, `Cancel` is.

The transaction is the caller's, so its COMMIT is out of our sight. When the handler returns, the engine
settles the attempt once more under the same verdict id: after a commit the answer is *already*, and what
stands is what was written here; where the commit failed the handler's own ending counts.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from unstuck.app.joining import Joined
from unstuck.engine.context import Context
from unstuck.model.errors import Cancel, LostOwnership
from unstuck.model.verdict import Answer, Settled, Verdict
from unstuck.rules.judging import succeeded

if TYPE_CHECKING:
    from unstuck.app.client import Client


class Settling:
    """Entered with `with` or `async with`, whichever colour the connection has."""

    def __init__(self, client: Client, context: Context, tx: Any, result: Any):
        self._client = client
        self._context = context
        self._joined: Joined = client.join(tx)
        self._result = result

    def __enter__(self) -> Context:
        self._joined.prove()
        return self._context

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._heard(self._joined.run(self._client.store.settle([self._verdict()])))

    async def __aenter__(self) -> Context:
        await self._joined.aprove()
        return self._context

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._heard(await self._joined.arun(self._client.store.settle([self._verdict()])))

    def _verdict(self) -> Verdict:
        context = self._context
        if context.verdict_id is None:
            context.verdict_id = self._client.draw()
        text, not_kept = self._client.tasks[context.task].encode(self._result)
        return succeeded(context.job, context.verdict_id, context.worker_id, text, not_kept)

    def _heard(self, settled: list[Settled]) -> None:
        job = self._context.job
        match settled[0].answer:
            case Answer.ACCEPTED:
                self._context.is_settled = True
            case Answer.CANCELLED:
                raise Cancel("asked to cancel before its effects were committed")
            case Answer.ALREADY:
                raise LostOwnership(f"attempt {job.attempt} of job {job.id} has been settled before")
            case Answer.REFUSED:
                raise LostOwnership(
                    f"attempt {job.attempt} no longer owns job {job.id}: roll back, another attempt does its work"
                )
