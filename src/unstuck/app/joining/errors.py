"""What a driver says inside a caller's transaction, in our words.

The transaction is not ours to repeat, so each sentence says what the caller can do. Both drivers of
PostgreSQL carry the server's SQLSTATE, which is all that is needed here.
"""

from __future__ import annotations

import sqlite3

from unstuck.model.errors import (
    BadTransaction,
    SchemaMismatch,
    StoreConflict,
    StoreCorrupt,
    StoreUnavailable,
    UnstuckError,
)


def from_postgres(error: BaseException) -> UnstuckError:
    """An error of psycopg or asyncpg as ours."""
    state = getattr(error, "sqlstate", None) or ""
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if state == "25P02":
        return BadTransaction("tx= is a connection whose transaction has failed already: roll it back first")
    if state in ("40001", "40P01", "55P03"):
        return StoreConflict(f"your transaction met another one ({said}): roll back and begin again")
    if state in ("42P01", "42703"):
        return SchemaMismatch(
            f"the store's tables are not what this version expects ({said}): run unstuck migrate"
        )
    return StoreUnavailable(f"the statement failed inside your transaction: {said}")


def from_sqlite(error: sqlite3.Error) -> UnstuckError:
    """An error of sqlite3 as ours."""
    name: str = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_BUSY_SNAPSHOT":
        return StoreConflict(
            "somebody else wrote after your transaction had read (SQLITE_BUSY_SNAPSHOT):"
            " roll back and begin with BEGIN IMMEDIATE"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreConflict("the file is locked by another writer: roll back and begin with BEGIN IMMEDIATE")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreCorrupt(f"the file is damaged or is no database: {error}")
    if "no such table" in str(error) or "no such column" in str(error):
        return SchemaMismatch(
            f"the store's tables are not what this version expects ({error}): run unstuck migrate"
        )
    return StoreUnavailable(f"the statement failed inside your transaction: {error}")
