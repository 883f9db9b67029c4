"""explain: every reason of the closed list, each from the situation that it is true of, and what would release it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.unit.making import NOW, WORKER_ID, job, worker
from unstuck.app.explaining import MEANING, Explanation, Why, explain, not_found
from unstuck.model.job import PRIORITY_STEP_US, ErrorInfo, Policy
from unstuck.model.moments import micros
from unstuck.model.notice import Kind, Notice
from unstuck.model.states import Reason, State
from unstuck.model.worker import LAPSED, Worker
from unstuck.storage.protocol import AHEAD_MAX, QueueInfo, Situation

BOSS_ID = UUID(int=9)
LEASE_US = 30_000_000


def ago(seconds: float) -> Any:
    return NOW - timedelta(seconds=seconds)


def alive(**columns: Any) -> Worker:
    plain: dict[str, Any] = {
        "lease_left_us": LEASE_US,
        "lease_until": ago(-30),
        "started_at": ago(3600),
        "report": {"free": 3},
    }
    return worker(**plain | columns)


BOSS = alive(id=BOSS_ID, kind="supervisor", queues=())
CHILD = alive()
BUSY = alive(report={"free": 0})
GONE = worker(ended_at=ago(5), lease_until=ago(5), lease_left_us=None, reason=LAPSED)


@dataclass(frozen=True)
class Case:
    """A situation; `says` are pieces that its sentence must hold, `releases` those of what would release it."""

    job: dict[str, Any]
    workers: tuple[Worker, ...] = (BOSS, CHILD)
    owner: Worker | None = None
    knows: bool = True
    ahead: int = 0
    paused: bool = False
    notices: tuple[Notice, ...] = ()
    says: tuple[str, ...] = ()
    releases: str = ""
    whole: dict[str, Any] = field(default_factory=dict[str, Any])

    def situation(self) -> Situation:
        queue = QueueInfo(
            "q", PRIORITY_STEP_US, ago(60) if self.paused else None, {}, "ann@desk" if self.paused else None
        )
        return Situation(
            now_us=micros(NOW),
            job=job(**self.job),
            queue=queue,
            owner=self.owner,
            workers=self.workers,
            knowing=frozenset({WORKER_ID} if self.knows else ()),
            ahead=self.ahead,
            notices=self.notices,
        )


def running(**columns: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"state": State.RUNNING, "worker_id": WORKER_ID, "claimed_at": ago(12)}
    return plain | columns


def scheduled(**columns: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"state": State.SCHEDULED, "wake_at": ago(-90)}
    return plain | columns


UNATTENDED = Notice(Kind.UNATTENDED, "q", "queue q has a job ready", ago(60), NOW)

CASES: dict[Why, Case] = {
    Why.SUCCEEDED: Case(
        {"state": State.SUCCEEDED, "finished_at": ago(60)}, says=("It succeeded 1m ago, at attempt 1",)
    ),
    Why.FAILED: Case(
        {
            "state": State.FAILED,
            "finished_at": ago(60),
            "failures": 5,
            "reason": Reason.TRIES_EXHAUSTED,
            "error": ErrorInfo("ValueError", "no stock\nmore"),
        },
        says=("failed for good 1m ago (tries exhausted) at attempt 5: ValueError: no stock.",),
    ),
    Why.CANCELLED: Case(
        {"state": State.CANCELLED, "finished_at": ago(60), "reason": Reason.EXPIRED},
        says=("cancelled 1m ago (expired)",),
    ),
    Why.RUNNING: Case(
        running(),
        owner=CHILD,
        says=("Attempt 1 was claimed 12s ago", "host, process 7", "lease holds until 00:00:30Z"),
    ),
    Why.CANCEL_ASKED: Case(
        running(cancel_asked_at=ago(3)),
        owner=CHILD,
        says=("asked to cancel 3s ago",),
        releases="ends as cancelled",
    ),
    Why.UNSETTLED: Case(
        running(),
        owner=alive(report={"unsettled": 300.0}),
        says=("store an ending for 300 s",),
        releases="doctor",
    ),
    Why.STALLED_CHILD: Case(
        running(),
        owner=alive(stalled_at=ago(40)),
        says=("has not ticked since 40s ago",),
        releases="stall limit",
    ),
    Why.OWNER_SILENT: Case(
        running(),
        owner=alive(lease_left_us=-2_000_000, lease_until=ago(2)),
        says=("lease is over for 2s",),
        releases="by 00:00:39Z (in 39s)",
    ),
    Why.OWNER_ENDED: Case(
        running(), owner=GONE, says=("a worker that is gone", "(lapsed)"), releases="by 00:00:36Z (in 36s)"
    ),
    Why.OWNER_MISSING: Case(
        running(), owner=None, says=("a worker that has no row",), releases="a sweep gives it to another"
    ),
    Why.SCHEDULED_FOR: Case(scheduled(), says=("due in 1m 30s",), releases="makes it ready then"),
    Why.BACKING_OFF: Case(
        scheduled(reason=Reason.RETRYING, failures=2, policy=Policy(tries=7)),
        says=("Attempt 2 did not succeed (retrying, failure 2 of 7)", "due in 1m 30s"),
    ),
    Why.AFTER_CRASH: Case(
        scheduled(reason=Reason.CRASHED, crashes=2), says=("crash 2 of 3", "in 1m 30s, alone")
    ),
    Why.AFTER_LOSS: Case(scheduled(reason=Reason.LOST, losses=1), says=("loss 1 of 10",)),
    Why.SNOOZED: Case(scheduled(reason=Reason.SNOOZED), says=("snoozed it; it is due in 1m 30s",)),
    Why.SUSPECT_WAITS: Case(
        scheduled(reason=Reason.SUSPECT, crashes=2),
        says=("runs alone",),
        releases="isolated place must become free",
    ),
    Why.DUE_AND_NOBODY: Case(
        scheduled(wake_at=ago(60)), workers=(), says=("due for 1m",), releases="unstuck worker -q q"
    ),
    Why.EXPIRED: Case(
        {"expires_at": ago(1), "wake_at": ago(1)}, says=("expiry passed 1s ago",), releases="within 11s"
    ),
    Why.PARKED_NO_HANDLER: Case(
        {"state": State.WAITING, "reason": Reason.NO_HANDLER, "wake_at": ago(-60)},
        knows=False,
        says=("no live worker knows its task", "in 1m"),
        releases="start a worker that knows the task 't'",
    ),
    Why.PARKED: Case(
        {"state": State.WAITING, "reason": Reason.SUPERSEDED, "wake_at": ago(-60)}, says=("superseded",)
    ),
    Why.QUEUE_PAUSED: Case({}, paused=True, says=("paused by ann@desk since 1m ago", "queues resume q")),
    Why.NO_WORKER: Case({}, workers=(BOSS,), says=("no live worker serves", "unstuck worker -q q")),
    Why.WORKERS_LEAVING: Case({}, workers=(BOSS, alive(draining_at=ago(1))), says=("is quiet or leaving",)),
    Why.NO_HANDLER: Case({}, knows=False, says=("no live worker knows the task 't'",)),
    Why.WORKERS_BUSY: Case(
        {},
        workers=(BOSS, BUSY),
        ahead=1,
        says=("hands full, and 1 other stands before it",),
        releases="free place",
    ),
    Why.BEHIND_OTHERS: Case({}, ahead=AHEAD_MAX, says=("1,000 others or more stand before it",)),
    Why.UNATTENDED: Case({}, notices=(UNATTENDED,), says=("workers are idle",), releases="doctor"),
    Why.A_POLL_AWAY: Case({}, says=("waits its turn", "it is the next")),
}


def test_every_reason_has_a_meaning_and_a_situation() -> None:
    assert set(MEANING) == set(Why)
    assert set(CASES) == set(Why) - {Why.NOT_FOUND}


@pytest.mark.parametrize("why", list(CASES), ids=lambda why: why.value)
def test_a_situation_is_explained_by_its_reason(why: Why) -> None:
    case = CASES[why]
    found = explain(case.situation())
    assert found.why is why, found
    for piece in case.says:
        assert piece in found.sentence, found.sentence
    assert case.releases in found.release, found.release
    assert found.whole.endswith(".")
    assert found.whole.count("..") == 0


def test_no_such_job_is_a_reason_too() -> None:
    found = not_found("7")
    assert found == Explanation(Why.NOT_FOUND, found.sentence)
    assert "never enqueued here, or its retention is over" in found.whole


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("reason", [None, *Reason])
@pytest.mark.parametrize("workers", [(), (BOSS,), (BOSS, CHILD)], ids=["nobody", "boss", "both"])
def test_whatever_stands_in_a_row_is_explained(
    state: State, reason: Reason | None, workers: tuple[Worker, ...]
) -> None:
    """No state and no reason, however they met, leaves a job without a sentence."""
    for owner in (None, GONE, CHILD):
        found = explain(Case({"state": state, "reason": reason}, workers, owner).situation())
        assert found.why in MEANING
        assert found.whole


def test_what_nobody_can_recover_says_so() -> None:
    found = explain(Case(running(), workers=(), owner=GONE).situation())
    assert found.due_by is None
    assert "no worker lives that could recover it" in found.whole


def test_what_is_beyond_the_bound_says_since_when() -> None:
    gone = worker(ended_at=ago(600), lease_until=ago(600), lease_left_us=None, reason=LAPSED)
    found = explain(Case(running(), owner=gone).situation())
    assert found.due_by is not None
    assert "should have given it to another worker by" in found.whole
