"""The promises of the memory keeper: each a plan of one step.

The rooms beside this file hold what the steps do: `jobs` (insert, claim, settle), `workers`, `chores`,
`operating`, `reading` and `invariants`. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from unstuck.model.audit import AuditEntry, Repair
from unstuck.model.errors import IdConflict
from unstuck.model.happening import LoggedEvent
from unstuck.model.invariant import USUAL_BOUNDS, Bounds, Portion
from unstuck.model.job import Attempt, ClaimedJob, Inserted, Job, LogLine, NewJob
from unstuck.model.notice import Finding, Notice
from unstuck.model.states import Reason, State
from unstuck.model.verdict import Settled, Verdict
from unstuck.model.worker import NewWorker, Worker
from unstuck.storage.memory import chores, invariants, operating, pulsing, reading, workers
from unstuck.storage.memory import jobs as living
from unstuck.storage.memory.tables import MemoryTables
from unstuck.storage.plan import Mode, Plan, Requests, Step
from unstuck.storage.protocol import (
    USUAL_LIMITS,
    Cursor,
    Filter,
    Holder,
    HolderLimits,
    Lag,
    Look,
    Pulse,
    QueueInfo,
    Renewed,
    Since,
    Situation,
    Size,
    Survey,
)

R = TypeVar("R")


def _plan(name: str, mode: Mode, apply: Callable[[MemoryTables], R]) -> Plan[R]:
    def start() -> Requests[R]:
        answer: R = yield Step(name, apply, reads=mode is Mode.READ)
        return answer

    return Plan(name, mode, start)


def _read(name: str, apply: Callable[[MemoryTables], R]) -> Plan[R]:
    return _plan(name, Mode.READ, apply)


def _write(name: str, apply: Callable[[MemoryTables], R]) -> Plan[R]:
    return _plan(name, Mode.WRITE, apply)


def _applied(plan: Plan[R], tables: MemoryTables) -> R:
    """The answer of a plan of this keeper, applied inside the step of another."""
    walk = plan.start()
    try:
        request = next(walk)
        while True:
            assert isinstance(request, Step)
            request = walk.send(request.apply(tables))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


class MemoryStore:
    """What a keeper promises, on tables in memory; see `storage.protocol.Store` for the prose."""

    def insert(self, jobs: Sequence[NewJob]) -> Plan[list[Inserted]]:
        return _write("insert", lambda tables: living.insert(tables, jobs))

    def insert_each(self, jobs: Sequence[NewJob]) -> Plan[list[Inserted | IdConflict]]:
        return _write("insert_each", lambda tables: living.insert_each(tables, jobs))

    def claim(
        self,
        worker_id: UUID,
        queue: str,
        tasks: Sequence[str],
        limit: int,
        after: Cursor | None = None,
        until: Cursor | None = None,
    ) -> Plan[list[ClaimedJob]]:
        return _write(
            "claim", lambda tables: living.claim(tables, worker_id, queue, tasks, limit, after, until)
        )

    def reach(self, queue: str, after: Cursor | None, count: int) -> Plan[Cursor | None]:
        return _read("reach", lambda tables: living.reach(tables, queue, after, count))

    def settle(self, verdicts: Sequence[Verdict]) -> Plan[list[Settled]]:
        return _write("settle", lambda tables: living.settle(tables, verdicts))

    def write_progress(self, rows: Sequence[tuple[UUID, int, str]]) -> Plan[frozenset[UUID]]:
        return _write("write_progress", lambda tables: living.write_progress(tables, rows))

    def write_logs(self, rows: Sequence[tuple[UUID, int, int, str]]) -> Plan[None]:
        return _write("write_logs", lambda tables: living.write_logs(tables, rows))

    def look(
        self, worker_id: UUID, queues: Sequence[str], tasks: Sequence[str], since: Since | None = None
    ) -> Plan[Look]:
        return _read("look", lambda tables: workers.look(tables, worker_id, queues, tasks, since))

    def promote(self, limit: int, age_us: int | None = None) -> Plan[dict[str, int]]:
        return _write("promote", lambda tables: chores.promote(tables, limit, age_us))

    def expired(self, limit: int) -> Plan[list[Job]]:
        return _read("expired", lambda tables: chores.expired(tables, limit))

    def register(self, worker: NewWorker) -> Plan[int]:
        return _write("register", lambda tables: workers.register(tables, worker))

    def renew(
        self, worker_ids: Sequence[UUID], lease_us: int, reports: Mapping[UUID, str] | None = None
    ) -> Plan[Renewed]:
        return _write("renew", lambda tables: workers.renew(tables, worker_ids, lease_us, reports or {}))

    def end_worker(self, worker_id: UUID, reason: str) -> Plan[bool]:
        return _write("end_worker", lambda tables: workers.end_worker(tables, worker_id, reason))

    def end_lapsed(self, seen_us: int | None = None) -> Plan[list[Worker]]:
        return _write("end_lapsed", lambda tables: workers.end_lapsed(tables, seen_us))

    def drain(self, worker_id: UUID, leave: bool = False) -> Plan[bool]:
        return _write("drain", lambda tables: workers.drain(tables, worker_id, leave))

    def mark_stalled(self, worker_id: UUID, is_stalled: bool) -> Plan[bool]:
        return _write("mark_stalled", lambda tables: workers.mark_stalled(tables, worker_id, is_stalled))

    def workers(self, include_ended: bool = False) -> Plan[list[Worker]]:
        return _read("workers", lambda tables: workers.workers(tables, include_ended))

    def owned(self, worker_id: UUID) -> Plan[list[ClaimedJob]]:
        return _read("owned", lambda tables: workers.owned(tables, worker_id))

    def orphans(
        self, limit: int, include_missing: bool = False
    ) -> Plan[list[tuple[ClaimedJob, Worker | None]]]:
        return _read("orphans", lambda tables: workers.orphans(tables, limit, include_missing))

    def survey(self) -> Plan[Survey]:
        return _read("survey", chores.survey)

    def unhandled(self, queue: str, older_us: int, limit: int) -> Plan[list[Job]]:
        return _read("unhandled", lambda tables: chores.unhandled(tables, queue, older_us, limit))

    def waiting_unhandled(self, limit: int) -> Plan[list[tuple[Job, bool]]]:
        return _read("waiting_unhandled", lambda tables: chores.waiting_unhandled(tables, limit))

    def park(self, jobs: Sequence[tuple[Job, Reason, int]]) -> Plan[int]:
        return _write("park", lambda tables: chores.park(tables, jobs))

    def wake(self, jobs: Sequence[Job]) -> Plan[int]:
        return _write("wake", lambda tables: chores.wake(tables, jobs))

    def keep_notices(
        self, findings: Sequence[Finding], kinds: Sequence[str]
    ) -> Plan[tuple[list[Notice], list[Notice]]]:
        return _write("keep_notices", lambda tables: chores.keep_notices(tables, findings, kinds))

    def notices(self) -> Plan[list[Notice]]:
        return _read("notices", chores.notices)

    def pulse(self, depth: int) -> Plan[Pulse]:
        return _read("pulse", lambda tables: pulsing.pulse(tables, depth))

    def knowing(self, tasks: Sequence[str]) -> Plan[dict[str, frozenset[UUID]]]:
        return _read("knowing", lambda tables: chores.knowing(tables, tasks))

    def lagging(self, older_us: int) -> Plan[Lag]:
        return _read("lagging", lambda tables: chores.lagging(tables, older_us))

    def prune(self, limit: int) -> Plan[int]:
        return _write("prune", lambda tables: chores.prune(tables, limit))

    def ask_cancel(self, ids: Sequence[UUID]) -> Plan[int]:
        return _write("ask_cancel", lambda tables: operating.ask_cancel(tables, ids))

    def revive(self, ids: Sequence[UUID]) -> Plan[list[UUID]]:
        return _write("revive", lambda tables: operating.revive(tables, ids))

    def forget(self, ids: Sequence[UUID]) -> Plan[list[UUID]]:
        return _write("forget", lambda tables: operating.forget(tables, ids))

    def set_priority(self, jobs: Sequence[tuple[UUID, int]]) -> Plan[int]:
        return _write("set_priority", lambda tables: operating.set_priority(tables, jobs))

    def set_queue(
        self, name: str, *, paused: bool | None = None, step_us: int | None = None, actor: str | None = None
    ) -> Plan[QueueInfo]:
        return _write("set_queue", lambda tables: operating.set_queue(tables, name, paused, step_us, actor))

    def audited(self, plan: Plan[R], repairs: Callable[[R], Sequence[Repair]]) -> Plan[R]:
        return _write(
            f"audited_{plan.name}", lambda tables: operating.audited(tables, _applied(plan, tables), repairs)
        )

    def audit(self, limit: int) -> Plan[list[AuditEntry]]:
        return _read("audit", lambda tables: reading.audit(tables, limit))

    def get(self, job_id: UUID) -> Plan[Job | None]:
        return _read("get", lambda tables: tables.jobs.get(job_id))

    def situation(self, job_id: UUID) -> Plan[Situation | None]:
        return _read("situation", lambda tables: chores.situation(tables, job_id))

    def find(self, which: Filter) -> Plan[list[Job]]:
        return _read("find", lambda tables: reading.find(tables, which))

    def tally(self, which: Filter) -> Plan[dict[tuple[str, State], int]]:
        return _read("tally", lambda tables: reading.tally(tables, which))

    def attempts(self, job_id: UUID) -> Plan[list[Attempt]]:
        return _read("attempts", lambda tables: reading.attempts(tables, job_id))

    def logs(self, job_id: UUID) -> Plan[list[LogLine]]:
        return _read("logs", lambda tables: reading.logs(tables, job_id))

    def queues(self) -> Plan[list[QueueInfo]]:
        return _read("queues", reading.queues)

    def events(self, after: tuple[str, int] | None = None, limit: int = 1000) -> Plan[list[LoggedEvent]]:
        return _read("events", lambda tables: reading.events(tables, after, limit))

    def meta(self) -> Plan[dict[str, str]]:
        return _read("meta", reading.meta)

    def inspect(
        self, scan: str, bounds: Bounds = USUAL_BOUNDS, after: Any = None, limit: int = 10_000
    ) -> Plan[Portion]:
        return _read("inspect", lambda tables: invariants.inspect(tables, scan, bounds))

    def offenders(self, bounds: Bounds = USUAL_BOUNDS) -> Plan[dict[str, list[str]]]:
        return _read("offenders", lambda tables: invariants.offenders(tables, bounds))

    def check(self) -> Plan[dict[str, Any]]:
        return _read("check", reading.check)

    def holders(self, limits: HolderLimits = USUAL_LIMITS) -> Plan[list[Holder]]:
        return _read("holders", lambda tables: [])

    def lacking(self) -> Plan[list[str]]:
        return _read("lacking", lambda tables: [])

    def sizes(self) -> Plan[list[Size]]:
        return _read("sizes", lambda tables: [])

    def integrity(self) -> Plan[list[str]]:
        return _read("integrity", lambda tables: [])
