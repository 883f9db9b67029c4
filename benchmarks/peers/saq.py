"""SAQ: Redis, asyncio; results dropped at once."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

from typing import Any

from benchmarks.peer import Peer
from benchmarks.stamps import stamp


async def empty(context: dict[str, Any], *, n: int) -> None:
    """The job."""
    stamp(n)


class SAQPeer(Peer):
    name = "saq"
    packages = ("saq[redis]", "uvloop", "hiredis", "typing_extensions")
    store = "redis"
    settings = "Redis queue, concurrency=50, ttl=-1 (results dropped), uvloop"
    expected = 1400
    can_enqueue_concurrently = True

    async def open(self) -> None:
        from saq import Queue

        self._queue = Queue.from_url(self.url)
        await self._queue.connect()

    async def close(self) -> None:
        await self._queue.disconnect()

    async def enqueue(self, n: int) -> None:
        await self._queue.enqueue("empty", n=n, ttl=-1)

    aenqueue = enqueue

    async def unfinished(self) -> int:
        return int(await self._queue.count("incomplete"))

    def work(self, processes: int) -> None:
        import uvloop
        from saq import Queue, Worker

        async def run() -> None:
            queue = Queue.from_url(self.url)
            await queue.connect()
            await Worker(queue, functions=[("empty", empty)], concurrency=50).start()

        uvloop.run(run())
