"""DBOS: durable workflows on PostgreSQL; an enqueued workflow is claimed by a poll and recorded step by step."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import os
import signal
import threading
from typing import Any

from benchmarks.peer import Peer
from benchmarks.stamps import stamp

QUEUE, APPLICATION, VERSION = "bench", "bench", "1"


def make(url: str) -> Any:
    """The application of a worker, with its workflows, not launched yet."""
    from dbos import DBOS

    application = DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": url,
            "application_version": VERSION,
            "executor_id": f"{APPLICATION}-{os.getpid()}",
            "console_log_level": "ERROR",
        }
    )

    @DBOS.workflow(name="async")
    async def empty_async(n: int) -> None:
        stamp(n)

    @DBOS.workflow(name="sync")
    def empty_sync(n: int) -> None:
        stamp(n)

    return application


class DBOSPeer(Peer):
    name = "dbos"
    packages = ("dbos",)
    settings = "one queue, worker_concurrency=100, polled every 0.1 s, empty workflows without steps"
    modes = ("async", "sync")
    expected = 150
    can_enqueue_concurrently = True

    def prepare(self) -> None:
        from dbos import DBOS

        make(self.url)
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=100, polling_interval_sec=0.1)
        DBOS.destroy()

    async def open(self) -> None:
        from dbos import DBOSClient

        self._client = DBOSClient(system_database_url=self.url)

    async def close(self) -> None:
        self._client.destroy()

    async def enqueue(self, n: int) -> None:
        self._client.enqueue(self._options(), n)

    async def aenqueue(self, n: int) -> None:
        await self._client.enqueue_async(self._options(), n)

    def _options(self) -> Any:
        return {
            "queue_name": QUEUE,
            "workflow_name": self.mode,
            "app_version": VERSION,
            "application_name": APPLICATION,
        }

    async def unfinished(self) -> int:
        found = await self._client.list_queued_workflows_async(limit=1)
        return len(found)

    def work(self, processes: int) -> None:
        from dbos import DBOS

        make(self.url)
        DBOS.launch()
        asked_to_leave = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: asked_to_leave.set())
        asked_to_leave.wait()
        DBOS.destroy()
