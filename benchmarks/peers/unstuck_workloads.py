"""This project with work that is not empty: payloads, handlers that take time, retries, an event log, many clients.

For `python -m benchmarks growth` and `workloads`; the mode is the name of the task. `-events` keeps an event
log, `-quiet` sends no hints, so that their price can be seen.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar

from benchmarks.peer import place
from benchmarks.peers.unstuck import Unstuck
from benchmarks.stamps import stamp

KILOBYTE = "An order says something about itself, as orders do. " * 19
ANSWER = "Two hundred bytes of an answer. " * 6


@cache
def make(url: str, event_log: bool = False) -> Any:
    """The application of these workloads."""
    from unstuck import App, Retry, current

    app = App(url, event_log=event_log)

    @app.task(name="empty")
    async def empty(n: int) -> None:
        stamp(n)

    @app.task(name="sized")
    async def sized(n: int, text: str) -> str:
        stamp(n)
        return ANSWER

    @app.task(name="ten")
    async def ten(n: int) -> None:
        stamp(n)
        await asyncio.sleep(0.010)

    @app.task(name="mixed")
    async def mixed(n: int) -> None:
        stamp(n)
        if n % 100 == 0:
            await asyncio.sleep(5)

    @app.task(name="again")
    async def again(n: int) -> None:
        if current().attempt == 1:
            raise Retry(after="1s")
        stamp(n)

    return app


def __getattr__(name: str) -> Any:
    if name in ("app", "app_with_events"):
        return make(place()[0], name == "app_with_events")
    raise AttributeError(name)


class UnstuckWorkloads(Unstuck):
    name = "unstuck-workloads"
    modes: ClassVar[tuple[str, ...]] = ("empty",)
    attribute: ClassVar[str] = "app"

    def prepare(self) -> None:
        self._make().keeper.migrator.apply()

    def _make(self) -> Any:
        return make(self.url, self.attribute == "app_with_events")

    async def open(self) -> None:
        self._app = self._make()
        self._task = self._app.tasks[self.mode]
        self._watch = self._connect()

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        more = (KILOBYTE,) if self.mode == "sized" else ()
        self._app.enqueue_many(self._task.spec(n, *more) for n in numbers)

    async def claims(self, times: int, limit: int, queue: str = "default") -> dict[str, Any]:
        """Claim and settle so many times, as a worker would; milliseconds of each."""
        from unstuck.model.ids import uuid7
        from unstuck.model.states import Event
        from unstuck.model.verdict import Verdict
        from unstuck.model.worker import NewWorker
        from unstuck.storage.protocol import Cursor

        keeper = self._app.keeper
        store = keeper.store
        week_us = 7 * 24 * 3_600_000_000
        me = NewWorker(uuid7(), "solo", None, "here", 1, 3_600_000_000, (queue,), ("empty",))
        keeper.run(store.register(me))
        after: Cursor | None = None
        claims: list[float] = []
        settles: list[float] = []
        for _ in range(times):
            began = time.perf_counter()
            jobs = keeper.run(store.claim(me.id, queue, ["empty"], limit, after))
            claims.append((time.perf_counter() - began) * 1000)
            if not jobs:
                break
            after = Cursor(jobs[-1].line, jobs[-1].id)
            verdicts = [
                Verdict(uuid7(), job.id, job.fence, Event.SUCCEED, keep_us=week_us, worker_id=me.id)
                for job in jobs
            ]
            began = time.perf_counter()
            keeper.run(store.settle(verdicts))
            settles.append((time.perf_counter() - began) * 1000)
        keeper.run(store.end_worker(me.id, "stopped"))
        return {"claims": claims, "settles": settles}

    async def crowd(self, threads: int, seconds: float) -> dict[str, Any]:
        """So many threads that enqueue one after another; how many jobs they made together."""
        until = time.monotonic() + seconds
        counts: list[int] = []

        def enqueue_on() -> None:
            done = 0
            while time.monotonic() < until:
                self._task.enqueue(0)
                done += 1
            counts.append(done)

        crowd = [threading.Thread(target=enqueue_on) for _ in range(threads)]
        for thread in crowd:
            thread.start()
        await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in crowd))
        return {"jobs": sum(counts)}

    async def steady(self, jobs: int, rate: float, first: int = 0) -> dict[str, Any]:
        """Enqueue at a rate: of 20 jobs 16 plain, 2 delayed, 1 that fails once, 1 urgent; when each was called."""
        tasks = self._app.tasks
        plain, again = tasks["empty"], tasks["again"]
        delayed, urgent = plain.using(delay="1s"), plain.using(priority=50)
        moments: list[int] = []
        began = time.monotonic()
        while (n := len(moments)) < jobs:
            due = min(jobs, int((time.monotonic() - began) * rate)) - n
            if due <= 0:
                await asyncio.sleep(0.005)
                continue
            now = time.monotonic_ns()
            batch = range(n, n + due)
            self._app.enqueue_many(
                {"delayed": delayed, "again": again, "urgent": urgent, "plain": plain}[kind_of(n)].spec(
                    first + n
                )
                for n in batch
            )
            moments += [now] * due
        return {"moments": moments}

    async def waits(self) -> dict[str, Any]:
        """When each job was claimed, in nanoseconds of CLOCK_MONOTONIC, by its number."""
        offset = time.time_ns() - time.monotonic_ns()
        found = self._watch.execute(
            "SELECT (args::json->>'n')::int, (extract(epoch FROM claimed_at) * 1000000)::bigint FROM unstuck_jobs"
        ).fetchall()
        return {"claimed": [(n, us * 1000 - offset) for n, us in found]}

    @classmethod
    def workers(cls, url: str, mode: str, processes: int) -> list[list[str]]:
        commands = super().workers(url, mode, processes)
        app = f"benchmarks.peers.unstuck_workloads:{cls.attribute}"
        return [[app if "benchmarks.peers" in word else word for word in command] for command in commands]


def kind_of(n: int) -> str:
    """Which kind of job number n is in a steady stream."""
    return {0: "delayed", 1: "delayed", 2: "again", 3: "urgent"}.get(n % 20, "plain")


class UnstuckWithEvents(UnstuckWorkloads):
    name = "unstuck-events"
    settings = "with event_log=True"
    attribute = "app_with_events"


class UnstuckWithManyPlaces(UnstuckWorkloads):
    name = "unstuck-wide"
    settings = "with --concurrency 500: places enough for handlers that wait"
    options: ClassVar[tuple[str, ...]] = ("--concurrency", "500")


class UnstuckWithoutHints(UnstuckWorkloads):
    name = "unstuck-quiet"
    settings = "its clients send no hints"

    async def open(self) -> None:
        await super().open()

        def hint(queues: Iterable[str]) -> None:
            pass

        self._app.keeper.hint = hint
