"""A dead child: its row ends first, its jobs are settled second, and only the guilty are convicted."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from tests.unit.making import WORKER_ID, claimed
from unstuck.engine.burying import STALLED, bury, judge_owned
from unstuck.engine.env import Env
from unstuck.engine.page import Phase, Started
from unstuck.model.errors import OutcomeUnknown
from unstuck.model.states import State
from unstuck.model.verdict import Counts
from unstuck.storage.plan import Plan

CRASH, LOSS, NOTHING = Counts(crashes=1, snoozes=None), Counts(losses=1, snoozes=None), Counts(handbacks=1)
DIED = "died: signal SIGKILL"


@pytest.mark.parametrize(
    ("phases", "reason", "counts"),
    [
        ([Phase.RUNNING], DIED, [CRASH]),
        ([Phase.RUNNING], STALLED, [CRASH]),
        ([Phase.RUNNING, Phase.RUNNING], DIED, [LOSS, LOSS]),
        ([Phase.RUNNING, Phase.RUNNING], STALLED, [LOSS, LOSS]),
        ([Phase.RUNNING, Phase.EMPTY], DIED, [CRASH, NOTHING]),
        ([Phase.RUNNING, Phase.ENDED], DIED, [CRASH, NOTHING]),
        ([Phase.RUNNING, Phase.ISOLATED], DIED, [CRASH, NOTHING]),
        ([Phase.EMPTY], DIED, [NOTHING]),
        ([Phase.RUNNING, Phase.ABANDONED], DIED, [LOSS]),
        ([Phase.RUNNING, Phase.ABANDONED], STALLED, [LOSS]),
        ([Phase.RUNNING, Phase.ABANDONED], "withdrawn", [NOTHING]),
        ([Phase.ABANDONED], DIED, []),
        ([Phase.RUNNING], "withdrawn", [NOTHING]),
        ([Phase.RUNNING, Phase.RUNNING], "stopped", [NOTHING, NOTHING]),
    ],
)
def test_a_crash_is_counted_for_what_ran_alone_and_nothing_for_what_did_not_run(
    phases: list[Phase], reason: str, counts: list[Counts]
) -> None:
    owned = [claimed(id=UUID(int=100 + number)) for number in range(len(phases))]
    slots = [
        Started(job.id, job.fence, phase, 0.0) for job, phase in zip(owned, phases, strict=True) if phase
    ]
    died = reason in (DIED, STALLED)
    # What was given up has its ending: it is on the page, and not owned any more.
    owned = [job for job, phase in zip(owned, phases, strict=True) if phase is not Phase.ABANDONED]
    verdicts = judge_owned(owned, slots, WORKER_ID, reason, {"signal": "SIGKILL"}, died, Env())
    assert [verdict.counts for verdict in verdicts] == counts
    settled = [phase for phase in phases if phase is not Phase.ABANDONED]
    assert [verdict.started for verdict in verdicts] == [phase is not Phase.EMPTY for phase in settled]


@pytest.mark.parametrize(("reason", "crashes"), [(DIED, 1), (STALLED, 1), ("withdrawn", 0), ("stopped", 0)])
def test_a_claim_that_its_child_did_not_live_to_see_leaves_nothing_running(reason: str, crashes: int) -> None:
    """The statement lands while the burial reads what there is to settle, or it is refused for ever."""

    async def story() -> None:
        bench = Bench(Task(lambda: asyncio.Event().wait()))
        started, late = bench.add(), bench.add(task="other")
        store, child_id = bench.store, bench.shift.id
        (job,) = bench.do(store.claim(child_id, "default", ["t"], 1))
        assert bench.page.write_slot(job.id, job.fence, Phase.RUNNING, 0.0) is not None
        bench.meanwhile["owned"] = lambda: bench.do(store.claim(child_id, "default", ["other"], 1))
        child = cast(Any, SimpleNamespace(worker_id=child_id, page=bench.page, verdict_ids={}))
        detail = {"signal": "SIGKILL"}
        await bury(child, detail, reason, store, bench.shift.settle_lane, bench.shift.env, 1.0)
        assert bench.job(late[0]).state is State.READY
        row = bench.job(started[0])
        assert (row.crashes, row.handbacks) == (crashes, 1 - crashes)
        (worker,) = bench.do(store.workers(include_ended=True))
        assert worker.ended_at is not None and worker.reason == reason

    asyncio.run(story())


def test_a_burial_that_is_repeated_while_its_first_words_are_still_under_way_stamps_nothing_as_late() -> None:
    """Its settle lay in a stalled store, was given up, and is applied just before the one that repeats it."""

    async def story() -> None:
        bench = Bench(Task(lambda: asyncio.Event().wait()))
        (job_id,) = bench.add()
        store, child_id = bench.store, bench.shift.id
        (job,) = bench.do(store.claim(child_id, "default", ["t"], 1))
        assert bench.page.write_slot(job.id, job.fence, Phase.ENDED, 0.0) is not None
        child = cast(Any, SimpleNamespace(worker_id=child_id, page=bench.page, verdict_ids={}))
        stalled: list[Plan[Any]] = []

        class Lane:
            async def run(self, plan: Plan[Any], deadline: float | None = None) -> Any:
                if plan.name == "settle":
                    stalled.append(plan)
                    if len(stalled) == 1:
                        raise OutcomeUnknown("no answer")
                    bench.do(stalled[0])
                return bench.do(plan)

        lane = cast(Any, Lane())
        with pytest.raises(OutcomeUnknown):
            await bury(child, {}, DIED, store, lane, bench.shift.env, 1.0)
        assert await bury(child, {}, DIED, store, lane, bench.shift.env, 1.0) == 1
        assert (bench.job(job_id).state, bench.job(job_id).handbacks) == (State.READY, 1)
        (worker,) = bench.do(store.workers(include_ended=True))
        assert worker.late_endings == 0

    asyncio.run(story())
