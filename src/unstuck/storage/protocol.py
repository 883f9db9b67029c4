"""The promises of storage: what every keeper does, atomically, in prose.

Each promise is a method that returns a `Plan`; whoever holds a connection or a lane runs it. The prose
is the contract: the conformance suite tests these sentences on every keeper and names no engine. The
life cycle itself is not here (`model.states`), nor any opinion about when to retry or whom to declare
lost (`rules`): storage applies, it does not decide.

Three sentences hold for all of them. *Now* is the store's own clock, read by the statement that uses
it. Answers come in no promised order unless the prose says one. A crash at any point leaves either
everything of the operation or nothing of it; of `settle`, everything or nothing of each verdict.
"""

# long: every promise of a store stands on this one page, with what it answers.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar
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
from unstuck.storage.plan import Plan

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the last claim of a queue ended: the next index scan starts behind it."""

    line: int
    id: UUID

    def before(self, other: Cursor) -> bool:
        """Whether the other place is further down the line."""
        return (self.line, self.id.int) < (other.line, other.id.int)


@dataclass(frozen=True, slots=True)
class Since:
    """From where to look: in each queue from a line on, and for alarms that are no older than so many microseconds."""

    lines: Mapping[str, int]
    age_us: int


@dataclass(frozen=True, slots=True)
class Look:
    """The answer to the one look per poll.

    `ready` maps a queue to the lowest line that is ready and due in it (paused queues are left out).
    `next_alarm_us` is the time to the next alarm of a scheduled job, negative when it has passed, None
    where there is none. `cancel` are (job, fence) of the worker's own attempts that are asked to stop.
    `is_alive` is False once the worker's row has ended or is missing; `is_draining` says that it is to claim
    nothing, `is_leaving` that it is to leave. `empty` are the queues that were looked through to their end, from
    where this look began, and have nothing ready for this worker (paused ones are not looked through).
    """

    now_us: int
    is_alive: bool
    is_draining: bool
    is_leaving: bool
    ready: Mapping[str, int]
    next_alarm_us: int | None
    cancel: Sequence[tuple[UUID, int]] = ()
    empty: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Renewed:
    """The answer to a renewal: the store's clock, and which of the workers are still alive."""

    now_us: int
    alive: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Owned:
    """One running attempt as the store sees it."""

    id: UUID
    fence: int


@dataclass(frozen=True, slots=True)
class QueueHead:
    """A queue that has due ready jobs: the oldest one's due time as an age, and whose tasks stand first."""

    queue: str
    oldest_us: int
    is_paused: bool
    tasks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Survey:
    """What the sweep reads to find what should be on notice; bounded, never a scan of a backlog."""

    now_us: int
    has_orphans: bool
    has_expired: bool
    has_unhandled: bool
    heads: Sequence[QueueHead]
    workers: Sequence[Worker]
    known_tasks: frozenset[str]
    notices: Sequence[Notice]


@dataclass(frozen=True, slots=True)
class Lag:
    """Jobs parked for want of a handler, by (queue, task); scheduled jobs that nobody has promoted, by queue:
    how many, and for how many microseconds the first of them has been due. Both among the earliest alarms."""

    parked: Mapping[tuple[str, str], int]
    overdue: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Depth:
    """How many jobs of a queue are ready (counted no further than asked), and since when the oldest at its front is due."""

    queue: str
    ready: int
    oldest_us: int
    is_paused: bool


@dataclass(frozen=True, slots=True)
class Pulse:
    """What `unstuck top` shows of a moment; bounded, never a scan of a backlog or of what has ended.

    `alarms` counts the states of those whose alarms come first (at most `PULSE_SAMPLE`). `arrived_us` are the ages of
    the newest jobs (as many at most), `waited_us` the time from due to claim of jobs whose first attempt was
    claimed within `PULSE_WINDOW_US`, among the newest and among those that run. `gone` are workers that ended
    within an hour, newest first, at most a hundred.
    """

    now_us: int
    depths: Sequence[Depth]
    alarms: Mapping[State, int]
    arrived_us: Sequence[int]
    waited_us: Sequence[int]
    workers: Sequence[Worker]
    gone: Sequence[Worker]
    notices: Sequence[Notice]


