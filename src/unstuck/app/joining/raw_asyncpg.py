"""`tx=` for an asyncpg connection, also one lent by a pool: always async, always in a transaction.

asyncpg outside `connection.transaction()` commits each statement by itself, so it is refused there. Its
parameters are numbered, and it takes its types from the server's description of the statement.
"""

from __future__ import annotations

from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from unstuck.app.joining.errors import from_postgres
from unstuck.app.joining.joined import AsyncJoined, Where
from unstuck.model.errors import BadTransaction
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Rows
from unstuck.storage.sql.library import Dialect, Spelled, Style


def join(tx: Any, keeper: Keeper, dialect: Dialect) -> AsyncpgJoined:
    """Join a connection. Raises BadTransaction."""
    # A pool lends a proxy; what it stands for is what a proof is remembered by.
    inner = getattr(tx, "_con", tx)
    if not isinstance(inner, asyncpg.Connection):
        raise BadTransaction(
            f"tx=asyncpg {type(tx).__name__} is not a connection: pass the connection itself"
        )
    return AsyncpgJoined(
        Where(keeper, dialect, "postgres", "an asyncpg connection", inner, Style.DOLLAR), inner
    )


class AsyncpgJoined(AsyncJoined):
    """An asyncpg connection in a transaction."""

    def __init__(self, where: Where, connection: Any):
        super().__init__(where)
        self._connection = connection

    def check(self) -> None:
        if self._connection.is_closed():
            raise BadTransaction("tx= is an asyncpg connection that is closed")
        if not self._connection.is_in_transaction():
            raise BadTransaction(
                "tx= is an asyncpg connection outside a transaction: use it inside async with connection.transaction()"
            )

    async def asend(self, spelled: Spelled) -> Rows:
        try:
            records = await self._connection.fetch(spelled.text, *spelled.in_order)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise from_postgres(error) from error
        return [tuple(record) for record in records]
