"""What the store says this worker runs, compared with what the worker knows.

A claim whose answer was lost leaves attempts that run in the store and nowhere else, under a worker in
perfect health: no lease will ever end them. So every lease, and soon after a claim went wrong, the worker
reads what it owns and gives back what it does not know. The comparison only counts where no claim was in
flight from before the read until after it; else it is done again at the next round.
"""

from __future__ import annotations

from unstuck.engine.shift import Shift
from unstuck.rules import judging


class Reconciling:
    """The reconciling loop of one worker."""

    def __init__(self, shift: Shift):
        self._shift = shift

    async def round(self) -> float:
        """Compare once; answers the time to the next comparison."""
        shift = self._shift
        if shift.claims_in_flight:
            return shift.settings.poll
        claims_before = shift.claims_made
        known = shift.holds()
        plan = shift.store.owned(shift.id)
        owned = await shift.settle_lane.run(plan, shift.settings.deadline)
        if shift.claims_in_flight or shift.claims_made != claims_before:
            return shift.settings.poll
        # What was confirmed while the answer travelled may still be in it, so what was known before counts too.
        known |= shift.holds()
        for job in owned:
            if (job.id, job.fence) not in known:
                shift.deliver(
                    judging.handed_back(
                        job,
                        shift.env.new_id(),
                        shift.id,
                        started=False,
                        why="the answer to its claim was lost",
                    )
                )
        return shift.settings.lease
