"""Callers of one event loop who share commits, so that a hundred of them do not wait for a hundred.

A durable commit costs the same for one job as for hundreds. So the first caller goes at once, and those who
come while he is on his way gather; when he is back, they go together, in one statement. Each waits for the
commit that holds his own job, and nobody ever waits for company: alone, a call is what it always was.

Nobody pays for another. Arguments were checked before anybody comes here, and an id with another meaning is
the answer to that one job. Where a group fails as a whole, each of its members goes again by himself, under
the same id and with the usual patience: the bad one learns it, the others are inserted, and what an
unanswered commit did happen to do is not done twice. A caller who is cancelled before his group goes is left
behind; after that his job may be inserted, as always when the answer is not awaited.

Never in a group: what joins a transaction of the caller's, and an id of the caller's own. Such an id may
stand in a transaction that somebody has left open, and an insert waits for that one to end.

A group needs a task only while somebody waits in it, so there is none left when the loop ends; and should
the loop cancel it all the same, its members go by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from unstuck.model.errors import IdConflict, StoreUnavailable
from unstuck.model.job import Inserted, NewJob

JOBS_MAX = 500
LETTERS_MAX = 4 * 1024 * 1024
"""How many jobs, and arguments of which length, share a commit at most."""

Answer = Inserted | IdConflict
Waiting = tuple[NewJob, "asyncio.Future[Answer | None]"]


class Group:
    """The callers of one loop. `together` tries once to insert jobs, `alone` one job with patience."""

    def __init__(
        self,
        together: Callable[[Sequence[NewJob]], Awaitable[Sequence[Answer]]],
        alone: Callable[[NewJob], Awaitable[Inserted]],
    ):
        self._together = together
        self._alone = alone
        self._waiting: list[Waiting] = []
        self._is_under_way = False
        self._task: asyncio.Task[None] | None = None

    async def insert(self, job: NewJob) -> Inserted:
        """Insert the job; answers when it is durable. Raises IdConflict, StoreError."""
        answer = await (self._gathered(job) if self._is_under_way else self._first(job))
        if answer is None:
            return await self._alone(job)
        if isinstance(answer, IdConflict):
            raise answer
        return answer

    async def _first(self, job: NewJob) -> Answer | None:
        self._is_under_way = True
        try:
            (answer,) = await self._together([job])
            return answer
        except StoreUnavailable:
            # Patience is a matter of each caller; nobody shall wait for this one's.
            return None
        finally:
            self._next()

    async def _gathered(self, job: NewJob) -> Answer | None:
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, answer))
        return await answer

    def _next(self) -> None:
        """Who came meanwhile goes now; where nobody did, the next caller is the first again."""
        if not self._waiting:
            self._is_under_way = False
            return
        try:
            self._task = asyncio.get_running_loop().create_task(self._go(), name="unstuck-enqueue")
        except RuntimeError:
            # The loop is over, and so are those who waited.
            self._waiting.clear()
            self._is_under_way = False

    async def _go(self) -> None:
        """Take one group after the other, until nobody has come during the last."""
        try:
            while group := self._taken():
                await self._carry(group)
                # Whoever was answered may come again at once; he belongs to the next group, not before it.
                await asyncio.sleep(0)
        finally:
            self._task = None
            self._is_under_way = False
            rest, self._waiting = self._waiting, []
            _send_off(rest)

    async def _carry(self, group: Sequence[Waiting]) -> None:
        try:
            answers = await self._together([job for job, _ in group])
            for (_, waiting), answer in zip(group, answers, strict=True):
                if not waiting.done():
                    waiting.set_result(answer)
        except Exception:
            pass  # Each will see for himself.
        finally:
            _send_off(group)

    def _taken(self) -> list[Waiting]:
        """The next group, in the order in which they came, without those who have left."""
        group: list[Waiting] = []
        letters = 0
        taken = 0
        for entry in self._waiting:
            job, waiting = entry
            if not waiting.done():
                if group and letters + len(job.args) > LETTERS_MAX:
                    break
                letters += len(job.args)
                group.append(entry)
            taken += 1
            if len(group) == JOBS_MAX:
                break
        del self._waiting[:taken]
        return group


def _send_off(group: Sequence[Waiting]) -> None:
    """Whoever has no answer goes by himself."""
    for _, waiting in group:
        if not waiting.done():
            waiting.set_result(None)
