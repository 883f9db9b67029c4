"""Random histories, applied to the oracle and to a keeper side by side: answers and rows must agree.

Hypothesis draws the operations and, when the two disagree, looks for the shortest history that shows it.
A second passes before each operation on both sides, so that no two lines and alarms fall together; all
durations are multiples of a hundred seconds, so that a clock that also runs by itself changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.conformance.comparing import alike, logged, outcome, seen
from tests.conformance.trying import BOOM, SECOND, Ground, Trial, new_id, new_job, new_worker
from unstuck.model.job import ClaimedJob, Policy
from unstuck.model.notice import Finding, Kind
from unstuck.model.states import FINAL, Event, Reason, State, sources_of
from unstuck.model.verdict import Verdict
from unstuck.rules import judging, rescuing
from unstuck.storage.protocol import Cursor, Filter

STEPS = 40
UNIT = 100 * SECOND
ALL = 1000

QUEUES = ("a", "b")
TASKS = ("t", "u", "rare")
POLICIES = (
    Policy(),
    Policy(tries=2, crash_limit=2, loss_limit=2, keep_succeeded_us=0, keep_other_us=10 * UNIT),
)

numbers = st.integers(0, 63)
some = st.lists(numbers, min_size=1, max_size=4)
queues = st.sampled_from(QUEUES)
tasks = st.just(list(TASKS)) | st.sets(st.sampled_from(TASKS), min_size=1).map(sorted)
durations = st.sampled_from([UNIT, 3 * UNIT, 10 * UNIT])


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "queue": draw(queues),
        "task": draw(st.sampled_from(TASKS)),
        "priority": draw(st.integers(-2, 2)),
        "delay_us": draw(st.none() | durations),
        "expires_in_us": draw(st.none() | durations),
        "timeout_us": draw(st.none() | durations),
        "policy": draw(st.sampled_from(POLICIES)),
    }


WAYS = {
    "succeeded": lambda job, worker: judging.succeeded(job, new_id(), worker, '"r"'),
    "retry": lambda job, worker: judging.failed(job, new_id(), worker, BOOM, 0.5),
    "failed": lambda job, worker: judging.failed(job, new_id(), worker, BOOM, 0.5, may_retry=False),
    "snoozed": lambda job, worker: judging.snoozed(job, new_id(), worker, UNIT),
    "handed_back": lambda job, worker: judging.handed_back(job, new_id(), worker, started=True),
    "not_started": lambda job, worker: judging.handed_back(job, new_id(), worker, started=False),
    "put_off": lambda job, worker: judging.put_off(job, new_id(), worker),
    "cancelled": lambda job, worker: judging.cancelled(job, new_id(), worker, "why"),
    "crashed": lambda job, worker: rescuing.crashed(job, new_id(), worker, {"signal": 9}),
    "lost": lambda job, worker: rescuing.lost(job, new_id(), worker, "gone"),
}


class SideBySide(RuleBasedStateMachine):
    """The oracle and a keeper; `both` applies one promise to each and compares."""

    oracle: Trial
    tried: Trial

    @initialize()
    def begin(self) -> None:
        for side in self.sides:
            side.ground.empty()
        self.oracle.ground.elapse(self.tried.now_us() - self.oracle.now_us())
        self.job_ids: list[UUID] = []
        self.workers: list[UUID] = []
        self.attempts: list[tuple[ClaimedJob, UUID]] = []
        self.verdicts: list[Verdict] = []
        for _ in range(2):
            self.register(list(TASKS))
        self.insert([{"queue": queue, "task": "t"} for queue in QUEUES for _ in range(4)], follows=True)

    @property
    def sides(self) -> tuple[Trial, Trial]:
        return self.oracle, self.tried

    def both(self, promise: str, *args: Any, **options: Any) -> Any:
        expected = outcome(self.oracle, promise, args, options)
        actual = outcome(self.tried, promise, args, options)
        self.compare(promise, expected, actual)
        return expected

    def compare(self, what: str, expected: Any, actual: Any) -> None:
        one, other = (
            seen(answer, side.now_us()) for answer, side in ((expected, self.oracle), (actual, self.tried))
        )
        slack = self.tried.ground.slack_seconds + 1e-5
        assert alike(one, other, slack), f"{what}:\n oracle {one}\n keeper {other}"

    def pass_time(self, us: int) -> None:
        for side in self.sides:
            side.elapse(us)

    def pick(self, drawn: Sequence[Any], numbers: Sequence[int]) -> list[Any]:
        return [drawn[number % len(drawn)] for number in numbers] if drawn else []

    def rows(self, numbers: Sequence[int], states: Sequence[State]) -> list[Any]:
        """Some of the jobs that stand in these states, each once."""
        there = self.oracle.find(Filter(states=tuple(states), limit=ALL))
        return list(dict.fromkeys(job.id for job in self.pick(there, numbers)))

    # Enqueue, claim, settle

    @rule(drawn=st.lists(jobs(), min_size=1, max_size=5), follows=st.booleans())
    def insert(self, drawn: list[dict[str, Any]], follows: bool) -> None:
        self.pass_time(SECOND)
        then = (new_job(queue="a", delay_us=UNIT, policy=POLICIES[1]),) if follows else ()
        new = [new_job(**options, then=then if number == 0 else ()) for number, options in enumerate(drawn)]
        self.both("insert", new)
        self.job_ids += [job.id for job in (*new, *then)]

    @rule(numbers=some, same=st.booleans())
    def insert_again(self, numbers: list[int], same: bool) -> None:
        self.pass_time(SECOND)
        ids = self.pick(self.job_ids, numbers)
        args = {} if same else {"args": '{"n":2}'}
        self.both("insert", [new_job(queue="b", **args), *(new_job(id=each) for each in ids)])

    @rule(number=numbers, queue=queues, names=tasks, limit=st.integers(1, 6), care=st.integers(0, 3))
    def claim(self, number: int, queue: str, names: list[str], limit: int, care: int) -> None:
        self.pass_time(SECOND)
        (worker,) = self.pick(self.workers, [number])
        if care:
            worker = self.able(worker)
        claimed = self.both("claim", worker, queue, names, limit)
        self.attempts += [(job, worker) for job in claimed]

    @rule(queue=queues, number=numbers, limit=st.integers(1, 6))
    def claim_behind(self, queue: str, number: int, limit: int) -> None:
        self.pass_time(SECOND)
        worker = self.able(self.workers[-1])
        wanted = Filter(states=(State.READY,), queue=queue, limit=ALL)
        ready = [each.id for each in self.oracle.find(wanted)]
        for job_id in self.pick(ready, [number]):
            places = [Cursor(row.line, row.id) for row in (side.row(job_id) for side in self.sides)]
            answers = [
                outcome(side, "claim", (worker, queue, TASKS, limit, place), {})
                for side, place in zip(self.sides, places, strict=True)
            ]
            self.compare("claim", *answers)
            self.attempts += [(job, worker) for job in answers[0]]

    def able(self, worker: UUID) -> UUID:
        """This worker with a fresh lease, or a new one if it has ended or drains."""
        (row,) = [each for each in self.oracle.workers(True) if each.id == worker] or [None]
        if row is not None and row.ended_at is None and row.draining_at is None:
            self.both("renew", [worker], 10 * UNIT)
            return worker
        self.register(list(TASKS))
        return self.workers[-1]

    def register(self, knows: list[str]) -> None:
        worker = new_worker(lease_us=10 * UNIT, queues=QUEUES, tasks=tuple(knows))
        self.both("register", worker)
        self.workers.append(worker.id)

    @rule(
        picked=st.lists(st.tuples(numbers, st.sampled_from(sorted(WAYS))), min_size=1, max_size=4),
        is_stale=st.integers(0, 3).map(lambda drawn: drawn == 0),
    )
    def settle(self, picked: list[tuple[int, str]], is_stale: bool) -> None:
        self.pass_time(SECOND)
        running = {
            (job.id, job.fence) for job in self.oracle.find(Filter(states=(State.RUNNING,), limit=ALL))
        }
        those = [pair for pair in self.attempts if is_stale or (pair[0].id, pair[0].fence) in running]
        verdicts = []
        for number, way in picked:
            for job, worker in self.pick(those, [number]):
                verdict = WAYS[way](job, worker)
                verdicts.append(verdict._replace(delay_us=verdict.delay_us and 3 * UNIT))
        self.both("settle", verdicts)
        self.verdicts += verdicts

    @rule(numbers=some)
    def settle_again(self, numbers: list[int]) -> None:
        self.pass_time(SECOND)
        self.both("settle", self.pick(self.verdicts[::-1], numbers))

    @rule(numbers=some, reason=st.sampled_from([Reason.CANCELLED, Reason.DELETED, Reason.EXPIRED]))
    def end_by_request(self, numbers: list[int], reason: Reason) -> None:
        self.pass_time(SECOND)
        ids = self.rows(numbers, sources_of(Event.EXPIRE))
        verdicts = [judging.ended_by_request(self.oracle.row(each), new_id(), reason) for each in ids]
        self.both("settle", verdicts)
        self.verdicts += verdicts

    @rule(picked=some, text=st.sampled_from(['[1,10,"x"]', '[0.5,null,""]']))
    def write(self, picked: list[int], text: str) -> None:
        self.pass_time(SECOND)
        attempts = self.pick(self.attempts[::-1], picked)
        self.both("write_progress", [(job.id, job.fence, text) for job, _ in attempts])
        lines = [(job.id, job.fence, number, text) for number, (job, _) in enumerate(attempts)]
        self.both("write_logs", lines)

    # Time and its chores

    @rule(us=st.sampled_from([UNIT, 3 * UNIT, 10 * UNIT, 900 * UNIT]))
    def elapse(self, us: int) -> None:
        self.pass_time(us)

    @rule(
        what=st.sampled_from(["promote", "promote", "expire", "prune", "end_lapsed", "rescue"]),
        us=st.sampled_from([0, UNIT, 10 * UNIT]),
    )
    def chore(self, what: str, us: int) -> None:
        self.pass_time(SECOND + us)
        if what == "promote":
            self.both("promote", ALL)
        elif what == "expire":
            late = self.both("expired", ALL)
            self.both("settle", [judging.ended_by_request(job, new_id(), Reason.EXPIRED) for job in late])
        elif what == "prune":
            self.both("prune", ALL)
        else:
            self.both("end_lapsed")
            if what == "rescue":
                self.rescue()

    def rescue(self) -> None:
        verdicts = [
            rescuing.lost(job, new_id(), None if worker is None else worker.id, "gone")
            for job, worker in self.both("orphans", ALL, include_missing=True)
        ]
        self.both("settle", [each._replace(delay_us=each.delay_us and UNIT) for each in verdicts])

    @rule(picked=some, again=durations)
    def park(self, picked: list[int], again: int) -> None:
        self.pass_time(SECOND)
        ids = self.rows(picked, sources_of(Event.PARK))
        rows = [[side.row(each) for each in ids] for side in self.sides]
        self.compare("rows", *rows)
        self.both("park", [(job, Reason.NO_HANDLER, again) for job in rows[0]])

    @rule(picked=some)
    def wake(self, picked: list[int]) -> None:
        self.pass_time(SECOND)
        self.both("wake", [self.oracle.row(each) for each in self.rows(picked, [State.WAITING])])

    @rule(found=st.sets(st.sampled_from([Kind.NO_WORKER, Kind.STALLED, Kind.NO_HANDLER])).map(sorted))
    def notice(self, found: list[Kind]) -> None:
        self.pass_time(SECOND)
        findings = [Finding(kind, "subject", f"a sentence about {kind}") for kind in found]
        kinds = [Kind.NO_WORKER, Kind.STALLED, Kind.NO_HANDLER]
        for notices in zip(
            outcome(self.oracle, "keep_notices", (findings, kinds), {}),
            outcome(self.tried, "keep_notices", (findings, kinds), {}),
            strict=True,
        ):
            self.compare("keep_notices", *(sorted(each, key=lambda notice: notice.kind) for each in notices))

    # Workers and operators

    @rule(
        number=numbers,
        how=st.sampled_from(["register", "renew", "end", "drain", "stall", "recover"]),
        knows=tasks,
    )
    def change_worker(self, number: int, how: str, knows: list[str]) -> None:
        self.pass_time(SECOND)
        (worker,) = self.pick(self.workers, [number])
        if how == "register":
            self.register(knows)
        elif how == "renew":
            self.both("renew", self.workers, 10 * UNIT, {worker: '{"free":1}'})
        elif how == "end":
            self.both("end_worker", worker, "stopped")
        elif how == "drain":
            self.both("drain", worker)
        else:
            self.both("mark_stalled", worker, how == "stall")

    @rule(
        picked=some,
        priority=st.integers(-3, 3),
        what=st.sampled_from(["cancel", "revive", "priority", "forget"]),
    )
    def operate(self, picked: list[int], priority: int, what: str) -> None:
        self.pass_time(SECOND)
        if what == "cancel":
            self.both("ask_cancel", self.rows(picked, [State.RUNNING]) + self.job_ids[:2])
        elif what == "revive":
            ids = self.rows(picked, [state for state in State if state in FINAL])
            self.both("revive", ids or self.job_ids[:2])
        elif what == "forget":
            self.both("forget", self.rows(picked, list(State)) + self.job_ids[:2])
        else:
            self.both("set_priority", [(each, priority) for each in self.rows(picked, list(State))])

    @rule(queue=queues, paused=st.none() | st.booleans(), step=st.sampled_from([None, UNIT, 7 * UNIT]))
    def set_queue(self, queue: str, paused: bool | None, step: int | None) -> None:
        self.pass_time(SECOND)
        self.both("set_queue", queue, paused=paused, step_us=step)

    # Readers

    @rule(number=numbers, names=tasks, queue=queues)
    def look(self, number: int, names: list[str], queue: str) -> None:
        (worker,) = self.pick(self.workers, [number])
        self.both("look", worker, QUEUES, names)
        self.both("owned", worker)
        self.both("survey")
        self.both("unhandled", queue, UNIT // 2, ALL)
        self.both("waiting_unhandled", ALL)

    @rule(
        states=st.none() | st.sets(st.sampled_from(list(State))).map(sorted),
        queue=st.none() | queues,
        task=st.none() | st.sampled_from(TASKS),
        reason=st.none() | st.sampled_from(list(Reason)),
    )
    def find(self, **parts: Any) -> None:
        self.both("find", Filter(limit=ALL, **parts))
        self.both("tally", Filter(limit=1, **parts))

    @invariant()
    def every_row_is_the_same(self) -> None:
        if hasattr(self, "job_ids"):
            self.both("find", Filter(limit=ALL))

    def teardown(self) -> None:
        if not hasattr(self, "job_ids"):
            return
        self.both("workers", include_ended=True)
        self.compare("events", *([logged(line) for line in side.events(limit=10**6)] for side in self.sides))
        self.both("queues")
        self.both("notices")
        self.both("offenders")
        for job_id in self.job_ids:
            self.both("attempts", job_id)
            self.both("logs", job_id)
        assert not self.tried.broken()


@pytest.mark.parametrize("colour", ["blocking"], indirect=True)
def test_a_keeper_answers_as_the_oracle_does(trial: Trial, oracle: Ground) -> None:
    other = Trial(oracle, "blocking", trial.house)
    for ground in (oracle, trial.ground):
        ground.keep_events()

    class Machine(SideBySide):
        oracle = other
        tried = trial

    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=trial.ground.examples,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                # The gate walks the same histories each time; who looks for new ones says so.
                derandomize=not os.environ.get("UNSTUCK_EXPLORE"),
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        trial.ground.empty()
        other.close()
