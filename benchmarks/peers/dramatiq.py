"""Dramatiq: Redis, threads; a message stays in a hash until it is acknowledged."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import sys
from functools import cache
from typing import Any

from benchmarks.peer import Peer, place
from benchmarks.stamps import stamp


@cache
def make(url: str) -> tuple[Any, Any]:
    """The broker and its actor."""
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=url)
    dramatiq.set_broker(broker)

    @dramatiq.actor(actor_name="empty")
    def empty(n: int) -> None:
        stamp(n)

    return broker, empty


def __getattr__(name: str) -> Any:
    if name == "broker":
        return make(place()[0])[0]
    raise AttributeError(name)


class DramatiqPeer(Peer):
    name = "dramatiq"
    packages = ("dramatiq", "redis", "hiredis")
    store = "redis"
    settings = "RedisBroker, default middleware, no result backend, 8 threads per process"
    modes = ("sync",)
    expected = 1500

    async def open(self) -> None:
        self._broker, self._actor = make(self.url)

    async def enqueue(self, n: int) -> None:
        self._actor.send(n)

    async def unfinished(self) -> int:
        return int(self._broker.client.hlen("dramatiq:default.msgs"))

    @classmethod
    def workers(cls, url: str, mode: str, processes: int) -> list[list[str]]:
        module = "benchmarks.peers.dramatiq:broker"
        return [[sys.executable, "-m", "dramatiq", module, "-p", str(processes), "-t", "8"]]
