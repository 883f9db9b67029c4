"""The balance: from what the store says, what the witness saw and what was killed, to one verdict.

Pure and separate, because it judges everything else. An attempt is (job, fence). Every start that the
witness saw must be accounted for exactly once: either it is the attempt under whose fence the job ended,
or the store has a row that says how it was lost, and that row belongs to a worker that was killed. So:

- *ran again* is the number of starts beyond one per job, from the witness alone;
- it must equal the *attempts lost by the kills*, from the store's rows alone, as far as they had started;
- *lost* is a job without a stored result; *wrong* one whose result is not what the plain computation says;
- *doubled* is a job with more than one accepted ending: it was ended and ran again without any other
  ending of the earlier start on record, was recorded as lost under the very fence that ended it, carries
  a result of another fence than its own, or was opened again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from uuid import UUID

from unstuck.demo.serial import Findings
from unstuck.demo.witness import Start
from unstuck.model.states import State
from unstuck.model.verdict import Outcome

AttemptKey = tuple[UUID, int]

LOST_BY_KILLS = frozenset({Outcome.CRASHED, Outcome.LOST, Outcome.HANDED_BACK})


@dataclass(frozen=True, slots=True)
class Kill:
    """A process was killed at `moment` (seconds since boot): these workers went, owning these attempts."""

    what: str
    pid: int
    moment: float
    workers: frozenset[UUID]
    owned: frozenset[AttemptKey]


@dataclass(frozen=True, slots=True)
class Ended:
    """A job's row at the end; `findings` and `answered_fence` are its stored result, if it has one."""

    job_id: UUID
    state: State
    generation: int
    fence: int
    findings: Findings | None = None
    answered_fence: int | None = None


@dataclass(frozen=True, slots=True)
class LostAttempt:
    """A row of `attempts`: how a try ended that did not simply succeed."""

    job_id: UUID
    fence: int
    worker_id: UUID | None
    outcome: str

    @property
    def attempt(self) -> AttemptKey:
        """(job id, fence)."""
        return self.job_id, self.fence


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long it took until the last job that a kill hit ran again; None where one never did."""

    kill: Kill
    hit: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Balance:
    """What came out. Sequences hold the jobs concerned."""

    jobs: int
    results: int
    ran_again: int
    lost_by_kills: int
    unexplained: Sequence[str]
    recoveries: Sequence[Recovery]
    lost: Sequence[UUID]
    doubled: Sequence[UUID]
    wrong: Sequence[UUID]
    changed: Sequence[UUID]

    @property
    def is_explained(self) -> bool:
        """Whether every start beyond the first is one that a kill made necessary."""
        return self.ran_again == self.lost_by_kills and not self.unexplained

    @property
    def is_even(self) -> bool:
        """Nothing lost, nothing doubled, nothing wrong, every repetition explained."""
        return self.is_explained and not (self.lost or self.doubled or self.wrong)


def balance(
    expected: Mapping[UUID, Findings],
    ended: Mapping[UUID, Ended],
    attempts: Sequence[LostAttempt],
    starts: Sequence[Start],
    kills: Sequence[Kill],
    changed: Set[UUID] = frozenset(),
) -> Balance:
    """Judge a run. `expected` has one entry per job enqueued; `changed` are jobs whose file has changed."""
    seen = Counter(start.attempt for start in starts)
    rows = {row.attempt: row for row in attempts}
    killed = frozenset[UUID]().union(*(kill.workers for kill in kills))
    by_kills = {
        key
        for key, row in rows.items()
        if row.worker_id in killed and row.outcome in LOST_BY_KILLS and key in seen
    }
    results = {key: job for key, job in ended.items() if _has_result(job)}
    differing = {key for key, job in results.items() if job.findings != expected.get(key)}
    return Balance(
        jobs=len(expected),
        results=len(results.keys() & expected.keys()),
        ran_again=len(starts) - len({start.job_id for start in starts}),
        lost_by_kills=len(by_kills),
        unexplained=_unexplained(seen, rows, by_kills, ended),
        recoveries=[_recovery(kill, rows, starts, ended) for kill in kills],
        lost=[key for key in expected if key not in results],
        doubled=[key for key in expected if key in ended and _is_doubled(ended[key], rows, seen)],
        wrong=[key for key in expected if key in differing and key not in changed],
        changed=[key for key in expected if key in differing and key in changed],
    )


def _has_result(job: Ended) -> bool:
    return job.state is State.SUCCEEDED and job.findings is not None


def _is_doubled(job: Ended, rows: Mapping[AttemptKey, LostAttempt], seen: Counter[AttemptKey]) -> bool:
    has_ended = job.state is State.SUCCEEDED
    earlier = [key for key in seen if key[0] == job.job_id and key[1] < job.fence] if job.fence > 1 else []
    return (
        job.generation > 1
        or (has_ended and (job.job_id, job.fence) in rows)
        or (job.answered_fence is not None and job.answered_fence != job.fence)
        or (has_ended and any(key not in rows for key in earlier))
    )


def _unexplained(
    seen: Counter[AttemptKey],
    rows: Mapping[AttemptKey, LostAttempt],
    by_kills: Set[AttemptKey],
    ended: Mapping[UUID, Ended],
) -> list[str]:
    """What does not add up, each in a sentence."""
    said: list[str] = []
    for (job_id, fence), times in seen.items():
        attempt = f"attempt {fence} of job {job_id}"
        job, row = ended.get(job_id), rows.get((job_id, fence))
        if times > 1:
            said.append(f"{attempt} started {times} times under one fence")
        if job is not None and fence > job.fence:
            said.append(f"{attempt} started, but the store never gave out that fence")
        elif (job is None or fence != job.fence) and (job_id, fence) not in by_kills:
            how = f"ended as {row.outcome} by no kill" if row else "has no ending on record"
            said.append(f"{attempt} started and {how}")
    said += [
        f"job {job.job_id} has a result, but no handler started under its fence {job.fence}"
        for job in ended.values()
        if _has_result(job) and (job.job_id, job.fence) not in seen
    ]
    return said


def _recovery(
    kill: Kill,
    rows: Mapping[AttemptKey, LostAttempt],
    starts: Sequence[Start],
    ended: Mapping[UUID, Ended],
) -> Recovery:
    hit = {key for key, row in rows.items() if row.worker_id in kill.workers}
    # An ending that was under way when its process died may have counted: then nothing had to run again.
    hit |= {key for key in kill.owned if key[0] not in ended or ended[key[0]].fence > key[1]}
    again: dict[AttemptKey, float] = {}
    fences = dict(hit)
    for start in starts:
        fence = fences.get(start.job_id)
        if fence is not None and start.fence > fence:
            key = start.job_id, fence
            again[key] = min(start.moment, again.get(key, start.moment))
    if not hit:
        return Recovery(kill, 0, 0.0)
    if len(again) < len(fences):
        return Recovery(kill, len(hit), None)
    return Recovery(kill, len(hit), max(again.values()) - kill.moment)
