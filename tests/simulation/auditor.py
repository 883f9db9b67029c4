"""The auditor: a mind of its own that knows what was promised and believes only what it has seen.

It shares no code with the rules or the state table of the product. It sees three things: the rows of the
store after each write, what handlers did (witnessed inside them), and the answers that processes got to
their endings. From these it keeps its own model and checks every step against it: which moves are legal,
that the fence rises by one and only at a claim, that an ending on a row is the ending of the attempt that
owned it, that only one count rises and for a reason that was witnessed, that nobody healthy is declared
lost, robbed or refused, that nothing is lost and, when the storm is over, that everything ends.

*Trouble* is what the weather has done to a process. What goes wrong for a process in trouble may be
excused; what goes wrong for one without is always a finding.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.simulation.loop import Process
from tests.simulation.workload import words

if TYPE_CHECKING:
    from tests.simulation.world import World

FINAL = ("succeeded", "failed", "cancelled")
MOVES = {
    "": ("scheduled", "ready"),
    "scheduled": ("ready", "cancelled"),
    "waiting": ("ready", "cancelled", "waiting"),
    "ready": ("running", "waiting", "cancelled"),
    "running": ("running", "ready", "scheduled", *FINAL),
}
COUNTS = ("failures", "crashes", "losses", "handbacks", "snoozes")
RAISES = ("raise", "never again", "retry", "exit")
CLEAN = ("stopped", "withdrawn")
OF_THE_DEAD = ("died", "stalled", "did not start")
SLACK = 1.0
"""Seconds that a bound may be missed by: messages and turns of the loops."""


@dataclass(slots=True)
class Attempt:
    """One start of a handler, as its witness saw it."""

    process: Process
    fence: int
    started_at: float
    stopped_at: float | None = None
    ended_at: float | None = None
    ending: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that was broken: which check, in one sentence, and by which job or worker."""

    check: str
    sentence: str
    at: float
    subject: UUID | None = None


