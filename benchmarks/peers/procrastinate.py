"""Procrastinate: PostgreSQL, LISTEN/NOTIFY, one statement per job taken and one per job ended."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from benchmarks.peer import Peer
from benchmarks.stamps import stamp


@cache
def make(url: str) -> Any:
    """The application and its tasks."""
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task(name="async")
    async def empty_async(n: int) -> None:
        stamp(n)

    @app.task(name="sync")
    def empty_sync(n: int) -> None:
        stamp(n)

    return app


class ProcrastinatePeer(Peer):
    name = "procrastinate"
    packages = ("procrastinate", "uvloop")
    settings = "PsycopgConnector with its pool, concurrency=20, listen_notify, delete_jobs=never, uvloop"
    modes = ("async", "sync")
    expected = 300
    can_enqueue_concurrently = True
    can_enqueue_many = True

    def prepare(self) -> None:
        app = make(self.url)
        with app.open():
            app.schema_manager.apply_schema()
        make.cache_clear()

    async def open(self) -> None:
        self._app = make(self.url)
        await self._app.open_async()
        self._task = self._app.tasks[self.mode]

    async def close(self) -> None:
        await self._app.close_async()

    async def enqueue(self, n: int) -> None:
        await self._task.defer_async(n=n)

    aenqueue = enqueue

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        await self._task.batch_defer_async(*({"n": n} for n in numbers))

    async def unfinished(self) -> int:
        row = await self._app.connector.execute_query_one_async(
            "SELECT count(*) AS unfinished FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
        )
        return int(row["unfinished"])

    def work(self, processes: int) -> None:
        import uvloop

        async def run() -> None:
            app = make(self.url)
            async with app.open_async():
                await app.run_worker_async(concurrency=20, delete_jobs="never", listen_notify=True)

        uvloop.run(run())
