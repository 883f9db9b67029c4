"""Celery: Redis, a pool of forked processes; what is taken stays in a hash until it is acknowledged, after it ran."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import sys
from functools import cache
from typing import Any

from benchmarks.peer import Peer, place
from benchmarks.stamps import stamp


@cache
def make(url: str) -> tuple[Any, Any]:
    """The application and its task."""
    from celery import Celery

    app = Celery("bench", broker=url)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        worker_prefetch_multiplier=128,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
    )

    @app.task(name="empty")
    def empty(n: int) -> None:
        stamp(n)

    return app, empty


def __getattr__(name: str) -> Any:
    if name == "app":
        return make(place()[0])[0]
    raise AttributeError(name)


class CeleryPeer(Peer):
    name = "celery"
    packages = ("celery", "redis", "hiredis", "packaging")
    store = "redis"
    settings = (
        "Redis broker, acks_late, ignore_result, prefetch multiplier 128, prefork, -O fair,"
        " without gossip, mingle and heartbeat"
    )
    modes = ("sync",)
    expected = 500

    async def open(self) -> None:
        import redis

        _, self._task = make(self.url)
        self._redis = redis.Redis.from_url(self.url)

    async def enqueue(self, n: int) -> None:
        self._task.delay(n)

    async def unfinished(self) -> int:
        return int(self._redis.llen("celery")) + int(self._redis.hlen("unacked"))

    @classmethod
    def workers(cls, url: str, mode: str, processes: int) -> list[list[str]]:
        less = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-O", "fair"]
        run = ["worker", "-P", "prefork", "-c", str(processes), "--loglevel", "WARNING", *less]
        return [[sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery:app", *run]]
