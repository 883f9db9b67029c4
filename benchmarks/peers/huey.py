"""Huey: Redis or SQLite; no lease, no record of an ending (results are off, as its documentation advises for speed).

A job leaves the store as it is taken, so "unfinished" is what still waits; the end of the last handler ends the run.
"""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from benchmarks.peer import Peer
from benchmarks.stamps import stamp


@cache
def make(url: str) -> tuple[Any, Any]:
    """The instance and its task."""
    from huey import RedisHuey, SqliteHuey

    if url.startswith("sqlite"):
        huey: Any = SqliteHuey(
            "bench", filename=url.removeprefix("sqlite:///"), fsync=True, results=False, utc=True
        )
    else:
        huey = RedisHuey("bench", url=url, results=False)

    @huey.task()
    def empty(n: int) -> None:
        stamp(n)

    return huey, empty


class HueyPeer(Peer):
    name = "huey"
    packages: ClassVar[tuple[str, ...]] = ("huey", "redis", "hiredis")
    store = "redis"
    settings = "RedisHuey, results=False; consumer with 4 threads, default delays"
    modes = ("sync",)
    expected = 1500

    async def open(self) -> None:
        self._huey, self._task = make(self.url)

    async def enqueue(self, n: int) -> None:
        self._task(n)

    async def unfinished(self) -> int:
        return int(self._huey.pending_count())

    def work(self, processes: int) -> None:
        huey, _ = make(self.url)
        huey.create_consumer(workers=4, worker_type="thread", periodic=False).run()


class HueyOnSQLite(HueyPeer):
    name = "huey-sqlite"
    environment = "huey"
    packages = ("huey",)
    store = "sqlite"
    settings = "SqliteHuey, fsync=True, WAL, results=False; consumer with 4 threads, default delays"
    expected = 2000
