"""A page shared between the harness and every handler: when did job number n start?

The file holds one little-endian int64 per job, nanoseconds of CLOCK_MONOTONIC, 0 for "not yet". Handlers of all
peers call `stamp(n)` and do nothing else; it costs some 200 ns, for everyone alike. The harness reads from
it when the first job started, whether all have, and how long each took from its enqueueing. Standard library
only: it is imported in each peer's own environment.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

PLACE = "UNSTUCK_BENCH_STAMPS"
"""The environment variable that names the file to the workers."""

_ONE = struct.Struct("<q")
_pack = _ONE.pack_into
_page: mmap.mmap | None = None


def stamp(n: int) -> None:
    """Say that job number `n` starts now."""
    _pack(_page or _open(), n * 8, time.monotonic_ns())


def _open() -> mmap.mmap:
    global _page
    if _page is None:
        descriptor = os.open(os.environ[PLACE], os.O_RDWR)
        _page = mmap.mmap(descriptor, 0)
        os.close(descriptor)
    return _page


class Stamps:
    """The harness's side of the page."""

    def __init__(self, path: Path, jobs: int):
        self.path = path
        with path.open("wb") as file:
            file.truncate(jobs * 8)
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 0)
        self._moments = memoryview(self._page).cast("q")
        self._reached = 0

    def started(self, jobs: int, first: int = 0) -> bool:
        """Whether all of `jobs` from number `first` on have started; cheap to ask again."""
        n = max(self._reached, first)
        moments, end = self._moments, first + jobs
        while n < end and moments[n]:
            n += 1
        self._reached = n
        return n >= end

    def moments(self, jobs: int, first: int = 0) -> list[int]:
        """When each started, 0 for those that have not."""
        return self._moments[first : first + jobs].tolist()

    def first(self, jobs: int) -> int:
        """The moment of the first start among the first `jobs`, 0 before there is one."""
        return min((moment for moment in self._moments[:jobs] if moment), default=0)

    def anyone(self, jobs: int) -> bool:
        """Whether any of the first `jobs` has started: looks at a few that are first in line."""
        return any(self._moments[: min(jobs, 2000)])

    def close(self) -> None:
        self._moments.release()
        self._page.close()
        self.path.unlink(missing_ok=True)
