"""Joining a transaction that belongs to the caller: `tx=` and `ctx.settling(tx=…)`.

A job that is inserted in the caller's own transaction exists if and only if that transaction commits:
no outbox, no job for an order that was rolled back. One room per kind of connection says how to send a
statement through it and whether it stands in a transaction; what is sent is the same plan as everywhere.

Refused in one sentence, with nothing written: a connection that is not in a transaction (it would commit
by itself), of another engine, of another database (its store's instance id is read through it and
compared), or of the other colour (`enqueue` takes blocking connections, `aenqueue` async ones). Nothing
is ever retried, committed, rolled back or put behind a savepoint here.
"""

from __future__ import annotations

from typing import Any

from unstuck.app.joining.joined import Joined
from unstuck.model.errors import BadTransaction
from unstuck.storage.opening import Keeper

TAKES = "a psycopg, asyncpg or sqlite3 connection, or a SQLAlchemy Session, AsyncSession, Connection or AsyncConnection"

__all__ = ["Joined", "join"]


def join(tx: Any, keeper: Keeper) -> Joined:
    """What runs plans inside `tx`. Raises BadTransaction for what cannot be joined at all."""
    if keeper.dialect is None:
        raise BadTransaction(f"tx= cannot join anything here: {keeper.url_shown} has no transactions")
    # The drivers are imported only where the caller has imported them: a connection of theirs is at hand.
    for kind in type(tx).__mro__:
        match kind.__module__.partition(".")[0]:
            case "sqlite3":
                from unstuck.app.joining import raw_sqlite

                return raw_sqlite.join(tx, keeper, keeper.dialect)
            case "psycopg":
                from unstuck.app.joining import raw_psycopg

                return raw_psycopg.join(tx, keeper, keeper.dialect)
            case "asyncpg":
                from unstuck.app.joining import raw_asyncpg

                return raw_asyncpg.join(tx, keeper, keeper.dialect)
            case "sqlalchemy":
                from unstuck.app.joining import sqlalchemy

                return sqlalchemy.join(tx, keeper, keeper.dialect)
            case _:
                continue
    raise refused(tx)


def refused(tx: Any) -> BadTransaction:
    """The sentence for something that is no transaction we know."""
    return BadTransaction(
        f"tx={type(tx).__module__}.{type(tx).__qualname__} cannot be joined: it takes {TAKES}"
    )
