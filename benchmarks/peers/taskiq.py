"""Taskiq: a Redis stream with a consumer group; no result backend."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import sys
from functools import cache
from typing import Any

from benchmarks.peer import Peer, place
from benchmarks.stamps import stamp


@cache
def make(url: str) -> tuple[Any, Any]:
    """The broker and its task."""
    from taskiq_redis import RedisStreamBroker

    broker = RedisStreamBroker(url)

    @broker.task(task_name="empty")
    async def empty(n: int) -> None:
        stamp(n)

    return broker, empty


def __getattr__(name: str) -> Any:
    if name == "broker":
        return make(place()[0])[0]
    raise AttributeError(name)


class TaskiqPeer(Peer):
    name = "taskiq"
    packages = ("taskiq", "taskiq-redis", "uvloop", "hiredis")
    store = "redis"
    settings = "Redis stream broker, no result backend, --max-async-tasks 100, uvloop"
    expected = 1300
    can_enqueue_concurrently = True

    async def open(self) -> None:
        import redis.asyncio

        self._broker, self._task = make(self.url)
        await self._broker.startup()
        self._redis = redis.asyncio.Redis.from_url(self.url)

    async def close(self) -> None:
        await self._broker.shutdown()
        await self._redis.aclose()

    async def enqueue(self, n: int) -> None:
        await self._task.kiq(n)

    aenqueue = enqueue

    async def unfinished(self) -> int:
        [group] = await self._redis.xinfo_groups("taskiq")
        return int(group["lag"] or 0) + int(group["pending"])

    @classmethod
    def workers(cls, url: str, mode: str, processes: int) -> list[list[str]]:
        run = ["worker", "benchmarks.peers.taskiq:broker", "--workers", str(processes)]
        return [[sys.executable, "-m", "taskiq", *run, "--max-async-tasks", "100", "--log-level", "WARNING"]]
