"""Moves of jobs: which are legal, that the fence rises by one and only at a claim, that nothing comes from nowhere.

Every difference between two sightings of a row is one move, and is judged by a table of its own, not by the
product's. A final state is left only by an operator's revival; an owner stays while a job runs; a verdict
ends one attempt; a claim is the living's, of an unpaused queue, before the expiry; what appears was
wanted, and a follow-up only after its parent's success; what disappears had ended and was allowed to go.
How an attempt ended is judged in `endings`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.simulation.endings import Endings
from tests.simulation.loop import Process
from tests.simulation.seen import COUNTS, FINAL, Seen

if TYPE_CHECKING:
    from tests.simulation.world import World

MOVES = {
    "": ("scheduled", "ready"),
    "scheduled": ("ready", "cancelled"),
    "waiting": ("ready", "cancelled", "waiting"),
    "ready": ("running", "waiting", "cancelled"),
    "running": ("running", "ready", "scheduled", *FINAL),
}


class JobMoves:
    """Judges every change of a job's row."""

    def __init__(self, world: World, seen: Seen, endings: Endings):
        self._world = world
        self._seen = seen
        self._endings = endings

    def moved(self, process: Process, before: Any, job: Any) -> None:
        """A row has changed, or is new."""
        source = "" if before is None else str(before.state)
        target = str(job.state)
        if before is None:
            self._appeared(process, job)
            return
        if self._ended_and_was_claimed(before, job):
            between = replace(
                job,
                state=type(job.state)("ready"),
                fence=before.fence,
                worker_id=None,
                claimed_at=before.claimed_at,
                wake_at=job.expires_at,
            )
            self.moved(process, before, between)
            self.moved(process, between, job)
            return
        if source != target:
            owner = f", {job.reason}" if job.reason else ""
            self._seen.tell(process, job.id, f"{source} -> {target} under fence {job.fence}{owner}")
        if source in FINAL:
            is_wanted = target == "ready" and job.id in self._seen.revivals
            if is_wanted and job.generation == before.generation + 1:
                self._revived(before, job)
            elif (source, before.verdict_id, before.fence) != (target, job.verdict_id, job.fence):
                self._seen.find("one ending", f"was {source} and is {target}", job.id)
            return
        if source != target and target not in MOVES[source]:
            self._seen.find("legal moves", f"went from {source} to {target}", job.id)
        rise = job.fence - before.fence
        if (source, target) == ("ready", "running"):
            self._claimed(process, job, rise)
            self._world.weather.ambushes.claimed(process, job.id, job.fence)
        elif rise:
            self._seen.find("the fence rises at claims", f"{source} -> {target} changed it by {rise}", job.id)
        if source == "running" and target == "running" and job.worker_id != before.worker_id:
            self._seen.find("an owner stays", "changed its owner while running", job.id)
        if (source == "running" and target != "running") or job.verdict_id != before.verdict_id:
            if job.verdict_id is None or job.verdict_id in self._seen.recorded:
                self._seen.find("one verdict per ending", f"{target} by verdict {job.verdict_id}", job.id)
            self._seen.recorded.add(job.verdict_id)
        if source == "running" and target != "running":
            self._endings.left_running(process, before, job)
            self._world.weather.ambushes.over(process)
        elif any(getattr(job, name) != getattr(before, name) for name in COUNTS):
            self._seen.find("only endings count", f"{source} -> {target} changed a count", job.id)
        if target == "cancelled" and source != "running":
            self._endings.ended_unstarted(job)
        if target in FINAL:
            self._endings.ended_for_good(job)

    def _ended_and_was_claimed(self, before: Any, job: Any) -> bool:
        """On one file endings go with the next claim, so a worker may have what it gave back again in one commit."""
        return (
            self._world.ground.engine == "sqlite"
            and (str(before.state), str(job.state)) == ("running", "running")
            and job.fence == before.fence + 1
            and job.worker_id == before.worker_id
            and job.verdict_id != before.verdict_id
        )

    def disappeared(self, row: Any) -> None:
        """A row that was there is gone."""
        self._seen.pruned.add(row.id)
        self._world.tell("store", "is pruned", row.id)
        self._seen.counts["pruned"] += 1
        may_go = row.id in self._seen.forgotten or (
            row.id in self._seen.cancels and str(row.reason) == "deleted"
        )
        if str(row.state) not in FINAL or not may_go:
            self._seen.find("nothing lost", f"has disappeared, was {row.state}", row.id)

    def _appeared(self, process: Process, job: Any) -> None:
        self._seen.tell(process, job.id, f"appears {job.state}")
        new = self._seen.wanted.get(job.id)
        if new is None:
            self._seen.find("nothing from nowhere", "was never asked for", job.id)
        elif (job.task, job.args) != (new.task, new.args) and job.id not in self._seen.pruned:
            self._seen.find("born as asked", f"appears as {job.task} with {job.args}", job.id)
        if job.id in self._seen.parents:
            parent = self._seen.rows.get(self._seen.parents[job.id])
            if parent is None or str(parent.state) != "succeeded":
                self._seen.find("follow-ups follow success", "is there before its parent succeeded", job.id)
        if job.fence or any(getattr(job, name) for name in COUNTS):
            self._seen.find("born new", "appears with a fence or a count", job.id)

    def _revived(self, before: Any, job: Any) -> None:
        self._seen.counts["revived"] += 1
        if job.fence != before.fence or any(getattr(job, name) for name in COUNTS):
            self._seen.find("revived as new", f"runs again under fence {job.fence} with counts", job.id)
        if job.worker_id is not None or job.finished_at is not None:
            self._seen.find("revived as new", "runs again, and has an owner or an end", job.id)

    def _claimed(self, process: Process, job: Any, rise: int) -> None:
        # The claim's own moment counts: its process may stand still between that and the commit.
        now = job.claimed_at
        self._seen.claimed_at[job.id, job.fence] = self._seen.now
        self._seen.tell(process, job.id, f"is claimed under fence {job.fence}")
        if rise != 1:
            self._seen.find("the fence rises at claims", f"rose by {rise}", job.id)
        worker = self._seen.workers.get(job.worker_id)
        if self._world.ground.is_serial and job.queue in self._seen.paused:
            self._seen.find("a pause holds", f"was claimed from {job.queue}, which was paused", job.id)
        if self._world.ground.is_serial and job.worker_id in self._seen.drained:
            self._seen.find("who drains claims nothing", f"was claimed by {process}, which drains", job.id)
        ended = self._seen.ended.get(job.worker_id)
        was_over = ended is not None and (self._seen.began is None or ended < self._seen.began)
        if worker is None or was_over or worker.lease_until < now:
            self._seen.find("only the living claim", f"was claimed by {worker and worker.reason}", job.id)
        # The claim's own now is what counts: its commit may travel past the expiry.
        if job.expires_at is not None and job.claimed_at is not None and job.expires_at <= job.claimed_at:
            self._seen.find("the expired do not start", "was claimed after its expiry", job.id)
