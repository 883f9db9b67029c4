"""RQ: Redis, one job after the other; the worker that does not fork for each job, results dropped."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peer import Peer
from benchmarks.stamps import stamp


def empty(n: int) -> None:
    """The job."""
    stamp(n)


class RQPeer(Peer):
    name = "rq"
    packages = ("rq", "redis", "hiredis")
    store = "redis"
    settings = "SimpleWorker (no fork per job), result_ttl=0"
    modes = ("sync",)
    expected = 150
    can_enqueue_many = True

    async def open(self) -> None:
        import redis
        from rq import Queue

        self._redis = redis.Redis.from_url(self.url)
        self._queue = Queue(connection=self._redis)

    async def enqueue(self, n: int) -> None:
        self._queue.enqueue("benchmarks.peers.rq.empty", n, result_ttl=0)

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        from rq import Queue

        path = "benchmarks.peers.rq.empty"
        self._queue.enqueue_many([Queue.prepare_data(path, (n,), result_ttl=0) for n in numbers])

    async def unfinished(self) -> int:
        return int(self._redis.llen("rq:queue:default")) + int(self._redis.zcard("rq:wip:default"))

    def work(self, processes: int) -> None:
        import redis
        from rq import Queue, SimpleWorker

        connection = redis.Redis.from_url(self.url)
        SimpleWorker([Queue(connection=connection)], connection=connection).work(logging_level="WARNING")
