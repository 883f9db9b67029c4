"""arq: Redis, asyncio; a job leaves its sorted set when it has ended."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

from typing import Any

from benchmarks.peer import Peer
from benchmarks.stamps import stamp


async def empty(context: dict[str, Any], n: int) -> None:
    """The job."""
    stamp(n)


class ArqPeer(Peer):
    name = "arq"
    packages = ("arq", "uvloop", "hiredis")
    store = "redis"
    settings = "max_jobs=100, poll_delay=0.01, keep_result=0, uvloop"
    expected = 1000
    can_enqueue_concurrently = True

    async def open(self) -> None:
        from arq import create_pool
        from arq.connections import RedisSettings

        self._pool = await create_pool(RedisSettings.from_dsn(self.url))

    async def close(self) -> None:
        await self._pool.aclose()

    async def enqueue(self, n: int) -> None:
        await self._pool.enqueue_job("empty", n)

    aenqueue = enqueue

    async def unfinished(self) -> int:
        return int(await self._pool.zcard("arq:queue"))

    def work(self, processes: int) -> None:
        import uvloop
        from arq.connections import RedisSettings
        from arq.worker import Worker

        async def run() -> None:
            settings = RedisSettings.from_dsn(self.url)
            worker = Worker(
                functions=[empty], redis_settings=settings, max_jobs=100, poll_delay=0.01, keep_result=0
            )
            await worker.async_run()

        uvloop.run(run())
