"""The reference: what this machine gives for the same tables when nothing is promised beyond them.

Claims by ctid in batches of 500 from a keyset start, one task per job, endings in groups by one unnest: the
statements of the product's own layout without its engine. Fence, worker and verdict are written; leases,
timeouts, retries, signals and a second look are not there. `raw` speaks through asyncpg, `raw-psycopg` through psycopg 3
with prepared statements; enqueueing one at a time is one prepared INSERT.
"""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from typing import Any

from benchmarks.peer import Peer
from benchmarks.peers.unstuck import UNFINISHED
from benchmarks.stamps import stamp

BATCH = 500
LOW_WATER = 500

INSERT = """
INSERT INTO unstuck_jobs (id, queue, task, state, priority, line, created_at, args, codec, options, labels)
VALUES ($1, 'default', 'empty_async', 'ready', 0, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint,
    statement_timestamp(), $2, 1, '{}', '{}')
"""
INSERT_MANY = """
INSERT INTO unstuck_jobs (id, queue, task, state, priority, line, created_at, args, codec, options, labels)
SELECT v.id, 'default', 'empty_async', 'ready', 0, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint,
    statement_timestamp(), v.args, 1, '{}', '{}'
FROM unnest($1::uuid[], $2::text[]) AS v(id, args)
"""
CLAIM = """
UPDATE unstuck_jobs AS j
SET state = 'running', fence = j.fence + 1, worker_id = $1, claimed_at = statement_timestamp()
WHERE j.ctid = ANY(ARRAY(
    SELECT r.ctid FROM unstuck_jobs AS r
    WHERE r.queue = 'default' AND r.state = 'ready' AND (r.line, r.id) > ($2, $3)
    ORDER BY r.line, r.id LIMIT 500 FOR UPDATE SKIP LOCKED
))
RETURNING j.id, j.fence, j.line, j.args
"""
SETTLE = """
UPDATE unstuck_jobs AS j
SET state = 'succeeded', worker_id = NULL, verdict_id = v.said, wake_at = NULL, result = v.result,
    finished_at = statement_timestamp(), keep_until = statement_timestamp() + interval '7 days'
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[]) AS v(id, fence, said, result)
WHERE j.id = v.id AND j.fence = v.fence AND j.state = 'running'
"""
NOWHERE = (-(2**62), uuid.UUID(int=0))

Ended = tuple[uuid.UUID, int, uuid.UUID, str]


def new_id() -> uuid.UUID:
    """Rising ids, like the product's."""
    import time

    return uuid.UUID(
        int=(time.time_ns() // 1_000_000 << 80) | (7 << 76) | (uuid.uuid4().int & ((1 << 76) - 1))
    )


class Raw(Peer):
    name = "raw"
    environment = "own"
    packages = ("asyncpg",)
    settings = (
        "the product's table, claims of 500 by ctid, endings in groups, one task per job, asyncpg, uvloop"
    )
    expected = 25_000
    can_enqueue_many = True

    def prepare(self) -> None:
        command = [sys.executable, "-m", "unstuck", "--url", self.url, "migrate", "apply"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    async def open(self) -> None:
        self._fetch = await self.connect()

    async def connect(self) -> Any:
        """A function that sends a statement with $1, $2 … and answers rows."""
        import asyncpg

        connection = await asyncpg.connect(self.url)
        return connection.fetch

    async def enqueue(self, n: int) -> None:
        await self._fetch(INSERT, new_id(), f'{{"n":{n}}}')

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        await self._fetch(INSERT_MANY, [new_id() for _ in numbers], [f'{{"n":{n}}}' for n in numbers])

    async def unfinished(self) -> int:
        rows = await self._fetch(UNFINISHED)
        return int(rows[0][0])

    def work(self, processes: int) -> None:
        import uvloop

        uvloop.run(Loop(self).run())


class Loop:
    """A worker of the reference: claim while the buffer is low, one task per job, settle what ended meanwhile."""

    def __init__(self, peer: Raw):
        self._peer = peer
        self._ended: list[Ended] = []
        self._has_ended = asyncio.Event()
        self._is_low = asyncio.Event()
        self._held = 0
        self._id = uuid.uuid4()

    async def run(self) -> None:
        loops = [asyncio.create_task(self._claim()), asyncio.create_task(self._settle())]
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGTERM, lambda: [each.cancel() for each in loops]
        )
        await asyncio.gather(*loops, return_exceptions=True)

    async def _claim(self) -> None:
        fetch = await self._peer.connect()
        line, last = NOWHERE
        running: set[asyncio.Task[None]] = set()
        while True:
            rows = await fetch(CLAIM, self._id, line, last)
            if not rows:
                if (line, last) == NOWHERE:
                    await asyncio.sleep(0.005)
                line, last = NOWHERE
                continue
            rows = sorted(rows, key=lambda row: (row[2], row[0]))
            line, last = rows[-1][2], rows[-1][0]
            self._held += len(rows)
            for row in rows:
                task = asyncio.create_task(self._one(row[0], row[1], row[3]))
                running.add(task)
                task.add_done_callback(running.discard)
            self._is_low.clear()
            while self._held > LOW_WATER:
                await self._is_low.wait()
                self._is_low.clear()

    async def _one(self, job: uuid.UUID, fence: int, args: str) -> None:
        stamp(json.loads(args)["n"])
        self._ended.append((job, fence, new_id(), "null"))
        self._has_ended.set()

    async def _settle(self) -> None:
        fetch = await self._peer.connect()
        while True:
            await self._has_ended.wait()
            self._has_ended.clear()
            ended, self._ended = self._ended, []
            ended.sort()
            await fetch(SETTLE, *(list(column) for column in zip(*ended, strict=True)))
            self._held -= len(ended)
            self._is_low.set()


class RawThroughPsycopg(Raw):
    name = "raw-psycopg"
    packages = ("psycopg",)
    settings = "the same through psycopg 3, prepared; one blocking client for single enqueues"

    async def open(self) -> None:
        import psycopg

        await super().open()
        self._blocking = psycopg.connect(
            self.url, autocommit=True, prepare_threshold=0, cursor_factory=psycopg.RawCursor
        ).cursor(binary=True)

    async def enqueue(self, n: int) -> None:
        self._blocking.execute(INSERT, (new_id(), f'{{"n":{n}}}'))

    async def connect(self) -> Any:
        import psycopg

        connection = await psycopg.AsyncConnection.connect(self.url, autocommit=True, prepare_threshold=0)

        async def fetch(statement: str, *values: Any) -> list[Any]:
            cursor = psycopg.AsyncRawCursor(connection)
            await cursor.execute(statement.encode(), values, binary=True)
            return await cursor.fetchall() if cursor.description else []

        return fetch
