"""Millions of rows by SQL: waiting, scheduled, parked in retry, archived.

They are written in portions into the table as the product's own statements would leave them, indexes in
place, because an index that is built at the end is smaller than one that has grown. Whoever changes the layout of
PostgreSQL changes this too. The jobs to be drained stand first in line, and what is waiting stands behind them.
"""

from __future__ import annotations

import psycopg

PORTION = 100_000
KINDS = ("waiting", "scheduled", "retry", "archived")

_FILL = """
INSERT INTO unstuck_jobs (
    id, queue, task, state, reason, priority, line, wake_at, created_at, claimed_at, finished_at, keep_until,
    fence, failures, verdict_id, args, result
)
SELECT
    (lpad(to_hex(n), 8, '0') || '-0000-7000-8{kind}00-' || lpad(to_hex(n), 12, '0'))::uuid,
    'default', 'empty', {state}, NULL, 0, {line} + n, {wake}, {now} - interval '1 hour', {claimed}, {finished}, {keep},
    {fence}, {failures}, {verdict}, '{{"n":' || n || '}}', {result}
FROM generate_series({first}, {last}) AS n
"""
_USUAL = {
    "state": "'ready'",
    "wake": "NULL",
    "claimed": "NULL",
    "finished": "NULL",
    "keep": "NULL",
    "fence": "0",
    "failures": "0",
    "verdict": "NULL",
    "result": "NULL",
}
_SOME_TIME_SOON = "statement_timestamp() + interval '1 hour' + n * interval '1 ms'"
_DIFFERENT = {
    "waiting": {},
    "scheduled": {"state": "'scheduled'", "wake": _SOME_TIME_SOON},
    "retry": {
        "state": "'scheduled'",
        "wake": _SOME_TIME_SOON,
        "fence": "1",
        "failures": "1",
        "claimed": "statement_timestamp()",
        "verdict": "gen_random_uuid()",
    },
    "archived": {
        "state": "'succeeded'",
        "claimed": "statement_timestamp()",
        "finished": "statement_timestamp()",
        "keep": "statement_timestamp() + interval '7 days'",
        "fence": "1",
        "verdict": "gen_random_uuid()",
        "result": "'null'",
    },
}


def statement(kind: str, first: int, last: int, line: int) -> str:
    """The text that inserts rows `first` to `last` of a kind; jobs are numbered by them."""
    words = _USUAL | _DIFFERENT[kind]
    place = KINDS.index(kind)
    return _FILL.format(first=first, last=last, line=line, kind=place, now="statement_timestamp()", **words)


def fill(url: str, kind: str, first: int, count: int, line: int = 0) -> None:
    """Insert so many rows of a kind from number `first` on."""
    with psycopg.connect(url, autocommit=True) as connection:
        for begin in range(first, first + count, PORTION):
            end = min(begin + PORTION, first + count) - 1
            connection.execute(statement(kind, begin, end, line).encode())
