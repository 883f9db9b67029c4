"""What must be true when a run is over, each as a function from the history to the sentences that break it.

A sentence names the job and the few events that prove it. No rule of the product is used: what may be is
read from what clients asked for, from what handlers saw and from the ledger that the store kept by itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from uuid import UUID

from tests.chaos.history import ROLLED_BACK, History
from tests.chaos.ledger import Entry
from tests.processes.witness import Word

FINAL = ("succeeded", "failed", "cancelled")
ENDS = {
    "value": "succeeded",
    "second": "succeeded",
    "snooze": "succeeded",
    "heed": "succeeded",
    "fail": "failed",
    "never": "failed",
    "cancel": "cancelled",
    "overtime": "failed",
    "die": "failed",
}
CONVICTIONS = ("crash_limit", "lost_limit")
"""The storm itself can bring a job here, however it would have ended."""


def lost(history: History) -> Iterator[str]:
    """Every acknowledged job exists; what was rolled back does not; several in one call are there all or none."""
    for call in history.calls:
        there = [job_id for job_id in call.jobs if job_id in history.jobs]
        if call.enqueues and call.is_acknowledged and len(there) < len(call.jobs):
            missing = [str(job_id) for job_id in call.jobs if job_id not in history.jobs]
            yield f"lost: {call.call} was acknowledged, and there is no {', '.join(missing[:3])}"
        elif call.enqueues and 0 < len(there) < len(call.jobs):
            yield f"torn: {call.call} is there in part, {len(there)} of {len(call.jobs)}"
        elif call.kind == ROLLED_BACK and there:
            yield f"not rolled back: {call.call} left job {there[0]}"


def invented(history: History) -> Iterator[str]:
    """No job exists that nobody asked for; a follow-up exists where its parent succeeded, and only there."""
    asked = {job_id for call in history.calls for job_id in call.jobs}
    follows: dict[UUID, UUID] = {
        UUID(facts["then"]): job_id
        for call in history.calls
        for job_id, facts in call.jobs.items()
        if "then" in facts
    }
    for job_id in history.jobs:
        if job_id not in asked and job_id not in follows:
            yield f"invented: nobody asked for job {job_id}"
    for follower, parent in follows.items():
        succeeded = parent in history.jobs and history.jobs[parent].state == "succeeded"
        if succeeded and follower not in history.jobs:
            yield f"lost: job {parent} succeeded and its follow-up {follower} is not there"
        if not succeeded and follower in history.jobs:
            yield f"invented: follow-up {follower} is there, and its parent {parent} did not succeed"


def refused(history: History) -> Iterator[str]:
    """No client was told anything but yes, or that the store is away."""
    for call in history.calls:
        for error in call.refusals:
            yield f"refused: {call.call} ({call.kind}) was told {error}"


def stuck(history: History) -> Iterator[str]:
    """Everything has ended."""
    for job in history.jobs.values():
        if not job.is_final:
            yield f"stuck: job {job.id} is {job.state} ({job.reason}), fence {job.fence}, alarm {job.wake_at}"


def doubled(history: History) -> Iterator[str]:
    """By the ledger: one ending per job, nothing after it, and a fence that rises by one at each claim alone."""
    life: dict[UUID, list[Entry]] = defaultdict(list)
    for entry in history.ledger:
        life[entry.job].append(entry)
    for job_id, entries in life.items():
        endings = [entry for entry in entries if entry.target in FINAL]
        if len(endings) > 1:
            yield f"doubled: job {job_id} ended {len(endings)} times: {_told(endings)}"
        last: Entry | None = None
        for entry in entries:
            if last is None and entry.source is not None:
                yield f"invented: job {job_id} begins with {_told([entry])}"
            elif last is not None and (entry.source != last.target or last.target in FINAL):
                yield f"doubled: job {job_id} was {last.target}, and then {_told([entry])}"
            before = last.fence if last else 0
            is_claim = entry.target == "running" and entry.source != "running"
            if entry.fence != before + is_claim:
                yield f"fence: job {job_id} went from fence {before} by {_told([entry])}"
            last = entry


def unclaimed(history: History) -> Iterator[str]:
    """No handler started without a claim by its own worker, or twice under one."""
    claims = {(entry.job, entry.fence): entry.worker for entry in history.ledger if entry.target == "running"}
    seen: set[tuple[UUID, int]] = set()
    for word in history.words:
        if word.what != "start":
            continue
        key = (word.job, word.fence)
        if key not in claims:
            yield f"unclaimed: job {word.job} started under fence {word.fence}, which nobody claimed"
        elif claims[key] != word.worker:
            yield f"unclaimed: job {word.job} was claimed by {claims[key]} and started by {word.worker}"
        if key in seen:
            yield f"doubled: job {word.job} started twice under fence {word.fence}"
        seen.add(key)


def unaccounted(history: History) -> Iterator[str]:
    """Each start is the one that ended the job, or has a row of its own; a success has a handler that returned."""
    returned = {
        (word.job, word.fence)
        for word in history.words
        if word.what == "end" and word.more["how"] == "returned"
    }
    for word in history.words:
        if word.what != "start" or word.job not in history.jobs:
            continue
        if history.jobs[word.job].fence != word.fence and (word.job, word.fence) not in history.attempts:
            yield f"unaccounted: job {word.job} started under fence {word.fence}, and no row tells of it"
    for job in history.jobs.values():
        if job.state == "succeeded" and (job.id, job.fence) not in returned:
            yield f"unaccounted: job {job.id} succeeded under fence {job.fence}, and its handler did not return"


def affected(history: History) -> Iterator[str]:
    """An effect in one transaction with the ending is there once if the job succeeded, else not at all."""
    had = Counter(job for job, _ in history.effects)
    for job in history.jobs.values():
        wanted = int(job.state == "succeeded" and job.task.endswith("work_inside"))
        if had[job.id] != wanted:
            yield f"effects: job {job.id} is {job.state} and had {had[job.id]} effects"


def otherwise(history: History) -> Iterator[str]:
    """Jobs ended as they were told, unless the storm, a cancel or an expiry gave the reason."""
    cancelled = {
        job_id: call.is_acknowledged and call.answer is True
        for call in history.calls
        if call.kind == "cancel"
        for job_id in call.jobs
    }
    for call in history.calls:
        for job_id, facts in call.jobs.items():
            job = history.jobs.get(job_id)
            if job is None or not job.is_final or "ending" not in facts:
                continue
            excused = job.reason in CONVICTIONS
            excused |= job.state == "cancelled" and job_id in cancelled
            excused |= job.reason == "expired" and "expires" in facts
            if job.state != ENDS[facts["ending"]] and not excused:
                yield f"otherwise: job {job_id}, told {facts['ending']}, is {job.state} ({job.reason})"
            if cancelled.get(job_id) and job.state != "cancelled":
                yield f"otherwise: job {job_id} was cancelled, acknowledged, and is {job.state} ({job.reason})"
    started = {word.job for word in history.words if word.what == "start"}
    for job in history.jobs.values():
        if job.reason == "expired" and job.id in started:
            yield f"otherwise: job {job.id} expired, and had started"


def overlaps(history: History) -> list[tuple[Word, Word]]:
    """(start, word): an attempt started, and one before it of the same job said something afterwards."""
    latest: dict[UUID, Word] = {}
    found: list[tuple[Word, Word]] = []
    for word in sorted(history.words, key=lambda word: word.at):
        last = latest.get(word.job)
        if last is not None and word.fence < last.fence:
            found.append((last, word))
        elif word.what == "start":
            latest[word.job] = word
    return found


def overlapping(history: History) -> Iterator[str]:
    """Two attempts ran at once only where the earlier one's worker had lost its lease, or had given it up as
    timed out: a thread cannot be ended, so its child is replaced."""
    for start, word in overlaps(history):
        attempt = history.attempts.get((word.job, word.fence))
        worker = history.workers.get(word.worker)
        if attempt is not None and attempt.outcome == "timed_out":
            continue
        if worker is None or worker.ended_at is None:
            yield (
                f"overlap: job {word.job}, fence {word.fence} said {word.what} {word.at - start.at:.2f} s after"
                f" fence {start.fence} had started, and worker {word.worker} had not lost its lease"
                f" (attempt: {attempt.outcome if attempt else None}, {attempt.reason if attempt else None})"
            )


CHECKS: tuple[Callable[[History], Iterator[str]], ...] = (
    lost,
    invented,
    refused,
    stuck,
    doubled,
    unclaimed,
    unaccounted,
    affected,
    otherwise,
    overlapping,
)


def broken(history: History) -> list[str]:
    """Every sentence of every check."""
    return [sentence for check in CHECKS for sentence in check(history)]


def counted(sentences: list[str]) -> Counter[str]:
    """How many sentences there are of each sort."""
    return Counter(sentence.partition(":")[0] for sentence in sentences)


def _told(entries: list[Entry]) -> str:
    return "; ".join(
        f"{entry.source} to {entry.target}, fence {entry.fence}, verdict {entry.verdict}, at {entry.at:.3f}"
        for entry in entries
    )
