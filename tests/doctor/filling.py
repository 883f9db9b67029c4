"""A large and sound store, filled by SQL: ready, scheduled and running jobs, ended ones with attempts and logs.

`python -m tests.doctor.filling sqlite:////tmp/large.db 3000000` fills a store and says how long the doctor
takes with it, check by check: the run by hand behind the figures in docs/proof-log.md.
"""

from __future__ import annotations

import os
import platform
import sys
import time

from unstuck.doctor.examining import diagnose
from unstuck.doctor.finding import Status
from unstuck.model.ids import uuid7
from unstuck.model.worker import NewWorker
from unstuck.storage.opening import Keeper, open_keeper
from unstuck.storage.plan import Mode, Plan, Requests, Script
from unstuck.storage.protocol import Filter

HOUR_US = 3_600_000_000
PORTION = 50_000

ID = {
    "sqlite": "printf('%08x-0000-7000-8000-%012x', n, n)",
    "postgres": "(lpad(to_hex(n), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid",
}
NUMBERS = {
    "sqlite": "WITH RECURSIVE s (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last})",
    "postgres": "WITH s (n) AS (SELECT generate_series({first}, {last}))",
}

JOBS = """
{numbers}
INSERT INTO {{jobs}} (
    id, queue, task, state, priority, line, wake_at, created_at, claimed_at, finished_at, keep_until,
    fence, failures, worker_id, args, options, reason, result
)
SELECT {id}, 'q' || (n % 7), 't' || (n % 5),
    CASE n % 10 WHEN 0 THEN 'ready' WHEN 1 THEN 'scheduled' WHEN 2 THEN 'failed'
        WHEN 3 THEN {running} ELSE 'succeeded' END,
    0, {now_us} - {count} + n,
    CASE WHEN n % 10 = 1 THEN {later} END,
    {earlier}, {earlier},
    CASE WHEN n % 10 IN (2, 4, 5, 6, 7, 8, 9) OR (n % 10 = 3 AND n > {busy}) THEN {now} END,
    CASE WHEN n % 10 IN (2, 4, 5, 6, 7, 8, 9) OR (n % 10 = 3 AND n > {busy}) THEN {later} END,
    1, CASE WHEN n % 10 = 2 THEN 2 ELSE 0 END,
    CASE WHEN n % 10 = 3 AND n <= {busy} THEN {worker} END,
    '{{"customer":' || n || ',"text":"something that an order says about itself, as orders do"}}',
    CASE WHEN n % 10 = 2 THEN '{{"tries":2}}' ELSE '{{}}' END,
    CASE WHEN n % 10 = 2 THEN 'tries_exhausted' END,
    CASE WHEN n % 10 > 3 THEN '17' END
FROM s
"""
ATTEMPTS = """
{numbers}
INSERT INTO {{attempts}} (job_id, fence, attempt, outcome, ended_at)
SELECT {id}, 1, 2, 'failed', {now} FROM s WHERE n % 10 = 2
"""
LOGS = """
{numbers}
INSERT INTO {{job_logs}} (job_id, fence, number, at, text) SELECT {id}, 1, 1, {now}, 'a line' FROM s WHERE n % 10 = 5
"""


def fill(keeper: Keeper, count: int) -> None:
    """Insert so many jobs with what hangs on them, and the worker that runs some."""
    worker = NewWorker(
        id=uuid7(),
        kind="solo",
        supervisor_id=None,
        host="here",
        pid=1,
        lease_us=24 * HOUR_US,
        queues=tuple(f"q{number}" for number in range(7)),
        tasks=tuple(f"t{number}" for number in range(5)),
    )
    keeper.run(keeper.store.register(worker))
    for first in range(1, count + 1, PORTION):
        for text in (JOBS, ATTEMPTS, LOGS):
            _script(
                keeper, _filled(keeper.engine, text, first, min(first + PORTION - 1, count), count, worker)
            )
    for table in ("jobs", "attempts", "job_logs"):
        _script(keeper, f"ANALYZE {{{table}}}")


def _filled(engine: str, text: str, first: int, last: int, count: int, worker: NewWorker) -> str:
    now_us = time.time_ns() // 1000
    if engine == "sqlite":
        now, later, earlier = str(now_us), str(now_us + HOUR_US), str(now_us - HOUR_US)
    else:
        now = "statement_timestamp()"
        later, earlier = f"{now} + interval '1 hour'", f"{now} - interval '1 hour'"
    busy = min(2000, count)
    return text.format(
        numbers=NUMBERS[engine].format(first=first, last=last),
        id=ID[engine],
        running=f"CASE WHEN n <= {busy} THEN 'running' ELSE 'succeeded' END",
        busy=busy,
        worker=f"'{worker.id}'" + ("::uuid" if engine == "postgres" else ""),
        now=now,
        later=later,
        earlier=earlier,
        now_us=now_us,
        count=count,
    )


def _script(keeper: Keeper, text: str) -> None:
    assert keeper.dialect is not None
    for name in ("jobs", "attempts", "job_logs"):
        text = text.replace(f"{{{name}}}", keeper.dialect.prefix + name)

    def start() -> Requests[None]:
        yield Script("fill", text)

    keeper.run(Plan("fill", Mode.TRANSACTION, start))


def main() -> None:
    """Fill the store at a URL, unless it is full already, and examine it."""
    url, count = sys.argv[1], int(sys.argv[2])
    keeper = open_keeper(url)
    keeper.migrator.apply()
    if not sum(keeper.run(keeper.store.tally(Filter())).values()):
        began = time.monotonic()
        fill(keeper, count)
        print(f"filled with {count:,} jobs in {time.monotonic() - began:.0f} s")
    load = os.getloadavg()[0]
    began, worked = time.monotonic(), time.process_time()
    found = diagnose(keeper)
    took, worked = time.monotonic() - began, time.process_time() - worked
    print(
        f"{keeper.engine}, {count:,} jobs, {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}: {took:.1f} s, {worked:.1f} s of them at work here"
    )
    scans: dict[str, float] = {}
    for check in found.checks:
        scans[check.name] = check.seconds
        if check.status is not Status.OK or check.seconds > 0.2:
            print(f"{check.status:11} {check.seconds:6.2f} s {check.name} {check.sentence[:100]}")
    keeper.close()


if __name__ == "__main__":
    main()
