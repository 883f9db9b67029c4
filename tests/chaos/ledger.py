"""What the store itself saw of every job: a row for each insert, change of state and delete, by triggers.

The product knows nothing of it. It is the witness on the other side: with it, "one ending", "no start without
a claim" and "the fence only rises" are judged by what was committed, not by what the product says of itself.
A row is written in the transaction that it tells of, under the lock of the job's row, so per job their
numbers rise in the order of the commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

import psycopg

POSTGRES = """
CREATE TABLE chaos_ledger (
    number bigserial PRIMARY KEY, job uuid NOT NULL, generation integer NOT NULL, source text, target text,
    fence bigint NOT NULL, worker uuid, verdict uuid, at double precision NOT NULL
);
CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO chaos_ledger (job, generation, source, target, fence, worker, verdict, at)
        VALUES (OLD.id, OLD.generation, OLD.state, NULL, OLD.fence, NULL, OLD.verdict_id,
            extract(epoch FROM clock_timestamp()));
    ELSE
        INSERT INTO chaos_ledger (job, generation, source, target, fence, worker, verdict, at)
        VALUES (NEW.id, NEW.generation, CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state, NEW.fence,
            NEW.worker_id, NEW.verdict_id, extract(epoch FROM clock_timestamp()));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_note AFTER INSERT OR DELETE OR UPDATE OF state, fence ON unstuck_jobs
FOR EACH ROW EXECUTE FUNCTION chaos_note();
"""

_SQLITE_NOW = "(julianday('now') - 2440587.5) * 86400.0"
SQLITE = f"""
CREATE TABLE chaos_ledger (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, generation INTEGER NOT NULL, source TEXT,
    target TEXT, fence INTEGER NOT NULL, worker TEXT, verdict TEXT, at REAL NOT NULL
);
CREATE TRIGGER chaos_inserted AFTER INSERT ON unstuck_jobs BEGIN
    INSERT INTO chaos_ledger (job, generation, source, target, fence, worker, verdict, at)
    VALUES (NEW.id, NEW.generation, NULL, NEW.state, NEW.fence, NEW.worker_id, NEW.verdict_id, {_SQLITE_NOW});
END;
CREATE TRIGGER chaos_changed AFTER UPDATE OF state, fence ON unstuck_jobs BEGIN
    INSERT INTO chaos_ledger (job, generation, source, target, fence, worker, verdict, at)
    VALUES (NEW.id, NEW.generation, OLD.state, NEW.state, NEW.fence, NEW.worker_id, NEW.verdict_id,
        {_SQLITE_NOW});
END;
CREATE TRIGGER chaos_deleted AFTER DELETE ON unstuck_jobs BEGIN
    INSERT INTO chaos_ledger (job, generation, source, target, fence, worker, verdict, at)
    VALUES (OLD.id, OLD.generation, OLD.state, NULL, OLD.fence, NULL, OLD.verdict_id, {_SQLITE_NOW});
END;
"""

READ = "SELECT job, generation, source, target, fence, worker, verdict, at FROM chaos_ledger ORDER BY number"


@dataclass(frozen=True)
class Entry:
    """One change of one job. `source` is None for an insert, `target` for a delete; `at` in seconds since
    the epoch, by the store's clock."""

    job: UUID
    generation: int
    source: str | None
    target: str | None
    fence: int
    worker: UUID | None
    verdict: UUID | None
    at: float


def install(url: str) -> None:
    """Begin a ledger in a store that has its tables."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as db:
            db.executescript(SQLITE)
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(POSTGRES)


def entries(url: str) -> Iterator[Entry]:
    """The whole ledger, in its order."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as db:
            for row in db.execute(READ):
                yield _entry(row)
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            for row in connection.execute(READ):
                yield _entry(row)


def _entry(row: tuple[object, ...]) -> Entry:
    job, generation, source, target, fence, worker, verdict, at = row
    return Entry(
        _uuid(job),
        int(str(generation)),
        None if source is None else str(source),
        None if target is None else str(target),
        int(str(fence)),
        None if worker is None else _uuid(worker),
        None if verdict is None else _uuid(verdict),
        float(str(at)),
    )


def _uuid(value: object) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))
