"""After a child's death: its row ends first, its jobs are settled second, by what its page shows.

Only what was *running* in the dead process can have killed it, or what had been given up there without coming back;
and only if it was alone is the crash certainly its own; several are counted a loss each. What had not started, what had ended without
its ending being recorded, what ran in a process of its own, and everything in a child that we killed for
other reasons than its own stall, goes back to its place in line uncounted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from unstuck.engine.children import Child
from unstuck.engine.env import Env
from unstuck.engine.page import Page, Phase, Started
from unstuck.engine.shift import Key
from unstuck.engine.worker import Left
from unstuck.model.job import ClaimedJob
from unstuck.model.states import Reason
from unstuck.model.verdict import Verdict
from unstuck.rules import judging, rescuing
from unstuck.storage.plan import Lane
from unstuck.storage.protocol import Store

STALLED = "stalled"


def end_reason(child: Child, detail: dict[str, Any]) -> str:
    """The reason that the child's row gets. An exit code alone proves nothing: a handler may exit too."""
    if child.killed_for is not None:
        return child.killed_for
    if child.page.has_left:
        return "stopped" if detail.get("exit_code") == Left.CLEAN.value else "withdrawn"
    return "died: " + ", ".join(
        f"{name} {value}" for name, value in detail.items() if name != "peak_memory_kib"
    )


async def bury(
    child: Child, detail: dict[str, Any], reason: str, store: Store, lane: Lane, env: Env, deadline: float
) -> int:
    """End the row and settle what the child owned; answers how many attempts. May be repeated: each verdict
    keeps its id, so that one whose answer was lost is known when it comes again, and is no late ending."""
    await lane.run(store.end_worker(child.worker_id, reason), deadline)
    owned = await lane.run(store.owned(child.worker_id), deadline)
    is_own_death = reason.startswith("died") or reason == STALLED
    verdicts = judge_owned(
        owned,
        list(child.page.started()),
        child.worker_id,
        reason,
        detail,
        is_own_death,
        env,
        child.verdict_ids,
    )
    if verdicts:
        await lane.run(store.settle(verdicts), deadline)
    return len(verdicts)


def judge_owned(
    owned: Sequence[ClaimedJob],
    started: Sequence[Started],
    worker_id: UUID,
    reason: str,
    detail: dict[str, Any],
    is_own_death: bool,
    env: Env,
    ids: dict[Key, UUID] | None = None,
) -> list[Verdict]:
    """One verdict for everything that the dead worker still owned; `ids` remembers those that were drawn."""
    ids = {} if ids is None else ids
    phases = {(slot.job_id, slot.fence): slot.phase for slot in started}
    running = sum(phases.get((job.id, job.fence)) is Phase.RUNNING for job in owned)
    abandoned = sum(slot.phase is Phase.ABANDONED for slot in started)
    verdicts: list[Verdict] = []
    for job in owned:
        phase = phases.get((job.id, job.fence), Phase.EMPTY)
        verdict_id = ids.setdefault((job.id, job.fence), env.new_id())
        if phase is not Phase.RUNNING or not is_own_death:
            has_started = phase is not Phase.EMPTY
            verdicts.append(judging.handed_back(job, verdict_id, worker_id, started=has_started, why=reason))
        elif running + abandoned == 1:
            crash = Reason.STALLED if reason == STALLED else Reason.CRASHED
            verdicts.append(rescuing.crashed(job, verdict_id, worker_id, detail, reason=crash))
        else:
            given_up = f" and {abandoned} given up" if abandoned else ""
            why = f"{reason}, with {running} attempts running{given_up} in it"
            verdicts.append(rescuing.lost(job, verdict_id, worker_id, why))
    return verdicts


async def take_unstarted(
    worker_id: UUID, page: Page, store: Store, lane: Lane, env: Env, deadline: float
) -> int:
    """Hand back what a child that does not tick owns and has not started; answers how many.

    It may wake up at any moment. What it owned when we read was claimed under an older number than the one
    that we write after it; so it either shows in a slot when we look, or its start will be refused.
    """
    owned = await lane.run(store.owned(worker_id), deadline)
    page.withdraw()
    known = {(slot.job_id, slot.fence) for slot in page.started()}
    verdicts = [
        judging.handed_back(job, env.new_id(), worker_id, started=False, why="its worker does not tick")
        for job in owned
        if (job.id, job.fence) not in known
    ]
    if verdicts:
        await lane.run(store.settle(verdicts), deadline)
    return len(verdicts)
