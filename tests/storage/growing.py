"""A store that grows by hand-written SQL, and everything that a process at work asks of it.

Plans of the engines are judged on three sizes of one store, as it stands when nobody has worked for a while:
every state is there, most alarms, expiries and retentions have passed, and some running jobs have lost their
worker. So whatever reads all that is due, to find a few, shows.
`questions` are the operations of a worker, a sweep and an operator; whoever adds an operation adds it here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from unstuck.engine.env import STRIDE
from unstuck.model.ids import uuid7
from unstuck.model.invariant import SCANS
from unstuck.model.job import NewJob
from unstuck.model.worker import NewWorker
from unstuck.rules import judging
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Mode, Plan, Requests, Script
from unstuck.storage.protocol import Cursor, Filter, Since

MANY = int(os.environ.get("UNSTUCK_PLAN_ROWS", "100000"))
"""How many rows the largest store has in the run of every day; `UNSTUCK_PLAN_ROWS=1000000` is the whole."""

SMALL = 1_000
BEFORE = 300
"""How many rows there were, all of them ready, when stale statistics were taken."""

TAKEN = 100
"""How many jobs one claim, settle or insert takes here."""

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US

ID = {
    "sqlite": "printf('%08x-0000-7000-8000-%012x', {n}, {n})",
    "postgres": "(lpad(to_hex({n}), 8, '0') || '-0000-7000-8000-' || lpad(to_hex({n}), 12, '0'))::uuid",
}
NUMBERS = {
    "sqlite": "WITH RECURSIVE s (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last})",
    "postgres": "WITH s (n) AS (SELECT generate_series({first}, {last}))",
}

JOBS = """
{numbers}
INSERT INTO {{jobs}} (
    id, queue, task, state, reason, priority, line, wake_at, expires_at, created_at, claimed_at, finished_at,
    keep_until, fence, worker_id, args, result
)
SELECT {id}, CASE n % 20 WHEN 8 THEN 'other' ELSE 'q' END, CASE n % 20 WHEN 11 THEN 'nobody' ELSE 't' END,
    CASE
        WHEN n % 20 <= 8 THEN 'ready'
        WHEN n % 20 <= 10 THEN 'scheduled'
        WHEN n % 20 = 11 THEN 'waiting'
        WHEN n % 20 = 12 AND n <= {front} THEN 'running'
        WHEN n % 20 = 19 THEN 'failed'
        ELSE 'succeeded'
    END,
    CASE n % 20 WHEN 11 THEN 'no_handler' WHEN 19 THEN 'tries_exhausted' END,
    0, {now_us} - n,
    CASE
        WHEN n % 20 IN (7, 9, 10, 11) THEN {earlier}
        WHEN n % 20 IN (5, 6) THEN {later}
    END,
    CASE WHEN n % 20 = 7 THEN {earlier} WHEN n % 20 IN (5, 6) THEN {later} END,
    {now}, CASE WHEN n % 20 > 11 THEN {now} END,
    CASE WHEN n % 20 > 12 OR (n % 20 = 12 AND n > {front}) THEN {now} END,
    CASE WHEN n % 20 > 12 OR (n % 20 = 12 AND n > {front})
        THEN {earlier} END,
    CASE WHEN n % 20 > 11 THEN 1 ELSE 0 END,
    CASE WHEN n % 20 = 12 AND n <= {front} THEN CASE WHEN n % 200 = 12 THEN {gone} ELSE {worker} END END,
    '{{"customer":' || n || ',"text":"something that an order says about itself, as orders do"}}',
    CASE WHEN n % 20 > 12 THEN '17' END
