"""What the auditor has seen: facts without judgement, kept by nobody else.

The rows as the store last showed them, who every worker is, what clients wanted and were told, what handlers
witnessed, what an operator asked for; and the findings, each a promise that these facts contradict. The rooms
that judge (`job_moves`, `endings`, `worker_moves`, `auditor`) share this and nothing else, so that each of
them can be read by itself. Nothing here is asked of the product: a row comes from the store, an attempt from
its handler, and where the two disagree that is the finding.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.simulation.loop import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

FINAL = ("succeeded", "failed", "cancelled")
COUNTS = ("failures", "crashes", "losses", "handbacks", "snoozes")
SLACK = 1.0
"""Seconds that a bound may be missed by: messages and turns of the loops."""
FINDINGS_MAX = 20


@dataclass(slots=True)
class Attempt:
    """One start of a handler, as its witness saw it."""

    process: Process
    fence: int
    started_at: float
    stopped_at: float | None = None
    ended_at: float | None = None
    ending: str = ""

    @property
    def was_stopped(self) -> bool:
        """Whether it was told to stop, or, in a process of its own, killed."""
        process = self.process
        is_killed = process.worker is not process and process.is_dead and self.ended_at is None
        return self.stopped_at is not None or is_killed


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that was broken: which check, in one sentence, and by which job or worker."""

    check: str
    sentence: str
    at: float
    subject: UUID | None = None


class Seen:
    """The facts of one world."""

    def __init__(self, world: World):
        self._world = world
        self.findings: list[Finding] = []
        self.counts: defaultdict[str, int] = defaultdict(int)
        self.rows: dict[UUID, Any] = {}
        self.unfinished: set[UUID] = set()
        self.workers: dict[UUID, Any] = {}
        self.process_of: dict[UUID, Process] = {}
        self.wanted: dict[UUID, Any] = {}
        self.parents: dict[UUID, UUID] = {}
        """Of each follow-up: the job whose success it follows."""
        self.acknowledged: dict[UUID, None] = {}
        self.revivals: set[UUID] = set()
        self.forgotten: set[UUID] = set()
        self.pruned: set[UUID] = set()
        self.paused: set[str] = set()
        self.drained: set[UUID] = set()
        self.cancels: set[UUID] = set()
        self.starts: defaultdict[UUID, dict[int, Attempt]] = defaultdict(dict)
        self.ended: dict[UUID | None, float] = {}
        """When a worker's row ended."""
        self.began: float | None = None
        """When the write that is being judged began, if that was earlier than now."""
        self.not_before: Any = None
        """The moment of the store's clock before which that write cannot have ended anything."""
        self.claimed_at: dict[tuple[UUID, int], float] = {}
        self.recorded: set[UUID] = set()
        """Verdicts that stood on a row."""

    @property
    def now(self) -> float:
        """The virtual moment."""
        return self._world.loop.now

    def find(self, check: str, sentence: str, subject: UUID | None) -> None:
        """A promise is broken. What the dead still do while a world that is over winds down breaks none."""
        if len(self.findings) < FINDINGS_MAX and not self._world.is_over:
            self.findings.append(Finding(check, sentence, self.now, subject))
            self._world.tell("auditor", f"FOUND [{check}] {sentence}", subject)

    def tell(self, process: Process, subject: UUID, what: str) -> None:
        """A line of the story."""
        self._world.tell(process.name, what, subject)
