"""The witness: a file in which every handler writes a line before it does anything else.

It knows nothing of the store, so it can contradict it. A line is one `write` of a few dozen bytes to a
file opened with O_APPEND, which the kernel keeps whole and in order among all processes; a handler that
is killed right after it has still been seen. The reader goes on from where it stopped, and leaves a last
line alone until its end has been written.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from unstuck.engine.env import boottime


@dataclass(frozen=True, slots=True)
class Start:
    """A handler began: for this attempt, in this process, at this moment (seconds since boot)."""

    job_id: UUID
    fence: int
    pid: int
    moment: float

    @property
    def attempt(self) -> tuple[UUID, int]:
        """(job id, fence)."""
        return self.job_id, self.fence


def testify(path: str, job_id: UUID, fence: int) -> None:
    """Write that this attempt starts here and now."""
    line = f"{job_id} {fence} {os.getpid()} {boottime():.6f}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


class Witness:
    """Reads what handlers wrote, so far."""

    def __init__(self, path: Path):
        self.path = path
        self.starts: list[Start] = []
        self._jobs: set[UUID] = set()
        self._offset = 0

    def read(self) -> list[Start]:
        """Read on; answers all starts since the beginning."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return self.starts
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode().splitlines():
            job_id, fence, pid, moment = line.split()
            self.starts.append(Start(UUID(job_id), int(fence), int(pid), float(moment)))
            self._jobs.add(UUID(job_id))
        return self.starts

    @property
    def ran_again(self) -> int:
        """How many starts there were beyond one per job."""
        return len(self.starts) - len(self._jobs)