PULSE_SAMPLE = 200
PULSE_WINDOW_US = 60_000_000
PULSE_GONE = 100
PULSE_GONE_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue as `queues list` shows it."""

    name: str
    step_us: int
    paused_at: datetime | None
    counts: Mapping[State, int] = field(default_factory=dict[State, int])
    paused_by: str | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs a listing or an operator's change means; every part narrows. `after` pages by id."""

    ids: tuple[UUID, ...] | None = None
    states: tuple[State, ...] | None = None
    queue: str | None = None
    task: str | None = None
    reason: Reason | None = None
    label: tuple[str, str] | None = None
    worker_id: UUID | None = None
    after: UUID | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Situation:
    """A job and everything that decides why it stands where it stands, all of one snapshot.

    `owner` is the worker of a running job, ended or not. `workers` are those that have not ended, `knowing`
    those of them that know the task. `ahead` counts the ready jobs before it in line, up to `AHEAD_MAX`.
    """

    now_us: int
    job: Job
    queue: QueueInfo
    owner: Worker | None
    workers: Sequence[Worker]
    knowing: frozenset[UUID]
    ahead: int
    notices: Sequence[Notice]


AHEAD_MAX = 1000


@dataclass(frozen=True, slots=True)
class HolderLimits:
    """From when on somebody who holds back cleaning is worth a word."""

    seconds: float = 300.0
    bytes: int = 128 * 1024 * 1024
    transactions: int = 10_000_000


