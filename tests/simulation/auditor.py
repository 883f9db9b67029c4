"""The auditor: a mind of its own that knows what was promised and believes only what it has seen.

It shares no code with the rules or the state table of the product. It sees three things: the rows of the
store after each write, what handlers did (witnessed inside them), and the answers that processes got to
their endings. From these it keeps its own model (`seen`) and checks every step against it: which moves are
legal (`job_moves`), that an ending on a row is the ending of the attempt that owned it (`endings`), that nobody
healthy is declared lost (`worker_moves`), robbed or refused, that nothing is lost and, when the storm is over, that
everything ends. What the weather has done to a process (`troubles`) may excuse what goes wrong for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.simulation.endings import Endings
from tests.simulation.insiders import effects
from tests.simulation.job_moves import JobMoves
from tests.simulation.loop import Process
from tests.simulation.seen import COUNTS, FINAL, SLACK, Attempt, Finding, Seen
from tests.simulation.troubles import Troubles
from tests.simulation.worker_moves import WorkerMoves

if TYPE_CHECKING:
    from tests.simulation.world import World


THREAD_SLACK = 0.01


class Auditor:
    """Keeps its own model of the world and writes down what contradicts it."""

    def __init__(self, world: World):
        self._world = world
        seen = self.seen = Seen(world)
        troubles = self.troubles = Troubles(world.loop)
        self._jobs = JobMoves(world, seen, Endings(world, seen, troubles))
        self._workers = WorkerMoves(world, seen, troubles)
        self._shown: list[Any] = []
        self._crew: list[Any] = []
        self._resumed_at: dict[str, float] = {}

    @property
    def findings(self) -> list[Finding]:
        """What contradicts the promises so far."""
        return self.seen.findings

    @property
    def counts(self) -> defaultdict[str, int]:
        """How often what happened."""
        return self.seen.counts

    # What clients say

    def wanted(self, new: Any) -> None:
        """A client is about to insert this job."""
        self.seen.wanted[new.id] = new
        for follow in new.then:
            self.seen.wanted[follow.id] = follow
            self.seen.parents[follow.id] = new.id

    def acknowledged(self, new: Any, *, is_new: bool) -> None:
        """The store has said that the job is there, and whether it came with this very answer."""
        if is_new and new.id in self.seen.created and new.id not in self.seen.pruned:
            self.seen.find("created once", "is said to be new for the second time", new.id)
        if is_new:
            self.seen.created.add(new.id)
        self.seen.acknowledged[new.id] = None
        if new.id not in self.seen.rows and new.id not in self.seen.pruned:
            self.seen.find("nothing lost", "was acknowledged but is not there", new.id)

    def mistaken(self, new: Any, sentence: str) -> None:
        """The store has taken this job for another one, or another one for this."""
        if new.id not in self.seen.pruned:
            self.seen.find("an id means one job", sentence, new.id)

    def cancel_wanted(self, job_id: UUID) -> None:
        """A client is about to cancel this job."""
        self.seen.cancels.add(job_id)

    # What the operator says

    def acknowledged_jobs(self) -> list[UUID]:
        """The jobs that clients were told of, in that order."""
        return list(self.seen.acknowledged)

    def living_workers(self) -> list[UUID]:
        """Workers that have not ended, in the order of their registration."""
        return [worker.id for worker in self.seen.workers.values() if worker.ended_at is None]

    def paused(self, queue: str) -> None:
        """The store has said that the queue is paused, and no older word to resume it is under way."""
        if self.seen.now - self._resumed_at.get(queue, -100.0) > 12.0:
            self.seen.paused.add(queue)

    def resuming(self, queue: str) -> None:
        """The queue is about to be resumed."""
        self._resumed_at[queue] = self.seen.now
        self.seen.paused.discard(queue)

    def drained(self, worker_id: UUID) -> None:
        """The store has said that the worker drains."""
        self.seen.drained.add(worker_id)

    def revival_wanted(self, ids: list[UUID]) -> None:
        """These jobs are to run again where they have ended."""
        self.seen.revivals.update(ids)

    def forgetting(self, ids: list[UUID]) -> None:
        """These jobs may go where they have ended."""
        self.seen.forgotten.update(ids)

    # What handlers witness

    def started(self, job_id: UUID, fence: int, process: Process) -> int:
        """A handler begins; answers the how-manieth start of the job it is."""
        seen = self.seen
        now, earlier = seen.now, seen.starts[job_id]
        row = seen.rows.get(job_id)
        claimed_at = seen.claimed_at.get((job_id, fence))
        seen.tell(process, job_id, f"starts under fence {fence}")
        seen.counts["starts"] += 1
        if claimed_at is None or row is None:
            seen.find("claimed before started", f"started under fence {fence}, never claimed so", job_id)
            claimed_at = now
        was_calm = self.troubles.calm_since(process, claimed_at)
        # A thread begins a little after it was sent on its way.
        slack = 0.0 if row is None or row.task != "plain" else THREAD_SLACK
        if was_calm and self.troubles.is_leaving(process, slack):
            seen.find("who leaves starts nothing", f"starts at {process}, which was asked to leave", job_id)
        if fence in earlier and job_id not in seen.pruned:
            seen.find("one start per claim", f"started twice under fence {fence}", job_id)
        if was_calm and earlier and max(earlier) > fence and job_id not in seen.pruned:
            seen.find("the fence rises", f"started under {fence} after {max(earlier)}", job_id)
        if was_calm and row is not None and (row.fence, str(row.state)) != (fence, "running"):
            seen.find(
                "only the owner starts",
                f"{process} starts it under fence {fence}, the row is {row.state} under {row.fence}",
                job_id,
            )
        for other in earlier.values():
            if self.troubles.runs_on(other) and other.fence < fence:
                seen.find(
                    "no two at once",
                    f"starts at {process} under {fence} while it runs at healthy {other.process}"
                    f" under {other.fence}",
                    job_id,
                )
        earlier[fence] = Attempt(process, fence, now)
        return len(earlier)

    def stopped(self, job_id: UUID, fence: int) -> None:
        """The handler was told to stop."""
        attempt = self.seen.starts[job_id][fence]
        attempt.stopped_at = self.seen.now
        self.seen.tell(attempt.process, job_id, f"is told to stop under fence {fence}")

    def settling(self, job_id: UUID, fence: int) -> None:
        """The handler is about to end itself, inside a transaction of its own."""
        attempt = self.seen.starts[job_id][fence]
        attempt.settling_at = self.seen.now
        self.seen.counts["settled inside"] += 1
        self.seen.tell(attempt.process, job_id, f"settles itself under fence {fence}")

    def ended(self, job_id: UUID, fence: int, ending: str) -> None:
        """The handler has ended."""
        attempt = self.seen.starts[job_id][fence]
        attempt.ended_at, attempt.ending = self.seen.now, ending
        self.seen.tell(attempt.process, job_id, f"ends under fence {fence}: {ending}")

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
        seen = self.seen
        seen.began, seen.not_before = began, not_before
        rows, shown = seen.rows, list(jobs.values())
        crew, known = list(workers.values()), self._crew
        # Rows stand in the order in which they came, and one that has not changed is the same object.
        if crew != known:
            self._crew = crew
            changed = [row for row, before in zip(crew, known, strict=False) if row is not before]
            for worker in [*changed, *crew[len(known) :]]:
                before = seen.workers.get(worker.id)
                if before is not worker:
                    self._workers.moved(process, before, worker)
                    seen.workers[worker.id] = worker
        if shown == self._shown:  # the same objects: no row has changed, and comparing them costs nothing
            return
        others = [row for row, before in zip(shown, self._shown, strict=False) if row is not before]
        others += shown[len(self._shown) :]
        self._shown = shown
        if len(jobs) < len(rows):
            for gone in [job_id for job_id in rows if job_id not in jobs]:
                self._jobs.disappeared(rows.pop(gone))
        moved = [(before, job) for job in others if (before := rows.get(job.id)) is not job]
        for _, job in moved:
            rows[job.id] = job
            (seen.unfinished.discard if str(job.state) in FINAL else seen.unfinished.add)(job.id)
        for before, job in moved:
            if before != job:
                self._jobs.moved(process, before, job)

    def answered(self, process: Process, settled: Any) -> None:
        """A process hears what became of the endings it sent."""
        seen = self.seen
        for each in settled:
            verdict, answer = each.verdict, str(each.answer)
            seen.counts[answer] += 1
            row = seen.rows.get(verdict.job_id)
            if answer != "refused" and verdict.id not in seen.recorded:
                seen.find("honest answers", f"was answered {answer}, was never recorded", verdict.job_id)
            if answer == "refused" and row is not None and row.verdict_id == verdict.id:
                seen.find("honest answers", "was answered refused, stands on the row", verdict.job_id)
            worker = seen.workers.get(verdict.worker_id)
            is_own = worker is not None and worker.ended_at is None
            # A repeated ending is refused once the job has been claimed anew: the row carries another by then.
            was_recorded = verdict.id in seen.recorded
            if answer == "refused" and str(verdict.source) == "running" and is_own and not was_recorded:
                key = (verdict.job_id, verdict.fence)
                owner = seen.process_of.get(verdict.worker_id)
                # What never started may be handed back twice, by its worker and by the supervisor who withdrew it.
                has_started = key[1] in seen.starts[key[0]]
                is_calm = self.troubles.calm_since(process, seen.claimed_at.get(key, 0.0))
                if owner is process and has_started and is_calm:
                    seen.find("a healthy owner is not refused", f"{process} under {key[1]}", key[0])

    # What a supervisor does

    def watched(self, process: Process, age: float) -> None:
        """A supervisor that runs has last looked at its children so long ago, whatever its store does."""
        settings, resumed = self._world.settings, self.seen.now - process.resumed_at
        if age > settings.lease and resumed > SLACK + settings.poll:
            self.seen.find("a supervisor watches", f"{process} has not looked for {age:.1f} s", None)

    # When the storm is over

    def nobody_held_by_the_dead(self) -> None:
        """R has passed since the storm: what dead processes owned must have been taken from them.

        A handler may take its process along later than that; then R counts from there.
        """
        bound = self._world.bound
        for row in self.seen.rows.values():
            if str(row.state) == "running":
                owner = self.seen.process_of.get(row.worker_id)
                left = 0.0 if owner is None else owner.died_at + bound - self.seen.now
                if owner is not None and owner.is_dead and left > 0.0:
                    self._world.loop.after(left + SLACK, self.nobody_held_by_the_dead)
                elif owner is None or owner.is_dead:
                    self.seen.find("recovered by R", f"is still held by {owner}, which is dead", row.id)

    def unfinished(self) -> list[Any]:
        """Jobs that have not ended."""
        return [row for row in self.seen.rows.values() if str(row.state) not in FINAL]

    def requests(self) -> list[tuple[Any, bool]]:
        """Every job that a client asked for, and whether it was told that it is there."""
        asked = [new for new in self.seen.wanted.values() if new.id not in self.seen.parents]
        return [(new, new.id in self.seen.acknowledged) for new in asked]

    def attempts(self) -> list[tuple[UUID, Attempt]]:
        """Every start of a handler, job by job."""
        return [(job_id, each) for job_id, starts in self.seen.starts.items() for each in starts.values()]

    def is_all_done(self) -> bool:
        """Whether every wanted job is there and has ended."""
        seen = self.seen
        return not seen.unfinished and len(seen.acknowledged) == self._world.workload.size

    def close(self) -> None:
        """The world is over."""
        for row in self.unfinished():
            self.seen.find("everything ends", f"has not ended: {self.explain(row)}", row.id)
        for new, is_acknowledged in self.requests():
            if not is_acknowledged:
                self.seen.find("everything ends", "was asked for, and its client was never answered", new.id)
        for job_id in self.seen.acknowledged:
            if job_id not in self.seen.rows and job_id not in self.seen.pruned:
                self.seen.find("nothing lost", "was acknowledged and is gone", job_id)
        self._close_effects()
        for error in self._world.loop.errors:
            self.seen.find("no callback fails", error, None)

    def _close_effects(self) -> None:
        """Who ended inside a transaction of its own has had its effect, and nobody else has."""
        for job_id, starts in self.seen.starts.items():
            tried = [fence for fence, each in starts.items() if each.settling_at is not None]
            if tried and job_id not in self.seen.pruned:
                due = [fence for fence in tried if (job_id, fence) in self.seen.succeeded]
                there = sorted(effects(self._world, job_id))
                if there != sorted(due):
                    sentence = f"has had its effect under {there}, has succeeded under {due}"
                    self.seen.find("effects and ending together", sentence, job_id)

    def explain(self, row: Any) -> str:
        """Where an unfinished row stands, in plain words."""
        owner = self.seen.process_of.get(row.worker_id)
        worker = self.seen.workers.get(row.worker_id)
        ended = "" if worker is None else f", worker ended {worker.ended_at} ({worker.reason})"
        return (
            f"{row.state} ({row.reason}) under fence {row.fence}, wakes {row.wake_at}, owner {owner}{ended},"
            f" counts {[getattr(row, name) for name in COUNTS]}; {self._world.explain(row.id)}"
        )
