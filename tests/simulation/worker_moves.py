"""Moves of workers: a row ends once, whoever leaves owns nothing, and the healthy are not declared lost.

A worker whose row ended because its process died must be dead; one declared lost must have been in trouble
within the last two leases. After a stall of the store everybody seems lost at once, so whoever is declared lost
then must have been over before it began.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.simulation.loop import Process
from tests.simulation.seen import SLACK, Seen
from tests.simulation.troubles import Troubles

if TYPE_CHECKING:
    from tests.simulation.world import World

CLEAN = ("stopped", "withdrawn")
OF_THE_DEAD = ("died", "stalled", "did not start")


class WorkerMoves:
    """Judges every change of a worker's row."""

    def __init__(self, world: World, seen: Seen, troubles: Troubles):
        self._world = world
        self._seen = seen
        self._troubles = troubles

    def moved(self, process: Process, before: Any, worker: Any) -> None:
        """A row has changed, or is new."""
        if before is None:
            self._seen.process_of[worker.id] = process
            self._seen.tell(process, worker.id, "registers as a worker")
            return
        if before.ended_at is not None and worker.ended_at != before.ended_at:
            self._seen.find("a worker ends once", "ended again, or lives again", worker.id)
        if before.ended_at is not None or worker.ended_at is None:
            return
        self._seen.ended[worker.id] = self._seen.now
        owner = self._seen.process_of[worker.id]
        self._seen.tell(process, worker.id, f"ends as worker of {owner} ({worker.reason})")
        if str(worker.reason) == "stopped" and process is owner:
            for row in self._seen.rows.values():
                if row.worker_id == worker.id and self._troubles.calm_since(
                    owner, self._seen.claimed_at[row.id, row.fence] - SLACK
                ):
                    self._seen.find("who leaves owns nothing", f"is left behind by {owner}", row.id)
        if str(worker.reason) in CLEAN:
            return
        if str(worker.reason).startswith(OF_THE_DEAD):
            if not owner.is_dead:
                self._seen.find(
                    "a worker ends once", f"is said to be dead ({worker.reason}) and lives", worker.id
                )
            return
        now, lease = self._seen.now, self._world.settings.lease
        self._seen.counts["declared lost"] += 1
        if self._troubles.calm_since(owner, now - 2 * lease):
            self._seen.find(
                "the healthy are not lost", f"{process} declares {owner} lost, which was calm", worker.id
            )
        for start, end in self._troubles.stalls:
            if end - start < 0.6 * lease or not end <= now < end + 0.9 * lease:
                continue
            was_over = worker.lease_until < self._world.store_now() - timedelta(seconds=now - start)
            if not was_over and not any(start <= moment <= now for moment in self._troubles.steps):
                self._seen.find(
                    "the healthy are not lost",
                    f"{process} declares {owner} lost {now - end:.2f} s after a stall of {end - start:.2f} s",
                    worker.id,
                )