USUAL_LIMITS = HolderLimits()


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who keeps dead rows, or the log, from going: a "session", "prepared" transaction, "slot",
    "standby" or "reader"; since how many seconds, or what it has made grow to how many bytes."""

    kind: str
    who: str
    seconds: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Size:
    """A table (or the file) with its bytes; live and dead rows, and seconds since the last vacuum, as estimated."""

    table: str
    bytes: int
    live: int | None
    dead: int | None
    vacuumed_seconds: int | None


class Store(Protocol):
    """What a keeper promises."""

    # Hot path

    def insert(self, jobs: Sequence[NewJob]) -> Plan[list[Inserted]]:
        """Insert jobs, all or none, answering in the order given.

        A job whose due moment lies in the store's future is `scheduled` with that alarm, else `ready`
        (with its expiry as alarm, if it has one). Its line is the moment it becomes due minus priority
        times the queue's step. An id that exists with the same task and arguments is answered with
        `created=False` and changes nothing; with others, IdConflict, and nothing at all is inserted.
        """
        ...

    def insert_each(self, jobs: Sequence[NewJob]) -> Plan[list[Inserted | IdConflict]]:
        """Insert each of these jobs as `insert` would by itself, all in one commit, answering in the order given.

        Where `insert` would raise IdConflict, that is the answer for this one job, and the others are inserted.
        """
        ...

    def claim(
        self,
        worker_id: UUID,
        queue: str,
        tasks: Sequence[str],
        limit: int,
        after: Cursor | None = None,
        until: Cursor | None = None,
    ) -> Plan[list[ClaimedJob]]:
        """Take up to `limit` ready jobs of the queue whose task is among `tasks`, in order of (line, id).

        One atomic statement: state `running`, fence + 1, owner, `claimed_at`, and the timeout as alarm.
        Nothing is claimed unless the worker's row is not ended, not draining and its lease runs; nor
        from a paused queue, nor a job whose expiry has passed. `after` starts behind a place in line,
        and `until` is the last place that is asked: between them lies all that a claim may walk over.
        No job is ever claimed by two. An empty or short answer does not mean that the queue is empty.
        A claim that began before an end, a drain or a pause was committed may still commit after it.
        The answer is sorted by (line, id).
        """
        ...

    def reach(self, queue: str, after: Cursor | None, count: int) -> Plan[Cursor | None]:
        """The place in line of the `count`-th ready job behind this place, of whatever task; None where there are fewer."""
        ...

    def settle(self, verdicts: Sequence[Verdict]) -> Plan[list[Settled]]:
        """Record endings; answers in the order given. The one way a job changes after its claim.

        A verdict is accepted where the job still has its fence and its source state: the row moves to
        the target, owner and alarm follow the target, counts rise, and its effects happen in the same
        transaction; an id of a follow-up (`then=`) that is taken already stays with the job that has
        it, and the ending stands. An expiry is accepted only where the job still expires: one that was
        revived since does not. If a running job was asked to cancel, it ends as `cancelled` whatever
        the verdict says, without effects. A verdict whose id the row already carries is answered
        `ALREADY`. Any other is `REFUSED`; a refused ending of a running attempt stamps `late_at` and
        what it wanted on that attempt's row. An accepted verdict with an `outcome` writes that row.

        Each verdict by itself happens wholly or not at all. A group of which any has an outcome or
        effects is one transaction; a group of plain ones may commit in two, so after an error or a
        crash some may be recorded and some not. Settling the same verdicts again is safe; a verdict that
        was recorded, and followed by another since, may then be answered `REFUSED`.
        """
        ...

    def write_progress(self, rows: Sequence[tuple[UUID, int, str]]) -> Plan[frozenset[UUID]]:
        """Set the progress (JSON text) of running attempts (id, fence, text); answers the ids that took it."""
        ...

    def write_logs(self, rows: Sequence[tuple[UUID, int, int, str]]) -> Plan[None]:
        """Append log lines (id, fence, number, text); a line that exists already is left alone."""
        ...

    # The poll

    def look(
        self, worker_id: UUID, queues: Sequence[str], tasks: Sequence[str], since: Since | None = None
    ) -> Plan[Look]:
        """Everything a worker asks once per poll, in one statement that reads.

        With `since`, what lies before is left out: ready jobs with lower lines, older alarms, and who was
        asked to cancel longer ago.
        """
        ...

    def promote(self, limit: int, age_us: int | None = None) -> Plan[dict[str, int]]:
        """Make scheduled jobs that are due ready, at most `limit`; answers the lowest line per queue.

        With `age_us`, only those that have been due for no longer than that.

        An answer that counts `limit` jobs in sum may mean that more are due: `promoted` is in key "".
        Jobs whose expiry has passed are left to `expired`. Lines are kept.
        """
        ...

    def expired(self, limit: int) -> Plan[list[Job]]:
        """Jobs whose expiry has passed and that have not started: to be settled as expired."""
        ...

    # Workers

    def register(self, worker: NewWorker) -> Plan[int]:
        """Insert the worker with a full lease and its task names; answers the store's clock in µs.

        Jobs that wait with reason `no_handler` for one of its tasks become ready, also where the row is
        there already: whoever repeats it may have lost an answer in the middle. They are sought among
        the earliest alarms, no further ahead than such alarms lie (an hour); what is not met there
        becomes ready at its own alarm.
        """
        ...

    def renew(
        self, worker_ids: Sequence[UUID], lease_us: int, reports: Mapping[UUID, str] | None = None
    ) -> Plan[Renewed]:
        """Extend leases to now + lease, only of workers that have not ended; stores their reports (JSON).

        A lease that had run out but was not yet declared over is renewed all the same.
        """
        ...

    def end_worker(self, worker_id: UUID, reason: str) -> Plan[bool]:
        """End this worker's row; False where it had ended already. Never undone."""
        ...

    def end_lapsed(self, seen_us: int | None = None) -> Plan[list[Worker]]:
        """End every worker whose lease is over by the store's clock; answers those ended now.

        With `seen_us`, a moment of that clock which the caller has seen in an answer, only leases that
        were over already then: a statement that lay in a stalled store and is applied when everybody's
        lease is over ends nobody who could renew. Also pulls in leases further ahead than their length.
        """
        ...

    def drain(self, worker_id: UUID, leave: bool = False) -> Plan[bool]:
        """Mark the worker as draining: no claim that begins after this commit gives it anything.

        With `leave` it is also marked as leaving, which it reads with its next look. The first moment of
        each is kept. Answers whether the worker lives.
        """
        ...

    def mark_stalled(self, worker_id: UUID, is_stalled: bool) -> Plan[bool]:
        """Note that a worker's child does not tick, or ticks again."""
        ...

    def workers(self, include_ended: bool = False) -> Plan[list[Worker]]:
        """The workers, living ones first, newest first."""
        ...

    def owned(self, worker_id: UUID) -> Plan[list[ClaimedJob]]:
        """All running attempts of a worker."""
        ...

    def orphans(
        self, limit: int, include_missing: bool = False
    ) -> Plan[list[tuple[ClaimedJob, Worker | None]]]:
        """Running jobs whose worker has ended, with that worker; with `include_missing` also those
        whose worker has no row. A fact that never changes back; settle is fenced all the same."""
        ...

    # Chores

    def survey(self) -> Plan[Survey]:
        """What the sweep needs to see, by bounded reads."""
        ...

    def unhandled(self, queue: str, older_us: int, limit: int) -> Plan[list[Job]]:
        """Among the first jobs of the queue: ready longer than `older_us`, of a task no living worker knows."""
        ...

    def waiting_unhandled(self, limit: int) -> Plan[list[tuple[Job, bool]]]:
        """Jobs that wait with reason `no_handler` and whose alarm has passed, and whether a living worker
        knows their task now."""
        ...

    def park(self, jobs: Sequence[tuple[Job, Reason, int]]) -> Plan[int]:
        """Move (job, reason, delay_us) from the state it was read in to `waiting`, guarded by fence and state."""
        ...

    def wake(self, jobs: Sequence[Job]) -> Plan[int]:
        """Move waiting or scheduled jobs to `ready` before their alarm, guarded by fence and state."""
        ...

    def keep_notices(
        self, findings: Sequence[Finding], kinds: Sequence[str]
    ) -> Plan[tuple[list[Notice], list[Notice]]]:
        """Make the notices of these kinds equal to the findings; answers those that appeared and went."""
        ...

    def notices(self) -> Plan[list[Notice]]:
        """All notices, oldest first."""
        ...

    def knowing(self, tasks: Sequence[str]) -> Plan[dict[str, frozenset[UUID]]]:
        """Which living workers know these tasks; every task asked for is in the answer."""
        ...

    def lagging(self, older_us: int) -> Plan[Lag]:
        """Among the earliest alarms: what waits for a handler, and what has been due for longer than that."""
        ...

    def prune(self, limit: int) -> Plan[int]:
        """Delete ended jobs whose retention is over, with their attempts and logs, and workers ended for
        more than a day that own nothing; at most `limit` of each. Answers how many jobs went."""
        ...

    # Operators

    def ask_cancel(self, ids: Sequence[UUID]) -> Plan[int]:
        """Ask running jobs to cancel (asked once, kept); others are settled by the caller."""
        ...

    def revive(self, ids: Sequence[UUID]) -> Plan[list[UUID]]:
        """Run ended jobs again: a new generation, `ready` at the end of the line, counts at zero."""
        ...

    def forget(self, ids: Sequence[UUID]) -> Plan[list[UUID]]:
        """Keep ended jobs no longer: their retention is over now, and the next prune deletes them.

        Jobs that have not ended are left alone. Answers those that will go, in the order given.
        """
        ...

    def set_priority(self, jobs: Sequence[tuple[UUID, int]]) -> Plan[int]:
        """Set the priority of unfinished jobs that are not running, and their line with it."""
        ...

    def set_queue(
        self, name: str, *, paused: bool | None = None, step_us: int | None = None, actor: str | None = None
    ) -> Plan[QueueInfo]:
        """Create the queue's row where needed and change what is not None; who paused it first is kept.

        No claim that begins after the commit of a pause takes anything from the queue.
        """
        ...

    def audited(self, plan: Plan[R], repairs: Callable[[R], Sequence[Repair]]) -> Plan[R]:
        """The plan of another promise of this store, wholly in one transaction, and in the same one the
        entries that `repairs` makes of its answer."""
        ...

    def audit(self, limit: int) -> Plan[list[AuditEntry]]:
        """The newest entries of the audit, newest first."""
        ...

    def pulse(self, depth: int) -> Plan[Pulse]:
        """How the work goes just now: each queue that has ready jobs, counted up to `depth`, the first alarms, how
        long the latest waited, who works, who went. By bounded reads, each of a moment of its own."""
        ...

    # Reading

    def get(self, job_id: UUID) -> Plan[Job | None]:
        """One job, whole."""
        ...

    def situation(self, job_id: UUID) -> Plan[Situation | None]:
        """One job with its surroundings, read in one snapshot; None where there is no such job."""
        ...

    def find(self, which: Filter) -> Plan[list[Job]]:
        """Jobs that match, in order of id (which is the order of creation), at most `which.limit`."""
        ...

    def tally(self, which: Filter) -> Plan[dict[tuple[str, State], int]]:
        """How many jobs match, by (queue, state)."""
        ...

    def attempts(self, job_id: UUID) -> Plan[list[Attempt]]:
        """The attempts of a job that did not simply succeed, oldest first."""
        ...

    def logs(self, job_id: UUID) -> Plan[list[LogLine]]:
        """The lines that a job's handlers wrote, oldest first."""
        ...

    def queues(self) -> Plan[list[QueueInfo]]:
        """Every queue that has a row or a job, by name, with its counts by state."""
        ...

    def events(self, after: tuple[str, int] | None = None, limit: int = 1000) -> Plan[list[LoggedEvent]]:
        """A page of the event log: in order of (record, number), behind `after`.

        Where the store keeps one, each committed change of a job, a worker or a queue has its line, written
        in the same transaction; a renewal, progress, and a change that leaves all facts as they were have
        none. Lines of one record are numbered without gaps in the order of their commits, and the last one
        says what the row says; between records there is no order. Raises BadSetting where there never was
        a log.
        """
        ...

    def meta(self) -> Plan[dict[str, str]]:
        """The store's own facts: instance id, schema step, and its clock as `now_us`."""
        ...

    def inspect(
        self, scan: str, bounds: Bounds = USUAL_BOUNDS, after: Any = None, limit: int = 10_000
    ) -> Plan[Portion]:
        """One portion of one of the scans of `model.invariant.SCANS`: about `limit` rows behind `after`.

        Reads along one index; each invariant is judged within one statement, so within one snapshot.
        """
        ...

    def offenders(self, bounds: Bounds = USUAL_BOUNDS) -> Plan[dict[str, list[str]]]:
        """All scans from end to end: every invariant with the ids that break it (at most 20)."""
        ...

    def check(self) -> Plan[dict[str, Any]]:
        """Engine facts for `doctor`: version and durability, and what looks wrong among them, by settings only."""
        ...

    def holders(self, limits: HolderLimits = USUAL_LIMITS) -> Plan[list[Holder]]:
        """Who has held back the cleaning of the store for longer, or by more, than that."""
        ...

    def lacking(self) -> Plan[list[str]]:
        """Indexes and constraints that the schema has by its steps and the store has not, or does not use."""
        ...

    def sizes(self) -> Plan[list[Size]]:
        """How large the tables are, as far as the engine keeps count; reads no rows."""
        ...

    def integrity(self) -> Plan[list[str]]:
        """What is wrong with the pages of the store, where the engine can say; may read all of them."""
        ...
