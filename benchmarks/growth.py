"""Growth: does it stay as fast when the table is large, when somebody holds a snapshot open, in a burst?

Each of these ends in a ratio against itself at the start, so it needs no second contender; where the layout of
another is not needed (held snapshot, burst), peers run too. A drain is measured over the jobs that stand first in
line: from the first start to the last start of these, because behind them more are waiting.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import psycopg

from benchmarks import filling
from benchmarks.ground import Place
from benchmarks.measuring import WARM, Run
from benchmarks.peers.unstuck_workloads import kind_of
from benchmarks.processes import cpu_seconds
from benchmarks.running import Contender, Stage
from benchmarks.spending import Spending
from benchmarks.statistics import Line, percentile

PATIENCE = 900.0
WINDOWS = 10


@dataclass
class Sizes:
    """How large the test is."""

    rows: tuple[int, ...] = (10_000, 1_000_000, 3_000_000)
    kinds: tuple[str, ...] = (*filling.KINDS, "together")
    jobs: int = 50_000
    claims: int = 200
    held: int = 300_000
    burst: int = 1_000_000
    steady: int = 300_000
    steady_rate: float = 1000.0


def crowded(run: Run, contender: Contender, sizes: Sizes, kind: str, rows: int) -> Line:
    """Claims, settles and a drain with so many other rows of a kind in the table."""
    claimed = sizes.claims * 100
    ahead = claimed + sizes.jobs
    with Stage(
        run.ground, contender, "empty", ahead + (rows if kind in ("waiting", "together") else 0)
    ) as stage:
        client = stage.client()
        url = stage.place.url
        filling.fill(url, "waiting", 0, ahead)
        if kind == "together":
            for each in filling.KINDS:
                filling.fill(url, each, ahead if each == "waiting" else 0, rows // len(filling.KINDS))
        elif rows:
            filling.fill(url, kind, ahead if kind == "waiting" else 0, rows)
        stage.place.freshen()
        took = client(do="ask", what="claims", times=sizes.claims, limit=100)
        stamps, server = stage.stamps, stage.place.server_pid
        with stage.working(1) as workers:
            workers.wait(lambda: stamps.moments(1, claimed)[0] > 0, PATIENCE, "the first start")
            worker_before, server_before = cpu_seconds(workers.pids), cpu_seconds(server)
            workers.wait(lambda: stamps.started(sizes.jobs, claimed), PATIENCE, "the last start", every=0.01)
            worker_after, server_after = cpu_seconds(workers.pids), cpu_seconds(server)
        moments = stamps.moments(sizes.jobs, claimed)
    return {
        "drain/s": rate_of(moments),
        "cpu ms worker": (worker_after - worker_before) / sizes.jobs * 1000,
        "cpu ms server": (server_after - server_before) / sizes.jobs * 1000,
        "claim of 100 p50 ms": percentile(took["claims"], 0.50),
        "claim of 100 p99 ms": percentile(took["claims"], 0.99),
        "settle of 100 p50 ms": percentile(took["settles"], 0.50),
        "settle of 100 p99 ms": percentile(took["settles"], 0.99),
    }


def long_drain(run: Run, contender: Contender, jobs: int, is_held: bool, processes: int = 1) -> Line:
    """A long drain in tenths, with or without a snapshot held open elsewhere."""
    with Stage(run.ground, contender, contender.peer.modes[0], jobs) as stage:
        client = stage.client()
        began = time.monotonic()
        client(do="fill", first=0, jobs=jobs)
        filled = time.monotonic() - began
        stage.place.freshen()
        with snapshot(stage.place, is_held), stage.working(processes) as workers:
            workers.wait(lambda: stage.stamps.started(jobs), PATIENCE, "the last start", every=0.05)
        moments = stage.stamps.moments(jobs)
    rates = tenths(moments)
    line = {f"tenth {number}/s": rate for number, rate in enumerate(rates, 1)}
    return line | {
        "last tenth / first": rates[-1] / rates[0],
        "drain/s": rate_of(moments),
        "enqueue/s": jobs / filled,
    }


def steady(run: Run, contender: Contender, sizes: Sizes, processes: int = 2) -> Line:
    """A steady stream under a held snapshot: enqueue to start at its beginning and at its end, by kind of job."""
    jobs, spent = sizes.steady, Line()
    with Stage(run.ground, contender, "empty", jobs + WARM) as stage:
        counts = stage.place.count_statements()
        client = stage.client()
        with snapshot(stage.place, True), stage.working(processes) as workers:
            client(do="probe", first=jobs, samples=WARM, interval=0.01)
            workers.wait(lambda: all(stage.stamps.moments(WARM, jobs)), 60, "the first jobs")
            spending = Spending(stage.place.url) if counts else None
            client.send(do="ask", what="steady", jobs=jobs, rate=sizes.steady_rate)
            called: list[int] = client.answer(PATIENCE)["moments"]
            if spending is not None:
                spent = spending.shares()
            workers.wait(lambda: stage.stamps.started(jobs), 120, "the last start", every=0.05)
        started = stage.stamps.moments(jobs)
    return waits_of(called, started) | spent


def waits_of(called: list[int], started: list[int]) -> Line:
    """p99 of plain jobs at the start and at the end, of the others over all; delayed ones less their delay."""
    waits = [(start - call) / 1e6 for call, start in zip(called, started, strict=True)]
    kinds = [kind_of(n) for n in range(len(waits))]
    plain = [wait for wait, kind in zip(waits, kinds, strict=True) if kind == "plain"]
    tenth = max(1, len(plain) // 10)
    line = {
        "plain p99 ms, first tenth": percentile(plain[:tenth], 0.99),
        "plain p99 ms, last tenth": percentile(plain[-tenth:], 0.99),
    }
    line["plain p99, last tenth / first"] = (
        line["plain p99 ms, last tenth"] / line["plain p99 ms, first tenth"]
    )
    for kind, delay in (("urgent", 0.0), ("delayed", 1000.0), ("again", 1000.0)):
        found = [wait - delay for wait, each in zip(waits, kinds, strict=True) if each == kind]
        if found:
            line[f"{kind} p99 ms"] = percentile(found, 0.99)
            line[f"{kind} worst ms"] = max(found)
    return line


@contextmanager
def snapshot(place: Place, is_held: bool) -> Generator[None]:
    """A transaction elsewhere that keeps every dead row alive; for stores that are no PostgreSQL none."""
    if not is_held or not place.url.startswith("postgresql"):
        yield
        return
    with psycopg.connect(place.url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM pg_class")
        yield
        connection.rollback()


def rate_of(moments: list[int]) -> float:
    """Jobs per second from the first start to the last."""
    return len(moments) / max(1e-9, (max(moments) - min(moments)) / 1e9)


def tenths(moments: list[int], windows: int = WINDOWS) -> list[float]:
    """Jobs per second in each tenth of the jobs, in order of their starts."""
    ordered = sorted(moments)
    size = len(ordered) // windows
    edges = [ordered[min(number * size, len(ordered) - 1)] for number in range(windows + 1)]
    return [size / max(1e-9, (after - before) / 1e9) for before, after in pairwise(edges)]
