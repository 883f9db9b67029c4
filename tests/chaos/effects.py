"""Effects that users' code has in the store itself, in transactions of its own: what `tx=` and `settling` are for.

An effect is a row per job and fence in a table beside those of the product. Where an attempt ends in the same
transaction (`ctx.settling`), the effect of a job is there exactly once if the job succeeded, and not at all
otherwise, whatever befell the connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import psycopg

CREATE = "CREATE TABLE chaos_effects (job {id} NOT NULL, fence bigint NOT NULL)"
READ = "SELECT job, fence FROM chaos_effects"
SECONDS = 10


def is_file(url: str) -> bool:
    """Whether the store is an SQLite file."""
    return url.startswith("sqlite")


@contextmanager
def transaction(url: str) -> Iterator[Any]:
    """A connection of our own in a transaction; committed at the end, rolled back by any exception."""
    if is_file(url):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), SECONDS, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
    else:
        with (
            psycopg.connect(url, connect_timeout=SECONDS, prepare_threshold=None) as connection,
            connection.transaction(),
        ):
            yield connection


def install(url: str) -> None:
    """Make the table."""
    with transaction(url) as tx:
        tx.execute(CREATE.format(id="text" if is_file(url) else "uuid"))


def have(tx: Any, url: str, job: UUID, fence: int) -> None:
    """Have one effect in this transaction."""
    if is_file(url):
        tx.execute("INSERT INTO chaos_effects VALUES (?, ?)", (str(job), fence))
    else:
        tx.execute("INSERT INTO chaos_effects VALUES (%s, %s)", (job, fence))


def read(url: str) -> list[tuple[UUID, int]]:
    """Job and fence of every effect."""
    with transaction(url) as tx:
        return [(UUID(str(job)), int(fence)) for job, fence in tx.execute(READ).fetchall()]
