"""What runs inside a peer's environment: a client that takes orders, or a worker.

`python -m benchmarks.agent client NAME URL MODE` reads one JSON object per line and answers each with one:
{"do": "one", "first": 0, "seconds": 2.0} and so on, the methods of `Client`. Moments are nanoseconds of
CLOCK_MONOTONIC, which all processes of a machine share. Standard library only, beside the peer itself. A
failure is answered as {"error": …} and the agent goes on.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import sys
import time
import traceback
from typing import Any

from benchmarks.peer import Peer
from benchmarks.peers import find

CHUNK = 10_000


class Client:
    """The orders a client understands; each answers a dict."""

    def __init__(self, peer: Peer):
        self._peer = peer

    async def prepare(self) -> dict[str, Any]:
        """Make the tables, then connect."""
        await asyncio.to_thread(self._peer.prepare)
        return await self.open()

    async def open(self) -> dict[str, Any]:
        """Connect to a store that is ready."""
        await self._peer.open()
        return {}

    async def one(self, first: int, seconds: float) -> dict[str, Any]:
        """One after another for so long."""
        peer = self._peer
        began, cpu = time.perf_counter(), time.process_time()
        until = began + seconds
        n = first
        while time.perf_counter() < until:
            await peer.enqueue(n)
            n += 1
        return _account(n - first, began, cpu)

    async def concurrent(self, first: int, seconds: float, callers: int) -> dict[str, Any]:
        """So many coroutines, each one after another, for so long."""
        numbers = itertools.count(first)
        began, cpu = time.perf_counter(), time.process_time()
        until = began + seconds

        async def caller() -> int:
            done = 0
            while time.perf_counter() < until:
                await self._peer.aenqueue(next(numbers))
                done += 1
            return done

        done = await asyncio.gather(*(caller() for _ in range(callers)))
        return _account(sum(done), began, cpu)

    async def bulk(self, first: int, jobs: int, seconds: float) -> dict[str, Any]:
        """`jobs` per call, as many calls as fit into about so long, two at least."""
        began, cpu = time.perf_counter(), time.process_time()
        calls = 0
        while calls < 2 or time.perf_counter() < began + seconds:
            await self._peer.enqueue_many(range(first, first + jobs))
            first += jobs
            calls += 1
        return _account(calls * jobs, began, cpu)

    async def fill(self, first: int, jobs: int) -> dict[str, Any]:
        """Enqueue so many, however the peer does it best."""
        for start in range(first, first + jobs, CHUNK):
            await self._peer.enqueue_many(range(start, min(start + CHUNK, first + jobs)))
        return {}

    async def probe(self, first: int, samples: int, interval: float) -> dict[str, Any]:
        """Enqueue one, wait, and again; answers when each call began."""
        moments: list[int] = []
        for n in range(first, first + samples):
            moments.append(time.monotonic_ns())
            await self._peer.enqueue(n)
            await asyncio.sleep(interval)
        return {"moments": moments}

    async def load(self, first: int, rate: float, seconds: float) -> dict[str, Any]:
        """Enqueue at this rate, in groups every 20 ms; what could not be kept up with shows in the answer."""
        began, cpu = time.perf_counter(), time.process_time()
        n = first
        while (passed := time.perf_counter() - began) < seconds:
            due = int(rate * passed) - (n - first)
            if due > 0:
                due = min(due, CHUNK)
                await self._peer.enqueue_many(range(n, n + due))
                n += due
            await asyncio.sleep(max(0.001, 0.02 - (time.perf_counter() - began - passed)))
        return _account(n - first, began, cpu)

    async def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """Something that only this peer can do: its method of that name."""
        answer: dict[str, Any] = await getattr(self._peer, what)(**details)
        return answer

    async def unfinished(self) -> dict[str, Any]:
        """How many jobs have not ended."""
        return {"jobs": await self._peer.unfinished()}


def _account(jobs: int, began: float, cpu: float) -> dict[str, Any]:
    return {
        "jobs": jobs,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
    }


async def serve(peer: Peer) -> None:
    """Take orders until the input ends."""
    client = Client(peer)
    lines = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        order: dict[str, Any] = json.loads(line)
        try:
            answer = await getattr(client, order.pop("do"))(**order)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    await peer.close()


def main() -> None:
    role, name, url, mode, *rest = sys.argv[1:]
    peer = find(name)(url, mode)
    if role == "work":
        peer.work(int(rest[0]))
        return
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ImportError:
        asyncio.run(serve(peer))
    else:
        uvloop.run(serve(peer))


if __name__ == "__main__":
    main()
