"""PgQueuer: PostgreSQL, asyncio, batches; ended jobs go to a log table."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from benchmarks.peer import Peer
from benchmarks.stamps import stamp


class PgQueuerPeer(Peer):
    name = "pgqueuer"
    packages = ("pgqueuer[asyncpg]", "uvloop")
    settings = "asyncpg pool driver, batch_size=500, uvloop; log table kept; plain functions by asyncio.to_thread, as it asks for"
    modes = ("async", "sync")
    expected = 8000
    can_enqueue_concurrently = True
    can_enqueue_many = True

    def prepare(self) -> None:
        import asyncpg
        from pgqueuer.db import AsyncpgDriver
        from pgqueuer.queries import Queries

        async def install() -> None:
            connection = await asyncpg.connect(self.url)
            await Queries(AsyncpgDriver(connection)).install()
            await connection.close()

        asyncio.run(install())

    async def open(self) -> None:
        import asyncpg
        from pgqueuer.db import AsyncpgPoolDriver
        from pgqueuer.queries import Queries

        self._pool = await asyncpg.create_pool(self.url, min_size=2, max_size=10)
        self._queries = Queries(AsyncpgPoolDriver(self._pool))

    async def close(self) -> None:
        await self._pool.close()

    async def enqueue(self, n: int) -> None:
        await self._queries.enqueue(self.mode, b"%d" % n)

    aenqueue = enqueue

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        many = len(numbers)
        await self._queries.enqueue([self.mode] * many, [b"%d" % n for n in numbers], [0] * many)

    async def unfinished(self) -> int:
        return int(await self._pool.fetchval("SELECT count(*) FROM pgqueuer"))

    def work(self, processes: int) -> None:
        import asyncpg
        import uvloop
        from pgqueuer import PgQueuer
        from pgqueuer.db import AsyncpgPoolDriver
        from pgqueuer.models import Job

        async def run() -> None:
            pool = await asyncpg.create_pool(self.url, min_size=2, max_size=10)
            queuer = PgQueuer(AsyncpgPoolDriver(pool))

            @queuer.entrypoint("async")
            async def empty_async(job: Job) -> None:
                stamp(int(job.payload or b"0"))

            @queuer.entrypoint("sync")
            async def empty_sync(job: Job) -> None:
                await asyncio.to_thread(stamp, int(job.payload or b"0"))

            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, queuer.shutdown.set)
            await queuer.run(batch_size=500)

        uvloop.run(run())
