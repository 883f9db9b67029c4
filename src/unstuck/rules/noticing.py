"""What should be on notice, judged from one bounded survey of the store.

A notice is the last of the three promises: where neither an owner nor an alarm has helped within R, the
system says so itself. Each finding names the queue, task or worker it is about and why, in one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence

from unstuck.model.notice import Finding, Kind
from unstuck.model.worker import Worker

SWEPT_KINDS = (
    Kind.NO_WORKER,
    Kind.NO_HANDLER,
    Kind.UNATTENDED,
    Kind.STALLED,
    Kind.UNSETTLED,
    Kind.LOCK_HELD,
    Kind.OLD_SNAPSHOT,
    Kind.SWEEP_FAILED,
)

STALL_SHOWN = 600.0
"""Seconds for which a stall of the store stays on notice after it has ended."""


def queue_finding(
    queue: str, oldest_us: int, is_paused: bool, workers: Sequence[Worker], bound_us: int
) -> Finding | None:
    """What is wrong with a queue whose oldest due job has been ready for `oldest_us`, if anything.

    A worker counts as idle once it has had a free place and claimed nothing for a quarter of the bound.
    """
    if is_paused or oldest_us <= 0:
        return None
    serving = [worker for worker in workers if queue in worker.queues and worker.draining_at is None]
    age = f"{oldest_us / 1_000_000:.0f} s"
    if not serving:
        return Finding(
            Kind.NO_WORKER, queue, f"queue {queue} has jobs due for {age} and no live worker serves it"
        )
    idle = sum(float(worker.report.get("idle", 0.0)) * 4_000_000 > bound_us for worker in serving)
    if oldest_us > bound_us and idle:
        return Finding(
            Kind.UNATTENDED,
            queue,
            f"queue {queue} has a job ready for {age} although {idle} of its workers are idle",
        )
    return None


def worker_finding(worker: Worker) -> Finding | None:
    """A child that does not tick."""
    if worker.stalled_at is None:
        return None
    return Finding(
        Kind.STALLED, str(worker.id), f"worker {worker.id} (pid {worker.pid} on {worker.host}) does not tick"
    )


def unsettled_finding(worker: Worker, bound_us: int) -> Finding | None:
    """A living worker that has held an ending for longer than the bound: its jobs seem to run and do not."""
    age = float(worker.report.get("unsettled", 0.0))
    if age * 1_000_000 <= bound_us:
        return None
    where = f"worker {worker.id} (pid {worker.pid} on {worker.host})"
    return Finding(Kind.UNSETTLED, str(worker.id), f"{where} cannot store an ending of {age:.0f} s ago")


def sweep_finding(step: str, error: Exception) -> Finding:
    """A step of the sweep fails: what it recovers stays as it is."""
    return Finding(Kind.SWEEP_FAILED, step, f"the sweep fails at {step}: {type(error).__name__}")


def stall_finding(stall: tuple[float, float] | None, now: float) -> Finding | None:
    """The store took no write for more than half a lease, not long ago; both moments in seconds."""
    if stall is None or now - stall[0] > STALL_SHOWN:
        return None
    return Finding(
        Kind.LOCK_HELD, "store", f"the store took no write for {stall[1]:.1f} s: a lock was held too long"
    )


def holder_finding(kind: str, who: str, seconds: int | None, size: int | None) -> Finding:
    """Somebody holds back the cleaning of the store: claims wade through what cannot be removed."""
    grown = "" if size is None else f" and has grown to {size / 1_048_576:,.0f} MiB"
    age = "" if seconds is None else f" for {seconds:,} s"
    sentence = {
        "session": f"session {who} has held a snapshot open{age}: dead rows cannot be removed",
        "prepared": f"the prepared transaction {who} has been open{age}: dead rows cannot be removed",
        "slot": f"the replication slot {who} holds back the log, or dead rows{grown and grown.replace(' and has', ': it has')}",
        "standby": f"the standby {who} holds back the removal of dead rows",
        "reader": f"{who} keeps a reading transaction open: the write-ahead log cannot be begun anew{grown}",
    }[kind]
    return Finding(Kind.OLD_SNAPSHOT, f"{kind} {who}", sentence)


def task_finding(task: str) -> Finding:
    """A task that jobs ask for and no live worker knows."""
    return Finding(Kind.NO_HANDLER, task, f"jobs ask for task {task} and no live worker knows it")
