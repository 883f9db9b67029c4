"""Each check passes a history in which all is well, and names what was planted in another."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from tests.chaos.accounting import broken, counted
from tests.chaos.history import Call, History, calls_of
from tests.chaos.ledger import Entry
from tests.chaos.recovering import percentile, recoveries
from tests.processes.witness import Word
from unstuck.model.job import DEFAULT_POLICY, Attempt, Job
from unstuck.model.states import Reason, State
from unstuck.model.worker import Worker

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
T = BEGAN.timestamp()
JOB, OTHER, FOLLOWER, ABSENT = (UUID(int=number) for number in (1, 2, 3, 4))
FIRST, SECOND = UUID(int=101), UUID(int=102)
VERDICT = UUID(int=201)


def job_of(job_id: UUID, **said: object) -> Job:
    job = Job(
        id=job_id,
        generation=1,
        queue="default",
        task="work",
        state=State.SUCCEEDED,
        reason=None,
        priority=0,
        line=0,
        wake_at=None,
        expires_at=None,
        created_at=BEGAN,
        claimed_at=BEGAN,
        finished_at=BEGAN,
        keep_until=BEGAN,
        fence=1,
        failures=0,
        crashes=0,
        losses=0,
        handbacks=0,
        snoozes=0,
        worker_id=None,
        verdict_id=VERDICT,
        cancel_asked_at=None,
        timeout_us=None,
        args="{}",
        result='"value"',
        error=None,
        codec=1,
        policy=DEFAULT_POLICY,
        then=(),
        labels={},
        progress=None,
        has_effects=False,
    )
    return replace(job, **said)  # type: ignore[arg-type]


def worker_of(worker_id: UUID, pid: int, ended: bool) -> Worker:
    return Worker(
        id=worker_id,
        kind="child",
        supervisor_id=None,
        host="here",
        pid=pid,
        lease_us=5_000_000,
        lease_until=None,
        lease_left_us=None,
        started_at=BEGAN,
        ended_at=BEGAN if ended else None,
        reason="lapsed" if ended else None,
        draining_at=None,
        leaving_at=None,
        stalled_at=None,
        queues=(),
        version="",
    )


def word(what: str, at: float, fence: int, worker: UUID, pid: int, job: UUID = JOB, how: str = "") -> Word:
    return Word(what, at, job, fence, 1, worker, pid, {"how": how} if how else {})


def entry(at: float, source: str | None, target: str | None, fence: int, worker: UUID | None = None) -> Entry:
    return Entry(JOB, 1, source, target, fence, worker, VERDICT, T + at)


def good() -> History:
    """A job whose first worker was killed at 2 and that succeeded in its second attempt; one that failed."""
    other = [
        replace(each, job=OTHER)
        for each in (
            entry(0, None, "ready", 0),
            entry(1, "ready", "running", 1, SECOND),
            entry(2, "running", "failed", 1),
        )
    ]
    return History(
        calls=[
            Call("c-1", "enqueue", {JOB: {"id": str(JOB), "ending": "value"}}, is_acknowledged=True),
            Call("c-2", "enqueue_many", {OTHER: {"id": str(OTHER), "ending": "never"}}, is_acknowledged=True),
            Call("c-3", "enqueue_rolled_back", {ABSENT: {"id": str(ABSENT)}}, is_acknowledged=True),
        ],
        words=[
            word("start", 1.1, 1, FIRST, 11),
            word("start", 1.2, 1, SECOND, 12, OTHER),
            word("end", 1.9, 1, SECOND, 12, OTHER, "PermissionError"),
            word("start", 5.0, 2, SECOND, 12),
            word("end", 6.0, 2, SECOND, 12, how="returned"),
        ],
        ledger=[
            entry(0, None, "ready", 0),
            entry(1, "ready", "running", 1, FIRST),
            *other,
            entry(4, "running", "ready", 1),
            entry(5, "ready", "running", 2, SECOND),
            entry(6, "running", "succeeded", 2),
        ],
        jobs={
            JOB: job_of(JOB, fence=2, losses=1),
            OTHER: job_of(OTHER, state=State.FAILED, reason=Reason.NOT_RETRIED),
        },
        attempts={
            (JOB, 1): Attempt(JOB, 1, 1, FIRST, BEGAN, BEGAN, "lost", "lost", None, {}, None, None),
            (OTHER, 1): Attempt(OTHER, 1, 1, SECOND, BEGAN, BEGAN, "failed", "x", None, {}, None, None),
        },
        workers={FIRST: worker_of(FIRST, 11, True), SECOND: worker_of(SECOND, 12, False)},
        faults=[
            {"what": "begin", "number": 1, "kind": "child killed", "pids": [11], "at": 2.0, "wall": T + 2.0},
            {"what": "begin", "number": 2, "kind": "server killed", "at": 2.5, "wall": T + 2.5},
            {"what": "end", "number": 2, "kind": "server killed", "at": 4.5, "wall": T + 4.5},
        ],
    )


def without_job(history: History) -> None:
    history.jobs = {OTHER: history.jobs[OTHER]}


def half_a_call(history: History) -> None:
    first = history.calls[0]
    first.is_acknowledged, first.kind, first.jobs = False, "enqueue_many", {**first.jobs, ABSENT: {}}


def kept_after_rollback(history: History) -> None:
    history.jobs = {**history.jobs, ABSENT: job_of(ABSENT, state=State.CANCELLED)}


def from_nowhere(history: History) -> None:
    history.jobs = {**history.jobs, UUID(int=9): job_of(UUID(int=9), state=State.CANCELLED)}


def no_follower(history: History) -> None:
    history.calls[0].jobs = {JOB: {"ending": "value", "then": str(FOLLOWER)}}


def follower_too_early(history: History) -> None:
    history.calls[1].jobs = {OTHER: {"ending": "never", "then": str(FOLLOWER)}}
    history.jobs = {**history.jobs, FOLLOWER: job_of(FOLLOWER, state=State.CANCELLED)}


def told_no(history: History) -> None:
    history.calls[0].refusals = ["IdConflict: it exists"]


def never_ended(history: History) -> None:
    history.jobs = {**history.jobs, JOB: job_of(JOB, state=State.SCHEDULED, fence=2)}


def ended_twice(history: History) -> None:
    history.ledger += [entry(7, "running", "succeeded", 2)]


def went_on_after_its_end(history: History) -> None:
    history.ledger += [entry(7, "succeeded", "ready", 2)]


def fence_stood_still(history: History) -> None:
    history.ledger[-2:] = [entry(5, "ready", "running", 1, SECOND), entry(6, "running", "succeeded", 1)]


def start_without_claim(history: History) -> None:
    history.words += [word("start", 7, 3, SECOND, 12)]


def start_by_another(history: History) -> None:
    history.words[3] = replace(history.words[3], worker=FIRST)


def start_twice(history: History) -> None:
    history.words += [word("start", 5.5, 2, SECOND, 12)]


def no_row_of_an_attempt(history: History) -> None:
    history.attempts = {(OTHER, 1): history.attempts[OTHER, 1]}


def success_out_of_nothing(history: History) -> None:
    history.words[-1] = word("end", 6.0, 2, SECOND, 12, how="ValueError")


def ended_otherwise(history: History) -> None:
    history.calls[0].jobs = {JOB: {"ending": "fail"}}


def cancel_forgotten(history: History) -> None:
    history.calls += [Call("c-4", "cancel", {JOB: {}}, is_acknowledged=True, answer=True)]


def ran_though_expired(history: History) -> None:
    history.calls[1].jobs = {OTHER: {"ending": "never", "expires": 1.0}}
    history.jobs = {
        **history.jobs,
        OTHER: job_of(OTHER, state=State.CANCELLED, reason=Reason.EXPIRED),
    }


def effect_twice(history: History) -> None:
    history.jobs = {**history.jobs, JOB: replace(history.jobs[JOB], task="work_inside")}
    history.effects = [(JOB, 1), (JOB, 1)]


def effect_of_a_failure(history: History) -> None:
    history.effects = [(OTHER, 1)]


def at_once(history: History) -> None:
    history.words += [word("tick", 5.5, 1, FIRST, 11)]
    history.workers = {**history.workers, FIRST: worker_of(FIRST, 11, False)}


PLANTED: dict[Callable[[History], None], str] = {
    without_job: "lost",
    half_a_call: "torn",
    kept_after_rollback: "not rolled back",
    from_nowhere: "invented",
    no_follower: "lost",
    follower_too_early: "invented",
    told_no: "refused",
    never_ended: "stuck",
    ended_twice: "doubled",
    went_on_after_its_end: "doubled",
    fence_stood_still: "fence",
    start_without_claim: "unclaimed",
    start_by_another: "unclaimed",
    start_twice: "doubled",
    no_row_of_an_attempt: "unaccounted",
    success_out_of_nothing: "unaccounted",
    ended_otherwise: "otherwise",
    cancel_forgotten: "otherwise",
    ran_though_expired: "otherwise",
    effect_twice: "effects",
    effect_of_a_failure: "effects",
    at_once: "overlap",
}


def test_a_good_history_passes() -> None:
    assert broken(good()) == []


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_what_was_planted_is_found(plant: Callable[[History], None]) -> None:
    history = good()
    plant(history)
    assert PLANTED[plant] in counted(broken(history))


def test_attempts_may_overlap_once_the_lease_is_lost() -> None:
    history = good()
    history.words += [word("tick", 5.5, 1, FIRST, 11)]
    assert broken(history) == []


def test_the_time_to_recover_is_read_from_the_ledger_and_the_witness() -> None:
    found = recoveries(good())
    assert found["child killed"] == pytest.approx([2.0])
    assert found["server killed"] == pytest.approx([0.5])


def test_percentiles_are_values_that_occurred() -> None:
    assert [percentile([3.0, 1.0, 2.0, 4.0], share) for share in (0.5, 0.99, 0.01)] == [2.0, 4.0, 1.0]


def test_the_client_log_is_read_call_by_call() -> None:
    lines = [
        {"call": "a", "kind": "enqueue", "what": "invoke", "jobs": [{"id": str(JOB), "ending": "value"}]},
        {"call": "b", "kind": "cancel", "what": "invoke", "id": str(JOB)},
        {"call": "a", "kind": "enqueue", "what": "unknown", "error": "away"},
        {"call": "a", "kind": "enqueue", "what": "ok", "answer": None},
        {"call": "b", "kind": "cancel", "what": "refused", "error": "no"},
    ]
    enqueue, cancel = calls_of([*(json.dumps(line) + "\n" for line in lines), '{"call": "c", "ki'])
    assert (enqueue.is_acknowledged, enqueue.unknowns, list(enqueue.jobs)) == (True, 1, [JOB])
    assert (cancel.is_acknowledged, cancel.refusals, list(cancel.jobs)) == (False, ["no"], [JOB])