FROM s
"""
ATTEMPTS = """
{numbers}
INSERT INTO {{attempts}} (job_id, fence, attempt, worker_id, outcome, ended_at)
SELECT {id}, 1, 1, {worker}, 'failed', {now} FROM s WHERE n % 20 = 19
"""
LOGS = """
{numbers}
INSERT INTO {{job_logs}} (job_id, fence, number, at, text) SELECT {id}, 1, 1, {now}, 'a line' FROM s WHERE n % 20 = 19
"""
GONE = """
{numbers}
INSERT INTO {{workers}} (id, kind, host, pid, lease_us, lease_until, started_at, ended_at, reason)
SELECT {id}, 'child', 'h', n, 30000000, {earlier}, {earlier}, {earlier}, 'lapsed' FROM s
"""

FRONT = 24_000
"""Up to which number jobs are running."""

GONE_WORKERS = 100


class Growing:
    """A store of one engine with a living worker and a hundred that have ended."""

    def __init__(self, keeper: Keeper):
        self.keeper = keeper
        keeper.migrator.apply()
        self.worker = uuid7()
        keeper.run(
            keeper.store.register(
                NewWorker(self.worker, "child", None, "h", 1, 24 * HOUR_US, ("q", "other"), ("t", "u"))
            )
        )
        self.script(self._filled(GONE, 1, GONE_WORKERS))
        self.rows = 0

    def grow(self, rows: int) -> None:
        """Insert jobs until there are so many."""
        for text in (JOBS, ATTEMPTS, LOGS):
            self.script(self._filled(text, self.rows + 1, rows))
        self.rows = rows

    def begin(self) -> None:
        """Three hundred ready jobs, as a new store has them before anybody works."""
        dialect = self.keeper.dialect
        assert dialect is not None
        self.script(self._filled(JOBS, 1, BEFORE).replace("n % 20", "0").replace("n % 200", "0"))
        self.rows = BEFORE

    def script(self, text: str) -> None:
        """Run SQL with `{jobs}` and the like for the names of tables."""
        dialect = self.keeper.dialect
        assert dialect is not None
        for name in ("jobs", "attempts", "job_logs", "workers"):
            text = text.replace(f"{{{name}}}", dialect.prefix + name)

        def start() -> Requests[None]:
            yield Script("grow", text)

        # Not a transaction of a plan: those have half a minute per statement.
        self.keeper.run(Plan("grow", Mode.WRITE, start))

    def _filled(self, text: str, first: int, last: int) -> str:
        engine = self.keeper.engine
        now_us = time.time_ns() // 1000
        if engine == "sqlite":
            now, later, earlier = str(now_us), f"{now_us + 24 * HOUR_US} + n", f"{now_us - HOUR_US} - n"
        else:
            now = "statement_timestamp()"
            later = f"{now} + interval '1 day' + n * interval '1 microsecond'"
            earlier = f"{now} - interval '1 hour' - n * interval '1 microsecond'"
        gone = ID[engine].format(n=f"(n % {GONE_WORKERS} + 1)")
        return text.format(
            numbers=NUMBERS[engine].format(first=first, last=last),
            id=ID[engine].format(n="n"),
            gone=gone,
            worker=f"'{self.worker}'" + ("::uuid" if engine == "postgres" else ""),
            front=FRONT,
            now=now,
            later=later,
            earlier=earlier,
            now_us=now_us,
        )


Ask = Callable[[Plan[Any]], Any]


def questions(growing: Growing, ask: Ask) -> None:
    """Everything that processes and operators ask over and over, once."""
    store, worker = growing.keeper.store, growing.worker
    ask(store.insert([NewJob(uuid7(), "q", "t", "{}") for _ in range(TAKEN)]))
    ask(store.insert([NewJob(uuid7(), "q", "t", "{}")]))
    claimed = ask(store.claim(worker, "q", ["t", "u"], TAKEN))
    if claimed:
        ask(store.claim(worker, "q", ["t", "u"], TAKEN, Cursor(claimed[-1].line, claimed[-1].id)))
    ask(store.write_progress([(job.id, job.fence, '[1,2,""]') for job in claimed]))
    ask(store.write_logs([(job.id, job.fence, 1, "a line") for job in claimed]))
    ask(store.settle([judging.succeeded(job, uuid7(), worker, "1") for job in claimed[: TAKEN // 2]]))
    ask(
        store.settle(
            [
                judging.handed_back(job, uuid7(), worker, started=True, why="stop")
                for job in claimed[TAKEN // 2 :]
            ]
        )
    )
    # Of this task nothing is ready, and statistics know it: no claim walks further than to its end.
    end = ask(store.reach("q", None, STRIDE))
    ask(store.claim(worker, "q", ["u"], TAKEN, None, end))
    ask(store.claim(worker, "q", ["nobody"], TAKEN, None, end))
    ask(store.look(worker, ["q", "other", "empty"], ["t", "u"]))
    ask(store.look(worker, ["q", "other", "empty"], ["t", "u"], Since({"q": 0, "empty": 5}, HOUR_US)))
    ask(store.promote(TAKEN))
    ask(store.promote(TAKEN, 24 * HOUR_US))
    ask(store.expired(TAKEN))
    ask(store.renew([worker], 24 * HOUR_US, {worker: "{}"}))
    ask(store.register(NewWorker(uuid7(), "child", None, "h", 1, 24 * HOUR_US, ("q",), ("t", "w"))))
    ask(store.end_lapsed())
    ask(store.owned(worker))
    ask(store.orphans(TAKEN))
    ask(store.survey())
    ask(store.unhandled("q", 1, TAKEN))
    ask(store.waiting_unhandled(TAKEN))
    ask(store.lagging(1))
    ask(store.prune(TAKEN))
    ask(store.pulse(TAKEN))
    ask(store.knowing(["t", "w"]))
    for job in ask(store.find(Filter(limit=1))):
        ask(store.get(job.id))
        ask(store.situation(job.id))
        ask(store.attempts(job.id))
        ask(store.logs(job.id))
        ask(store.ask_cancel([job.id]))
    for scan in SCANS:
        ask(store.inspect(scan, limit=TAKEN))
    for done in ask(store.workers())[:1]:
        ask(store.end_worker(done.id, "stopped"))
