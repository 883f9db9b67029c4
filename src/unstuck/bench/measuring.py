"""The measurements, one after the other, each within its share of the time.

Enqueueing is measured while nobody works, into a queue that nobody serves. For a drain the queue is paused, filled
and let go, and its rate is read off the rows: from the first claim to the last ending, by the store's own clock. Latency
is measured on idle workers, from the call of `enqueue` to the handler's first line, by the clock that all processes of this
machine share. A job that does not succeed is an error, not a figure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from unstuck.demo.running import Crew
from unstuck.model.errors import UnstuckError
from unstuck.model.states import State
from unstuck.storage.protocol import Filter

if TYPE_CHECKING:
    from unstuck.app.app import App
    from unstuck.app.task import Task
    from unstuck.model.job import Job as Row

SHARES = {"one": 0.12, "concurrent": 0.12, "many": 0.1, "async": 0.2, "plain": 0.2, "latency": 0.2}
"""Of the seconds given; what is left goes to starting workers and to looking."""

CALLERS = 100
CHUNK = 10_000
PILE_MAX = 200_000
WARMING = (500, 2_000)
"""Jobs of the drains before the one that counts: what runs fast is claimed ahead only once it is known to."""
DRAIN_MAX = 50_000
PAGE = 5_000
PAUSES = (0.021, 0.034, 0.055, 0.013)
"""Between two jobs on idle workers, so that no beat of theirs is met."""

LOOK_SECONDS = 0.2
STANDSTILL_SECONDS = 60.0
START_SECONDS = 60.0


class BenchFailed(UnstuckError):
    """Something did not work, so there is no figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the answer. `value` is jobs per second or milliseconds, by `unit`; `jobs` is what it is made of."""

    name: str
    words: str
    value: float
    unit: str
    jobs: int


class Measuring:
    """All measurements of one run; `tell` is given a word before each."""

    def __init__(self, app: App, crew: Crew, seconds: float, tell: Callable[[str], None]):
        from unstuck.bench import tasks

        self._app = app
        self._crew = crew
        self._seconds = seconds
        self._tell = tell
        self._tasks = tasks
        self._keeper = app.keeper
        self.figures: list[Figure] = []

    def run(self) -> list[Figure]:
        """Measure everything. Raises BenchFailed, DemoFailed and StoreErrors."""
        self._tell("enqueueing")
        self._one_at_a_time()
        asyncio.run(self._concurrently())
        self._in_bulk()
        self._tell("workers start")
        self._crew.start()
        self._await_workers()
        self._tell("draining coroutines")
        self._drain("async", self._tasks.nothing, "drain, coroutines that do nothing")
        self._tell("draining plain functions")
        self._drain("plain", self._tasks.nothing_plain, "drain, plain functions that do nothing")
        self._tell("latency of idle workers")
        self._latency()
        troubles = self._crew.stop()
        if troubles:
            raise BenchFailed(troubles[0])
        return self.figures

    def _share(self, name: str) -> float:
        return SHARES[name] * self._seconds

    def _add(self, name: str, words: str, value: float, unit: str, jobs: int) -> None:
        self.figures.append(Figure(name, words, round(value, 2 if unit == "ms" else 0), unit, jobs))

    # Enqueueing

    def _one_at_a_time(self) -> None:
        never = self._tasks.never
        never.enqueue(0)  # the connection, and what is imported or asked once
        took: list[float] = []
        began = time.perf_counter()
        end = began + self._share("one")
        while (now := time.perf_counter()) < end:
            never.enqueue(len(took))
            took.append(time.perf_counter() - now)
        passed = time.perf_counter() - began
        self._add("enqueue_one", "enqueue, one call after another", len(took) / passed, "jobs/s", len(took))
        self._add("enqueue_one_p50", "  each call, p50", of(took, 0.5) * 1000, "ms", len(took))
        self._add("enqueue_one_p99", "  each call, p99", of(took, 0.99) * 1000, "ms", len(took))

    async def _concurrently(self) -> None:
        never = self._tasks.never
        numbers = count()
        await never.aenqueue(next(numbers))
        done = 0
        began = time.perf_counter()
        end = began + self._share("concurrent")

        async def call() -> None:
            nonlocal done
            while time.perf_counter() < end and done < PILE_MAX:
                await never.aenqueue(next(numbers))
                done += 1

        await asyncio.gather(*(call() for _ in range(CALLERS)))
        passed = time.perf_counter() - began
        await self._app.aclose()
        self._add("enqueue_concurrent", f"aenqueue, {CALLERS} callers at once", done / passed, "jobs/s", done)

    def _in_bulk(self) -> None:
        never = self._tasks.never
        done = 0
        began = time.perf_counter()
        end = began + self._share("many")
        while done == 0 or (time.perf_counter() < end and done < PILE_MAX):
            self._app.enqueue_many(never.spec(number) for number in range(CHUNK))
            done += CHUNK
        passed = time.perf_counter() - began
        self._add("enqueue_many", f"enqueue_many, {CHUNK:,} at once", done / passed, "jobs/s", done)

    # Working

    def _await_workers(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not any(worker.kind == "child" for worker in self._keeper.run(self._keeper.store.workers())):
            self._crew.check()
            if time.monotonic() > end:
                raise BenchFailed(f"no worker has registered within {START_SECONDS:g} s")
            time.sleep(LOOK_SECONDS)

    def _drain(self, queue: str, task: Task[..., Any, Any], words: str) -> None:
        *_, warm = (self._drained(queue, task, jobs) for jobs in WARMING)
        jobs = int(min(DRAIN_MAX, max(WARMING[-1], warm * self._share(queue) / 2)))
        rate = self._drained(queue, task, jobs)
        self._add(f"drain_{queue}", words, rate, "jobs/s", jobs)

    def _drained(self, queue: str, task: Task[..., Any, Any], jobs: int) -> float:
        """Fill the paused queue, let it go, wait until it is empty; jobs per second by its rows."""
        run, store = self._keeper.run, self._keeper.store
        run(store.set_queue(queue, paused=True))
        last = self._app.enqueue_many(task.spec() for _ in range(jobs))[0].id
        run(store.set_queue(queue, paused=False))
        left, moved_at = jobs, time.monotonic()
        while True:
            self._crew.check()
            time.sleep(LOOK_SECONDS)
            pulse = run(store.pulse(jobs + 1))
            waiting = sum(each.ready for each in pulse.depths if each.queue == queue)
            running = sum(worker.running for worker in pulse.workers)
            if not waiting and not running:
                break
            if waiting + running != left:
                left, moved_at = waiting + running, time.monotonic()
            if time.monotonic() - moved_at > STANDSTILL_SECONDS:
                raise BenchFailed(f"{left:,} jobs of {jobs:,} have not moved for {STANDSTILL_SECONDS:g} s")
        rows = self._rows(queue, last, jobs)
        if len(rows) < jobs or any(row.state is not State.SUCCEEDED for row in rows):
            raise BenchFailed(
                f"of {jobs:,} jobs {sum(row.state is State.SUCCEEDED for row in rows):,} succeeded"
            )
        claimed = min(row.claimed_at for row in rows if row.claimed_at is not None)
        ended = max(row.finished_at for row in rows if row.finished_at is not None)
        return jobs / max((ended - claimed).total_seconds(), 1e-6)

    def _rows(self, queue: str, first: Any, jobs: int) -> Sequence[Row]:
        """The rows of this drain: those of its queue from its first id on."""
        rows = [row] if (row := self._keeper.run(self._keeper.store.get(first))) else []
        while len(rows) < jobs:
            which = Filter(queue=queue, after=rows[-1].id if rows else first, limit=PAGE)
            page = self._keeper.run(self._keeper.store.find(which))
            if not page:
                break
            rows += page
        return rows

    def _latency(self) -> None:
        task = self._tasks.began
        sent: list[tuple[int, Any]] = []
        end = time.monotonic() + self._share("latency")
        while time.monotonic() < end:
            at = time.monotonic_ns()
            sent.append((at, task.enqueue()))
            time.sleep(PAUSES[len(sent) % len(PAUSES)])
        took = [(job.result(timeout=STANDSTILL_SECONDS) - at) / 1_000_000 for at, job in sent]
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")):
            words = f"call of enqueue to start, idle, {name}"
            self._add(f"latency_{name}", words, of(took, share), "ms", len(took))


def of(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0.0