class Auditor:
    """Keeps its own model of the world and writes down what contradicts it."""

    def __init__(self, world: World):
        self._world = world
        self.findings: list[Finding] = []
        self._rows: dict[UUID, Any] = {}
        self._shown: list[Any] = []
        self._crew: list[Any] = []
        self._unfinished: set[UUID] = set()
        self._workers: dict[UUID, Any] = {}
        self._process_of: dict[UUID, Process] = {}
        self._wanted: dict[UUID, Any] = {}
        self._acknowledged: dict[UUID, None] = {}
        self._revivals: set[UUID] = set()
        self._forgotten: set[UUID] = set()
        self._pruned: set[UUID] = set()
        self._paused: set[str] = set()
        self._resumed_at: dict[str, float] = {}
        self._drained: set[UUID] = set()
        self._cancels: set[UUID] = set()
        self._starts: defaultdict[UUID, dict[int, Attempt]] = defaultdict(dict)
        self._ended: dict[UUID | None, float] = {}
        self._began: float | None = None
        self._not_before: Any = None
        self._claimed_at: dict[tuple[UUID, int], float] = {}
        self._recorded: set[UUID] = set()
        self._trouble: dict[Process, float] = {}
        self._leaving: dict[Process, float] = {}
        self._stalls: list[tuple[float, float]] = []
        self._locks: list[tuple[float, float]] = []
        self._steps: list[float] = []
        self.counts: defaultdict[str, int] = defaultdict(int)

    # What clients say

    def wanted(self, new: Any) -> None:
        """A client is about to insert this job."""
        self._wanted[new.id] = new
        for follow in new.then:
            self._wanted[follow.id] = follow

    def acknowledged(self, new: Any) -> None:
        """The store has said that the job is there."""
        self._acknowledged[new.id] = None
        if new.id not in self._rows and new.id not in self._pruned:
            self._find("nothing lost", "was acknowledged but is not there", new.id)

    def cancel_wanted(self, job_id: UUID) -> None:
        """A client is about to cancel this job."""
        self._cancels.add(job_id)

    # What the operator says

    def acknowledged_jobs(self) -> list[UUID]:
        """The jobs that clients were told of, in that order."""
        return list(self._acknowledged)

    def living_workers(self) -> list[UUID]:
        """Workers that have not ended, in the order of their registration."""
        return [worker.id for worker in self._workers.values() if worker.ended_at is None]

    def paused(self, queue: str) -> None:
        """The store has said that the queue is paused, and no older word to resume it is under way."""
        if self._world.loop.now - self._resumed_at.get(queue, -100.0) > 12.0:
            self._paused.add(queue)

    def resuming(self, queue: str) -> None:
        """The queue is about to be resumed."""
        self._resumed_at[queue] = self._world.loop.now
        self._paused.discard(queue)

    def drained(self, worker_id: UUID) -> None:
        """The store has said that the worker drains."""
        self._drained.add(worker_id)

    def revival_wanted(self, ids: list[UUID]) -> None:
        """These jobs are to run again where they have ended."""
        self._revivals.update(ids)

    def forgetting(self, ids: list[UUID]) -> None:
        """These jobs may go where they have ended."""
        self._forgotten.update(ids)

    # What handlers witness

    def started(self, job_id: UUID, fence: int, process: Process) -> int:
        """A handler begins; answers the how-manieth start of the job it is."""
        now, earlier = self._world.loop.now, self._starts[job_id]
        row = self._rows.get(job_id)
        claimed_at = self._claimed_at.get((job_id, fence))
        self._tell(process, job_id, f"starts under fence {fence}")
        self.counts["starts"] += 1
        if claimed_at is None or row is None:
            self._find("claimed before started", f"started under fence {fence}, never claimed so", job_id)
            claimed_at = now
        was_calm = self._calm_since(process, claimed_at)
        if was_calm and now - self._leaving.get(process, now) > 0.0:
            self._find("who leaves starts nothing", f"starts at {process}, which was asked to leave", job_id)
        if fence in earlier:
            self._find("one start per claim", f"started twice under fence {fence}", job_id)
        if was_calm and earlier and max(earlier) > fence:
            self._find("the fence rises", f"started under {fence} after {max(earlier)}", job_id)
        if was_calm and row is not None and (row.fence, str(row.state)) != (fence, "running"):
            self._find(
                "only the owner starts",
                f"{process} starts it under fence {fence}, the row is {row.state} under {row.fence}",
                job_id,
            )
        for other in earlier.values():
            if self._runs_on(other) and other.fence < fence:
                self._find(
                    "no two at once",
                    f"starts at {process} under {fence} while it runs at healthy {other.process}"
                    f" under {other.fence}",
                    job_id,
                )
        earlier[fence] = Attempt(process, fence, now)
        return len(earlier)

    def stopped(self, job_id: UUID, fence: int) -> None:
        """The handler was told to stop."""
        attempt = self._starts[job_id][fence]
        attempt.stopped_at = self._world.loop.now
        self._tell(attempt.process, job_id, f"is told to stop under fence {fence}")

    def ended(self, job_id: UUID, fence: int, ending: str) -> None:
        """The handler has ended."""
        attempt = self._starts[job_id][fence]
        attempt.ended_at, attempt.ending = self._world.loop.now, ending
        self._tell(attempt.process, job_id, f"ends under fence {fence}: {ending}")

    # What the store shows

    def saw(
        self,
        process: Process,
        jobs: Mapping[UUID, Any],
        workers: Mapping[UUID, Any],
        began: float | None = None,
        not_before: Any = None,
    ) -> None:
        """The rows after a write that `process` sent; `began`, if that was earlier than now, and the moment
        of the store's clock before which it cannot have ended anything."""
        self._began, self._not_before = began, not_before
        rows, shown = self._rows, list(jobs.values())
        crew, known = list(workers.values()), self._crew
        self._crew = crew
        # Rows stand in the order in which they came, and one that has not changed is the same object.
        changed = [row for row, before in zip(crew, known, strict=False) if row is not before]
        for worker in [*changed, *crew[len(known) :]]:
            before = self._workers.get(worker.id)
            if before is not worker:
                self._worker_moved(process, before, worker)
                self._workers[worker.id] = worker
        if shown == self._shown:  # the same objects: no row has changed, and comparing them costs nothing
            return
        self._shown = shown
        if len(jobs) < len(rows):
            for gone in [job_id for job_id in rows if job_id not in jobs]:
                self._disappeared(rows.pop(gone))
        moved = [(rows.get(job_id), job) for job_id, job in jobs.items() if rows.get(job_id) is not job]
        for _, job in moved:
            rows[job.id] = job
            (self._unfinished.discard if str(job.state) in FINAL else self._unfinished.add)(job.id)
        for before, job in moved:
            if before != job:
                self._moved(process, before, job)

    def answered(self, process: Process, settled: Any) -> None:
        """A process hears what became of the endings it sent."""
        for each in settled:
            verdict, answer = each.verdict, str(each.answer)
            self.counts[answer] += 1
            row = self._rows.get(verdict.job_id)
            if answer != "refused" and verdict.id not in self._recorded:
                self._find("honest answers", f"was answered {answer}, was never recorded", verdict.job_id)
            if answer == "refused" and row is not None and row.verdict_id == verdict.id:
                self._find("honest answers", "was answered refused, stands on the row", verdict.job_id)
            worker = self._workers.get(verdict.worker_id)
            is_own = worker is not None and worker.ended_at is None
            # A repeated ending is refused once the job has been claimed anew: the row carries another by then.
            was_recorded = verdict.id in self._recorded
            if answer == "refused" and str(verdict.source) == "running" and is_own and not was_recorded:
                key = (verdict.job_id, verdict.fence)
                owner = self._process_of.get(verdict.worker_id)
                if owner is process and self._calm_since(process, self._claimed_at.get(key, 0.0)):
                    self._find("a healthy owner is not refused", f"{process} under {key[1]}", key[0])

    # What the weather does

    def asked_to_leave(self, process: Process) -> None:
        """The process is asked to stop."""
        self._leaving.setdefault(process, self._world.loop.now)

    def troubled(self, process: Process, seconds: float = 0.0) -> None:
        """The weather touches this process now and for so many seconds."""
        until = self._world.loop.now + seconds
        self._trouble[process] = max(until, self._trouble.get(process, 0.0))

    def stalled(self, seconds: float) -> None:
        """The store answers nobody for so long."""
        now = self._world.loop.now
        self._stalls.append((now, now + seconds))

    def locked(self, seconds: float) -> None:
        """Somebody may hold the lock of the store for so long: nobody is calm meanwhile."""
        now = self._world.loop.now
        self._locks.append((now, now + seconds))

    def clock_stepped(self) -> None:
        """The store's clock has jumped, for everybody."""
        self.stalled(0.0)
        self._steps.append(self._world.loop.now)

    def watched(self, process: Process, age: float) -> None:
        """A supervisor that runs has last looked at its children so long ago, whatever its store does."""
        settings, resumed = self._world.settings, self._world.loop.now - process.resumed_at
        if age > settings.lease and resumed > SLACK + settings.poll:
            self._find("a supervisor watches", f"{process} has not looked for {age:.1f} s", None)

    # When the storm is over

    def healed(self) -> None:
        """The weather has let go of everybody."""
        now = self._world.loop.now
        self._stalls = [(start, min(end, now)) for start, end in self._stalls]
        self._locks = [(start, min(end, now)) for start, end in self._locks]
        self._trouble = {process: min(until, now) for process, until in self._trouble.items()}

    def nobody_held_by_the_dead(self) -> None:
        """R has passed since the storm: what dead processes owned must have been taken from them."""
        for row in self._rows.values():
            if str(row.state) == "running":
                owner = self._process_of.get(row.worker_id)
                if owner is None or owner.is_dead:
                    self._find("recovered by R", f"is still held by {owner}, which is dead", row.id)

    def unfinished(self) -> list[Any]:
        """Jobs that have not ended."""
        return [row for row in self._rows.values() if str(row.state) not in FINAL]

    @property
    def has_stepped(self) -> bool:
        """Whether the store's clock has jumped."""
        return bool(self._steps)

    def requests(self) -> list[tuple[Any, bool]]:
        """Every job that a client asked for, and whether it was told that it is there."""
        follows = {follow.id for new in self._wanted.values() for follow in new.then}
        asked = [new for new in self._wanted.values() if new.id not in follows]
        return [(new, new.id in self._acknowledged) for new in asked]

    def attempts(self) -> list[tuple[UUID, Attempt]]:
        """Every start of a handler, job by job."""
        return [(job_id, each) for job_id, starts in self._starts.items() for each in starts.values()]

    def is_all_done(self) -> bool:
        """Whether every wanted job is there and has ended."""
        return len(self._acknowledged) == len(self._world.workload.errands) and not self._unfinished

    def close(self) -> None:
        """The world is over."""
        for row in self.unfinished():
            self._find("everything ends", f"has not ended: {self.explain(row)}", row.id)
        for job_id in self._acknowledged:
            if job_id not in self._rows and job_id not in self._pruned:
                self._find("nothing lost", "was acknowledged and is gone", job_id)
        for error in self._world.loop.errors:
            self._find("no callback fails", error, None)

    def explain(self, row: Any) -> str:
        """Where an unfinished row stands, in plain words."""
        owner = self._process_of.get(row.worker_id)
        worker = self._workers.get(row.worker_id)
        ended = "" if worker is None else f", worker ended {worker.ended_at} ({worker.reason})"
        return (
            f"{row.state} ({row.reason}) under fence {row.fence}, wakes {row.wake_at}, owner {owner}{ended},"
            f" counts {[getattr(row, name) for name in COUNTS]}; {self._world.explain(row.id)}"
        )

    # Single moves

    def _disappeared(self, row: Any) -> None:
        self._pruned.add(row.id)
        self._world.tell("store", "is pruned", row.id)
        self.counts["pruned"] += 1
        may_go = row.id in self._forgotten or (row.id in self._cancels and str(row.reason) == "deleted")
        if str(row.state) not in FINAL or not may_go:
            self._find("nothing lost", f"has disappeared, was {row.state}", row.id)

    def _revived(self, before: Any, job: Any) -> None:
        self.counts["revived"] += 1
        if job.fence != before.fence or any(getattr(job, name) for name in COUNTS):
            self._find("revived as new", f"runs again under fence {job.fence} with counts", job.id)
        if job.worker_id is not None or job.finished_at is not None:
            self._find("revived as new", "runs again, and has an owner or an end", job.id)

    def _moved(self, process: Process, before: Any, job: Any) -> None:
        source = "" if before is None else str(before.state)
        target = str(job.state)
        if before is None:
            self._appeared(process, job)
            return
        if source != target:
            owner = f", {job.reason}" if job.reason else ""
            self._tell(process, job.id, f"{source} -> {target} under fence {job.fence}{owner}")
        if source in FINAL:
            is_wanted = target == "ready" and job.id in self._revivals
            if is_wanted and job.generation == before.generation + 1:
                self._revived(before, job)
            elif (source, before.verdict_id, before.fence) != (target, job.verdict_id, job.fence):
                self._find("one ending", f"was {source} and is {target}", job.id)
            return
        if source != target and target not in MOVES[source]:
            self._find("legal moves", f"went from {source} to {target}", job.id)
        rise = job.fence - before.fence
        if (source, target) == ("ready", "running"):
            self._claimed(process, job, rise)
        elif rise:
            self._find("the fence rises at claims", f"{source} -> {target} changed it by {rise}", job.id)
        if source == "running" and target == "running" and job.worker_id != before.worker_id:
            self._find("an owner stays", "changed its owner while running", job.id)
        if (source == "running" and target != "running") or job.verdict_id != before.verdict_id:
            if job.verdict_id is None or job.verdict_id in self._recorded:
                self._find("one verdict per ending", f"{target} by verdict {job.verdict_id}", job.id)
            self._recorded.add(job.verdict_id)
        if source == "running" and target != "running":
            self._left_running(process, before, job)
        elif any(getattr(job, name) != getattr(before, name) for name in COUNTS):
            self._find("only endings count", f"{source} -> {target} changed a count", job.id)
        if target == "cancelled" and source != "running":
            self._ended_unstarted(job)
        if target in FINAL:
            self._ended_for_good(job)

    def _appeared(self, process: Process, job: Any) -> None:
        self._tell(process, job.id, f"appears {job.state}")
        if job.id not in self._wanted:
            self._find("nothing from nowhere", "was never asked for", job.id)
        parents = [new for new in self._wanted.values() if any(each.id == job.id for each in new.then)]
        if parents:
            parent = self._rows.get(parents[0].id)
            if parent is None or str(parent.state) != "succeeded":
                self._find("follow-ups follow success", "is there before its parent succeeded", job.id)
        if job.fence or any(getattr(job, name) for name in COUNTS):
            self._find("born new", "appears with a fence or a count", job.id)

    def _claimed(self, process: Process, job: Any, rise: int) -> None:
        # The claim's own moment counts: its process may stand still between that and the commit.
        now = job.claimed_at
        self._claimed_at[job.id, job.fence] = self._world.loop.now
        self._tell(process, job.id, f"is claimed under fence {job.fence}")
        if rise != 1:
            self._find("the fence rises at claims", f"rose by {rise}", job.id)
        worker = self._workers.get(job.worker_id)
        if self._world.ground.is_serial and job.queue in self._paused:
            self._find("a pause holds", f"was claimed from {job.queue}, which was paused", job.id)
        if self._world.ground.is_serial and job.worker_id in self._drained:
            self._find("who drains claims nothing", f"was claimed by {process}, which drains", job.id)
        ended = self._ended.get(job.worker_id)
        was_over = ended is not None and (self._began is None or ended < self._began)
        if worker is None or was_over or worker.lease_until < now:
            self._find("only the living claim", f"was claimed by {worker and worker.reason}", job.id)
        # The claim's own now is what counts: its commit may travel past the expiry.
        if job.expires_at is not None and job.claimed_at is not None and job.expires_at <= job.claimed_at:
            self._find("the expired do not start", "was claimed after its expiry", job.id)

    def _left_running(self, process: Process, before: Any, job: Any) -> None:
        target, fence = str(job.state), job.fence
        if job.worker_id is not None:
            self._find("who ends owns nothing", f"is {target} and still owned", job.id)
        rises = {name: getattr(job, name) - getattr(before, name) for name in COUNTS}
        if rises["snoozes"] < 0:
            rises["snoozes"] = 0
        risen = [name for name, by in rises.items() if by]
        if len(risen) > 1 or any(rises[name] != 1 for name in risen):
            self._find("one count rises", f"{risen} by {[rises[name] for name in risen]}", job.id)
        attempt = self._starts[job.id].get(fence)
        ending = "" if attempt is None else attempt.ending
        worker = self._workers.get(before.worker_id)
        if target == "succeeded":
            said = json.dumps(words(self._world.workload.numbers[job.id], fence))
            if ending != "return" or job.result != said:
                self._find(
                    "an ending is its own attempt's",
                    f"succeeded under {fence} with {job.result}, witnessed: {ending or 'nothing'}",
                    job.id,
                )
        elif rises["failures"]:
            self._failed(attempt, job)
        elif rises["losses"]:
            if worker is None or worker.ended_at is None:
                self._find("losses have a lost worker", "was taken from a worker that has not ended", job.id)
        elif rises["crashes"]:
            self._crashed(attempt, before, worker)
        elif rises["snoozes"]:
            if ending != "snooze":
                self._find("counts have a reason", f"snoozed, witnessed: {ending or 'nothing'}", job.id)
        elif target in ("ready", "scheduled"):
            if not rises["handbacks"]:
                self._find("counts have a reason", f"went to {target} and nothing rose", job.id)
            if attempt is not None and self._runs_on(attempt):
                self._find(
                    "what runs is not given away",
                    f"was handed back while it runs at healthy {attempt.process}",
                    job.id,
                )
        elif target == "cancelled" and before.cancel_asked_at is None and ending != "cancel":
            self._find("counts have a reason", f"was cancelled, witnessed: {ending or 'nothing'}", job.id)
        elif target == "failed":
            self._find("counts have a reason", f"failed ({job.reason}) and nothing rose", job.id)

    def _crashed(self, attempt: Attempt | None, before: Any, worker: Any) -> None:
        """A crash is counted where the attempt had started and its process died, or its worker was lost."""
        self.counts["crashes"] += 1
        is_suspect = before.crashes >= 2 or before.losses >= 3
        if attempt is None:
            self._find("crashes convict the guilty", "counts a crash, and had not started", before.id)
            return
        process = attempt.process
        if not process.is_dead and (worker is None or worker.ended_at is None):
            self._find("crashes convict the guilty", f"counts a crash, and {process} lives", before.id)
        if process.is_dead and attempt.ended_at is not None and process.died_at - attempt.ended_at > SLACK:
            self._find("crashes convict the guilty", "counts a crash after its handler had ended", before.id)
        beside = [
            job_id
            for job_id, starts in self._starts.items()
            for each in starts.values()
            if each is not attempt
            and each.process is process
            and each.started_at < process.died_at - SLACK
            and (each.ended_at is None or each.ended_at > process.died_at)
            and each.stopped_at is None
        ]
        if process.is_dead and beside and not is_suspect:
            self._find(
                "crashes convict the guilty", f"counts a crash, with {len(beside)} beside it", before.id
            )

    def _failed(self, attempt: Attempt | None, job: Any) -> None:
        now = self._world.loop.now
        if '"bad"' in job.args:
            if attempt is not None:
                self._find("the undecodable do not start", "has started", job.id)
            return
        is_apart = attempt is not None and attempt.process.worker is not attempt.process
        if attempt is not None and is_apart and job.error.type == "Timeout":
            attempt.stopped_at = now  # its worker may have slept while it spoke in its own process
        if attempt is None:
            self._find("counts have a reason", "failed without a start", job.id)
        elif self._was_stopped(attempt) and (attempt.ending != "retry" or is_apart):
            timeout = (job.timeout_us or 0) / 1_000_000
            if not timeout or now - attempt.started_at < timeout * 0.99:
                self._find("counts have a reason", f"timed out, timeout {timeout} s", job.id)
        elif attempt.ending not in RAISES:
            self._find("counts have a reason", f"failed, witnessed: {attempt.ending or 'nothing'}", job.id)
        elif job.error.message != words(self._world.workload.numbers[job.id], job.fence):
            self._find("an ending is its own attempt's", f"complains of {job.error.message!r}", job.id)
        raised = sum(
            each.ending in RAISES or self._was_stopped(each) for each in self._starts[job.id].values()
        )
        if job.failures > raised:
            self._find("counts are bounded", f"{job.failures} failures, {raised} witnessed", job.id)

    def _ended_unstarted(self, job: Any) -> None:
        reason = str(job.reason)
        if reason == "expired":
            if job.expires_at is None or job.expires_at > self._world.store_now():
                self._find("expiry", "expired before its time", job.id)
            if self._starts[job.id]:
                self._find("expiry", "expired although it had started", job.id)
        elif job.id not in self._cancels:
            self._find("counts have a reason", f"was cancelled ({reason}) and nobody asked", job.id)

    def _ended_for_good(self, job: Any) -> None:
        new, reason = self._wanted[job.id], str(job.reason)
        self.counts[str(job.state)] += 1
        if job.wake_at is not None or job.finished_at is None or job.keep_until is None:
            self._find("who has ended rests", "has an alarm, or no end, or no retention", job.id)
        elif self._not_before is not None and job.finished_at < self._not_before:
            self._find(
                "moments are their statement's", f"ended at {job.finished_at}, not yet asked then", job.id
            )
        if job.failures > new.policy.tries or job.losses > new.policy.loss_limit:
            self._find("counts are bounded", f"{job.failures} failures, {job.losses} losses", job.id)
        if reason == "tries_exhausted" and job.failures != new.policy.tries:
            self._find("every try is given", f"{job.failures} of {new.policy.tries} tries", job.id)
        if reason == "lost_limit" and job.losses != new.policy.loss_limit:
            self._find("every try is given", f"{job.losses} of {new.policy.loss_limit} losses", job.id)
        for follow in new.then:
            is_there = follow.id in self._rows
            if is_there is not (str(job.state) == "succeeded") and not (is_there and job.generation > 1):
                self._find("follow-ups follow success", f"{job.state}, follow-up there or not", job.id)

    def _worker_moved(self, process: Process, before: Any, worker: Any) -> None:
        if before is None:
            self._process_of[worker.id] = process
            self._tell(process, worker.id, "registers as a worker")
            return
        if before.ended_at is not None and worker.ended_at != before.ended_at:
            self._find("a worker ends once", "ended again, or lives again", worker.id)
        if before.ended_at is not None or worker.ended_at is None:
            return
        self._ended[worker.id] = self._world.loop.now
        owner = self._process_of[worker.id]
        self._tell(process, worker.id, f"ends as worker of {owner} ({worker.reason})")
        if str(worker.reason) == "stopped" and process is owner:
            for row in self._rows.values():
                if row.worker_id == worker.id and self._calm_since(
                    owner, self._claimed_at[row.id, row.fence] - SLACK
                ):
                    self._find("who leaves owns nothing", f"is left behind by {owner}", row.id)
        if str(worker.reason) in CLEAN:
            return
        if str(worker.reason).startswith(OF_THE_DEAD):
            if not owner.is_dead:
                self._find("a worker ends once", f"is said to be dead ({worker.reason}) and lives", worker.id)
            return
        now, lease = self._world.loop.now, self._world.settings.lease
        self.counts["declared lost"] += 1
        if self._calm_since(owner, now - 2 * lease):
            self._find(
                "the healthy are not lost", f"{process} declares {owner} lost, which was calm", worker.id
            )
        for start, end in self._stalls:
            if end - start < 0.6 * lease or not end <= now < end + 0.9 * lease:
                continue
            was_over = worker.lease_until < self._world.store_now() - timedelta(seconds=now - start)
            if not was_over and not any(start <= moment <= now for moment in self._steps):
                self._find(
                    "the healthy are not lost",
                    f"{process} declares {owner} lost {now - end:.2f} s after a stall of {end - start:.2f} s",
                    worker.id,
                )

    def _calm_since(self, process: Process, moment: float) -> bool:
        worker = process.worker
        if process.is_dead or process.is_held or worker.is_dead or worker.is_held:
            return False
        now = self._world.loop.now
        if any(end > moment and start <= now for start, end in (*self._stalls, *self._locks)):
            return False
        return max(self._trouble.get(process, -1.0), self._trouble.get(worker, -1.0)) < moment

    def _was_stopped(self, attempt: Attempt) -> bool:
        """Whether it was told to stop, or, in a process of its own, killed."""
        process = attempt.process
        is_killed = process.worker is not process and process.is_dead and attempt.ended_at is None
        return attempt.stopped_at is not None or is_killed

    def _runs_on(self, attempt: Attempt) -> bool:
        """Whether a handler runs on, untold to stop, in a process without trouble since its start."""
        return (
            attempt.ended_at is None
            and attempt.stopped_at is None
            and self._calm_since(attempt.process, attempt.started_at - SLACK)
        )

    def _find(self, check: str, sentence: str, subject: UUID | None) -> None:
        if len(self.findings) < 20:
            self.findings.append(Finding(check, sentence, self._world.loop.now, subject))
            self._world.tell("auditor", f"FOUND [{check}] {sentence}", subject)

    def _tell(self, process: Process, subject: UUID, what: str) -> None:
        self._world.tell(process.name, what, subject)
