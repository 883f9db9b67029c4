"""A worker's settings, checked together; from them follows R, the published bound of recovery.

R = lease + 2 × sweep + poll, counted from the later of the lease's end and the first healthy worker.
All durations here are seconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from unstuck.model.errors import BadSetting


@dataclass(frozen=True, slots=True)
class QueueShare:
    """A queue that a worker serves, and how many of its jobs run at once in each child (None: no limit)."""

    name: str
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What `unstuck worker` takes; the defaults are the design's.

    `concurrency` coroutines, `threads` plain functions and `isolated` processes run at once per child.
    `grace` is how long running jobs may take to finish at a stop, `timeout_grace` how long a timed-out
    handler may take to give up, `stall_limit` when a child that does not tick is killed if nothing in
    it has a timeout.
    """

    queues: tuple[QueueShare, ...] = (QueueShare("default"),)
    lease: float = 30.0
    sweep: float = 5.0
    poll: float = 1.0
    grace: float = 30.0
    timeout_grace: float = 5.0
    stall_limit: float = 3600.0
    processes: int = 1
    concurrency: int = 50
    threads: int = 10
    isolated: int = max(2, os.cpu_count() or 2)

    def __post_init__(self) -> None:
        for name in ("lease", "sweep", "poll"):
            if getattr(self, name) <= 0:
                raise BadSetting(f"{name} must be more than 0 seconds")
        if self.lease < 3 * self.poll:
            raise BadSetting(
                f"a lease of {self.lease:g} s is shorter than three polls of {self.poll:g} s:"
                " a worker could lose its jobs between two looks"
            )
        if self.grace < 0 or self.timeout_grace < 0 or self.stall_limit <= 0:
            raise BadSetting("grace, timeout grace and stall limit cannot be negative")
        for name in ("processes", "concurrency", "threads", "isolated"):
            if getattr(self, name) < 1:
                raise BadSetting(f"{name} must be 1 or more")
        names = [share.name for share in self.queues]
        if not names:
            raise BadSetting("a worker needs at least one queue")
        if len(set(names)) != len(names):
            raise BadSetting("a queue is named twice")

    @property
    def recovery_bound(self) -> float:
        """R, in seconds."""
        return self.lease + 2 * self.sweep + self.poll

    @property
    def lease_us(self) -> int:
        """The lease in microseconds, as the store takes it."""
        return int(self.lease * 1_000_000)

    @property
    def renew_every(self) -> float:
        """Seconds between renewals: five in a lease, so that two may fail without anybody noticing."""
        return self.lease / 5

    @property
    def deadline(self) -> float:
        """Seconds that a control statement may take before its socket is closed hard."""
        return self.lease / 6
