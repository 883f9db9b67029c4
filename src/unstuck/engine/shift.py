"""A shift: what one worker holds from its registration to its end.

The loops share it and nothing else. A claimed job lies in `buffer` until a place is free, then runs in
`runs`, then its verdict lies in `outbox` until the store has confirmed it; so at every moment the three
together are exactly what this worker believes it owns, which is what reconciling compares with the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from unstuck.engine.buffer import Buffer
from unstuck.engine.env import Env
from unstuck.engine.handler import Handler
from unstuck.engine.page import Page
from unstuck.engine.patience import Bell
from unstuck.model.job import ClaimedJob
from unstuck.model.verdict import Verdict
from unstuck.rules import judging
from unstuck.rules.settings import Settings
from unstuck.storage.plan import Lane, Plan
from unstuck.storage.protocol import Store

if TYPE_CHECKING:
    from unstuck.engine.run import Run

PORTION_MAX = 1000
PORTION_OF_ONE_FILE = 500
"""So many jobs go through one transaction at most. Where everybody waits for the one writer, nobody writes for long;
a server has other work to do meanwhile, and what each costs by itself (a commit, a plan, a turn of the loop) is
shared by more."""

R = TypeVar("R")
Key = tuple[UUID, int]
Ending = tuple[float, int | None]


def nobody() -> None:
    """Wakes no loop; stands in until the loops exist."""


@dataclass(eq=False)
class Shift:
    """One worker's identity, seams and everything it holds."""

    id: UUID
    store: Store
    handlers: Mapping[str, Handler]
    settings: Settings
    env: Env
    page: Page
    claim_lane: Lane
    settle_lane: Lane
    portion: int = PORTION_MAX
    """So many are claimed at once, and settled at once, at most."""
    buffer: Buffer = field(default_factory=Buffer)
    runs: dict[Key, Run] = field(default_factory=dict[Key, "Run"])
    outbox: dict[Key, Verdict] = field(default_factory=dict[Key, Verdict])
    endings: dict[Key, Ending] = field(default_factory=dict[Key, "Ending"])
    """Of what is in the outbox, in order of their ends, when it ended and which slot of the page it still has."""
    answered_at: float = 0.0
    """When the lane of claims last answered."""
    claims_in_flight: int = 0
    claims_made: int = 0
    is_draining: bool = False
    is_quiet: bool = False
    ready: dict[str, int] = field(default_factory=dict[str, int])
    look_now: Callable[[], None] = nobody
    claim_now: Callable[[], None] = nobody
    settle_now: Callable[[], None] = nobody
    reconcile_now: Callable[[], None] = nobody
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    parting: Bell = field(default_factory=Bell)
    """Rung by whoever finds that this worker has to leave, and then by what its leaving waits for; without it
    either is found within a poll."""

    @property
    def may_start(self) -> bool:
        """Whether this worker is sure enough of its lease to begin anything new."""
        return not self.is_draining and not self.is_quiet and self.page.may_start(self.env.now())

    @property
    def must_leave(self) -> bool:
        """Whether this worker was asked to leave, has lost its row, or cannot go on in this process."""
        page = self.page
        return self.is_draining or page.drain_level > 0 or page.wants_replacement or self.gone.is_set()

    @property
    def is_empty(self) -> bool:
        """Whether this worker believes that it owns nothing."""
        return not (self.buffer or self.runs or self.outbox or self.claims_in_flight)

    async def ask(self, plan: Plan[R]) -> tuple[R, float]:
        """The answer on the lane of claims, and the seconds that it took; looks ask there too, and what one waits
        for the other is no part of them."""
        sent = self.env.now()
        try:
            answer = await self.claim_lane.run(plan, self.settings.deadline)
        finally:
            before, self.answered_at = self.answered_at, self.env.now()
        return answer, self.answered_at - max(sent, before)

    def holds(self) -> set[Key]:
        """Every attempt that this worker knows to be its own."""
        with self.buffer.lock:  # else a thread might have one in its hands that is neither here nor there
            waiting, running = list(self.buffer), list(self.runs)
        return {(held.job.id, held.job.fence) for held in waiting}.union(running, self.outbox)

    def deliver(self, verdict: Verdict) -> None:
        """Put an ending into the outbox; the settling loop takes it from there."""
        self.put(verdict, self.env.now())
        self.settle_now()
        self.gave_up_something()

    def put(self, verdict: Verdict, at: float, slot: int | None = None) -> None:
        """The same without waking anybody: who ends many at once does that afterwards."""
        key = verdict.job_id, verdict.fence
        self.outbox[key] = verdict
        self.endings.setdefault(key, (at, slot))

    def gave_up_something(self) -> None:
        """There is less in hand than before: who waits for that in order to leave should look."""
        if self.is_draining:
            self.parting.ring()

    def hand_back(self, job: ClaimedJob, *, started: bool, why: str) -> None:
        """Give a job back: same place in line, nothing counted."""
        self.deliver(judging.handed_back(job, self.env.new_id(), self.id, started=started, why=why))

    def hand_back_buffer(self, why: str) -> None:
        """Give back everything that has not started."""
        for held in self.buffer.take_where(lambda held: True):
            self.hand_back(held.job, started=False, why=why)
