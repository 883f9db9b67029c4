"""`tx=` for a `sqlite3.Connection`: in a transaction of its own, best begun with BEGIN IMMEDIATE.

A transaction that began with a read and then writes may meet SQLITE_BUSY_SNAPSHOT, which no waiting
cures: somebody else wrote after our read. The only remedy is to begin as a writer, and the error says so.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from unstuck.app.joining.errors import from_sqlite
from unstuck.app.joining.joined import BlockingJoined, Where
from unstuck.model.errors import BadTransaction
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Rows
from unstuck.storage.sql.library import Dialect, Spelled, Style


def join(tx: Any, keeper: Keeper, dialect: Dialect) -> SqliteJoined:
    """Join a connection. Raises BadTransaction."""
    if not isinstance(tx, sqlite3.Connection):
        raise BadTransaction(
            f"tx=sqlite3.{type(tx).__name__} is not a connection: pass the connection itself"
        )
    return SqliteJoined(Where(keeper, dialect, "sqlite", "a sqlite3 connection", tx, Style.NAMED), tx)


class SqliteJoined(BlockingJoined):
    """A sqlite3 connection in a transaction."""

    def __init__(self, where: Where, connection: sqlite3.Connection):
        super().__init__(where)
        self._connection = connection

    def check(self) -> None:
        try:
            is_inside = self._connection.in_transaction
        except sqlite3.ProgrammingError as error:
            raise BadTransaction(f"tx= is a sqlite3 connection that cannot be used here: {error}") from None
        if not is_inside:
            raise BadTransaction(
                'tx= is a sqlite3 connection outside a transaction: execute("BEGIN IMMEDIATE") first'
            )

    def send(self, spelled: Spelled) -> Rows:
        try:
            cursor = self._connection.cursor()
            # The caller's row factory is for the caller's rows.
            cursor.row_factory = None
            return cursor.execute(spelled.text, dict(spelled.values)).fetchall()
        except sqlite3.Error as error:
            raise from_sqlite(error) from error
