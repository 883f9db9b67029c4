"""The ratios that this project holds itself to: ours against a contender of the same run.

A floor is read "ours is at least (or at most) so many times theirs". What was not measured is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.statistics import Book


@dataclass(frozen=True)
class Floor:
    """`ours` over `theirs`, each a contender and a measure; `at_most` for what should be small."""

    what: str
    ours: tuple[str, str]
    theirs: tuple[str, str]
    factor: float
    at_most: bool = False


@dataclass(frozen=True)
class Judged:
    """A floor and what the run gave."""

    what: str
    ratio: float
    bound: str
    is_met: bool


def _drains(mode: str, processes: int) -> str:
    return f"drain {mode} {processes}p/s"


ONE, TOGETHER, BULK = "enqueue one/s", "enqueue 100 at once/s", "enqueue 10,000/s"
OURS, LITE = "unstuck", "unstuck-sqlite"
A1, A2, S1 = _drains("async", 1), _drains("async", 2), _drains("sync", 1)

FLOORS = (
    Floor("drain async 1p, PgQueuer", (OURS, A1), ("pgqueuer", A1), 2.5),
    Floor("drain async 2p, PgQueuer", (OURS, A2), ("pgqueuer", A2), 2.2),
    Floor("drain async 1p, graphile-worker", (OURS, A1), ("graphile-worker", A1), 2.0),
    Floor("drain async 2p, graphile-worker", (OURS, A2), ("graphile-worker", A2), 1.1),
    Floor("drain async 1p, raw prototype", (OURS, A1), ("raw", A1), 0.6),
    Floor("drain async 2p, raw prototype", (OURS, A2), ("raw", A2), 0.6),
    Floor("drain async 1p, raw prototype through psycopg", (OURS, A1), ("raw-psycopg", A1), 0.6),
    Floor("drain async 2p, raw prototype through psycopg", (OURS, A2), ("raw-psycopg", A2), 0.6),
    Floor("drain sync 1p, PgQueuer", (OURS, S1), ("pgqueuer", S1), 6.0),
    Floor("drain sync 1p, Dramatiq", (OURS, S1), ("dramatiq", S1), 12.0),
    Floor("drain SQLite async 1p, Huey", (LITE, A1), ("huey-sqlite", S1), 8.0),
    Floor("drain SQLite sync 1p, Huey", (LITE, S1), ("huey-sqlite", S1), 8.0),
    Floor("enqueue one, raw prepared INSERT", (OURS, ONE), ("raw-psycopg", ONE), 0.7),
    Floor("enqueue one, PgQueuer", (OURS, ONE), ("pgqueuer", ONE), 2.0),
    Floor("enqueue 100 at once, PgQueuer one", (OURS, TOGETHER), ("pgqueuer", ONE), 15.0),
    Floor("enqueue 10,000, PgQueuer", (OURS, BULK), ("pgqueuer", BULK), 2.5),
    *(
        Floor(f"latency idle {point}, {name}", (OURS, measure), (peer, measure), factor, at_most=True)
        for point, factor in (("p50", 0.6), ("p99", 1.0))
        for peer, name in (("pgqueuer", "PgQueuer"), ("procrastinate", "Procrastinate"))
        for measure in (f"latency idle {point} ms",)
    ),
    *(
        Floor(f"latency at the load of {peer} p95", (OURS, measure), (peer, measure), 1.0, at_most=True)
        for peer in ("pgqueuer", "procrastinate", "dramatiq", "celery", "huey")
        for measure in (f"latency at {peer}'s half load p95 ms",)
    ),
    *(
        Floor(
            f"cpu per job {mode}, PgQueuer",
            (OURS, f"drain {mode}: cpu ms all"),
            ("pgqueuer", f"drain {mode}: cpu ms all"),
            0.4,
            at_most=True,
        )
        for mode in ("async 1p", "async 2p")
    ),
    Floor(
        "memory after 200,000 jobs, PgQueuer",
        (OURS, "memory after 200,000 jobs MB"),
        ("pgqueuer", "memory after 200,000 jobs MB"),
        1.0,
        at_most=True,
    ),
)


def judged(book: Book, floors: tuple[Floor, ...] = FLOORS) -> list[Judged]:
    """Every floor whose two sides were measured."""
    rows: list[Judged] = []
    for floor in floors:
        ratio = book.ratio(floor.ours, floor.theirs)
        if ratio is not None:
            is_met = ratio <= floor.factor if floor.at_most else ratio >= floor.factor
            bound = f"{'≤' if floor.at_most else '≥'} {floor.factor:g}"
            rows.append(Judged(floor.what, ratio, bound, is_met))
    return rows
