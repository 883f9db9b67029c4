"""`tx=` for psycopg 3 connections of either colour.

A connection that is not in autocommit begins a transaction with its next statement, ours included, and
its owner must commit it: that is joining. A connection in autocommit must have been told to begin. We use
a cursor class of our own choosing, so that the caller's row factory and parameter style do not matter,
and nothing is prepared, so that a pooler does not matter either.
"""

from __future__ import annotations

from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from unstuck.app.joining.errors import from_postgres
from unstuck.app.joining.joined import AsyncJoined, BlockingJoined, Joined, Where
from unstuck.model.errors import BadTransaction
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Rows
from unstuck.storage.sql.library import Dialect, Spelled, Style


def join(tx: Any, keeper: Keeper, dialect: Dialect) -> Joined:
    """Join a connection. Raises BadTransaction."""
    if isinstance(tx, psycopg.Connection):
        connection = cast("psycopg.Connection[object]", tx)
        what = "a psycopg Connection"
        return PsycopgJoined(Where(keeper, dialect, "postgres", what, connection, Style.PYFORMAT), connection)
    if isinstance(tx, psycopg.AsyncConnection):
        awaited = cast("psycopg.AsyncConnection[object]", tx)
        what = "a psycopg AsyncConnection"
        return AsyncPsycopgJoined(Where(keeper, dialect, "postgres", what, awaited, Style.PYFORMAT), awaited)
    raise BadTransaction(f"tx=psycopg.{type(tx).__name__} is not a connection: pass the connection itself")


class PsycopgJoined(BlockingJoined):
    """The blocking colour."""

    def __init__(self, where: Where, connection: psycopg.Connection[Any]):
        super().__init__(where)
        self._connection = connection

    def check(self) -> None:
        _check(self._connection)

    def send(self, spelled: Spelled) -> Rows:
        try:
            with psycopg.Cursor(self._connection, row_factory=tuple_row) as cursor:
                cursor.execute(sql.SQL(_literal(spelled)), _values(spelled), prepare=False)
                return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise from_postgres(error) from error


class AsyncPsycopgJoined(AsyncJoined):
    """The async colour."""

    def __init__(self, where: Where, connection: psycopg.AsyncConnection[Any]):
        super().__init__(where)
        self._connection = connection

    def check(self) -> None:
        _check(self._connection)

    async def asend(self, spelled: Spelled) -> Rows:
        try:
            async with psycopg.AsyncCursor(self._connection, row_factory=tuple_row) as cursor:
                await cursor.execute(sql.SQL(_literal(spelled)), _values(spelled), prepare=False)
                return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise from_postgres(error) from error


def _check(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    if connection.closed:
        raise BadTransaction("tx= is a psycopg connection that is closed")
    match connection.info.transaction_status:
        case TransactionStatus.INTRANS:
            return
        case TransactionStatus.IDLE if connection.autocommit:
            raise BadTransaction(
                "tx= is a psycopg connection in autocommit, outside a transaction: use it inside connection.transaction()"
            )
        case TransactionStatus.IDLE:
            return
        case TransactionStatus.INERROR:
            raise BadTransaction(
                "tx= is a psycopg connection whose transaction has failed already: roll it back first"
            )
        case _:
            raise BadTransaction("tx= is a psycopg connection that is busy with another statement")


def _literal(spelled: Spelled) -> Any:
    # The texts are our own blocks; psycopg's type for literals cannot know that.
    return spelled.text


def _values(spelled: Spelled) -> dict[str, Any] | None:
    return dict(spelled.values) if spelled.names else None
