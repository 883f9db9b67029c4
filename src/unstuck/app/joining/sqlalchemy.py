"""`tx=` for SQLAlchemy: Session, AsyncSession, Connection and AsyncConnection, on PostgreSQL or SQLite.

Everything goes through `exec_driver_sql` of the caller's own connection, never through the raw driver
connection below it: an adapter of an async driver keeps the transaction to itself, and a row written
behind its back would stay when the session rolls back. A session begins its transaction by itself with
its first use, ours included. A Connection in AUTOCOMMIT is refused.

A session tells us when it has committed, so its jobs wake a worker at once; for a bare Connection the
jobs wait for the next poll.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import event, exc
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, scoped_session

from unstuck.app.joining.errors import from_postgres, from_sqlite
from unstuck.app.joining.joined import AsyncJoined, BlockingJoined, Joined, Where
from unstuck.model.errors import BadTransaction, StoreUnavailable, UnstuckError
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Rows
from unstuck.storage.sql.library import Dialect, Spelled, Style

_ENGINES: dict[str, str] = {"postgresql": "postgres", "sqlite": "sqlite"}
_STYLES: dict[str, Style] = {
    "pyformat": Style.PYFORMAT,
    "named": Style.NAMED,
    "qmark": Style.NAMED,  # sqlite3 and aiosqlite take names whatever SQLAlchemy uses itself
    "numeric_dollar": Style.DOLLAR,
}


def join(tx: Any, keeper: Keeper, dialect: Dialect) -> Joined:
    """Join a session or a connection. Raises BadTransaction."""
    if isinstance(tx, scoped_session):
        tx = cast("scoped_session[Session]", tx)()
    if isinstance(tx, Session):
        return _of_connection(_connection_of(tx), tx, keeper, dialect, "a SQLAlchemy Session")
    if isinstance(tx, Connection):
        return _of_connection(tx, None, keeper, dialect, "a SQLAlchemy Connection")
    # Importing the async half needs greenlet; whoever has such an object has it.
    sync_session = getattr(tx, "sync_session", None)
    if isinstance(sync_session, Session):
        where = _where(_bind_of(sync_session), keeper, dialect, "a SQLAlchemy AsyncSession")
        return AsyncSqlalchemyJoined(where, tx, sync_session)
    sync_connection = getattr(tx, "sync_connection", None)
    if isinstance(sync_connection, Connection):
        _check(sync_connection, "a SQLAlchemy AsyncConnection")
        where = _where(sync_connection, keeper, dialect, "a SQLAlchemy AsyncConnection")
        return AsyncSqlalchemyJoined(where, tx, None)
    raise BadTransaction(
        f"tx=sqlalchemy {type(tx).__name__} is no transaction: pass a Session, a Connection or one of their async twins"
    )


class SqlalchemyJoined(BlockingJoined):
    """A Connection, and the Session it belongs to, if it does."""

    def __init__(self, where: Where, connection: Connection, session: Session | None):
        super().__init__(where)
        self._connection = connection
        self._session = session

    def check(self) -> None:
        _check(self._connection, self._where.what)

    def send(self, spelled: Spelled) -> Rows:
        return _send(self._connection, spelled, self._where.style)

    def after_commit(self, do: Callable[[], None]) -> None:
        if self._session is not None:
            _after_commit(self._session, do)


class AsyncSqlalchemyJoined(AsyncJoined):
    """An AsyncSession or an AsyncConnection; the work is done by its blocking twin inside its greenlet."""

    def __init__(self, where: Where, owner: Any, session: Session | None):
        super().__init__(where)
        self._owner = owner
        self._session = session

    def check(self) -> None:
        """Nothing can be told of an AsyncSession before its first use; `asend` looks."""

    async def asend(self, spelled: Spelled) -> Rows:
        rows: Rows = await self._owner.run_sync(self._send, spelled)
        return rows

    def _send(self, inner: Session | Connection, spelled: Spelled) -> Rows:
        connection = _connection_of(inner) if isinstance(inner, Session) else inner
        _check(connection, self._where.what)
        return _send(connection, spelled, self._where.style)

    def after_commit(self, do: Callable[[], None]) -> None:
        if self._session is not None:
            _after_commit(self._session, do)


def _of_connection(
    connection: Connection, session: Session | None, keeper: Keeper, dialect: Dialect, what: str
) -> SqlalchemyJoined:
    return SqlalchemyJoined(_where(connection, keeper, dialect, what), connection, session)


def _where(bind: Any, keeper: Keeper, dialect: Dialect, what: str) -> Where:
    name = str(bind.dialect.name)
    engine = _ENGINES.get(name, name)
    style = _STYLES.get(bind.dialect.paramstyle)
    if style is None:
        raise BadTransaction(
            f"tx= is {what} on {bind.dialect.driver}, whose parameters unstuck cannot spell: use psycopg or asyncpg"
        )
    # The proof is remembered by the Engine: its connections all reach the same database.
    return Where(keeper, dialect, engine, f"{what} on {bind.dialect.name}", bind.engine, style)


def _bind_of(session: Session) -> Any:
    try:
        return session.get_bind()
    except exc.SQLAlchemyError:
        raise BadTransaction("tx= is a SQLAlchemy session that is bound to no engine") from None


def _connection_of(session: Session) -> Connection:
    bind = _bind_of(session)
    try:
        return session.connection()
    except exc.DBAPIError as error:  # it begins with its first use, which may be ours
        raise _translated(bind, error) from error
    except exc.SQLAlchemyError as error:
        raise BadTransaction(
            f"tx= is a SQLAlchemy session that cannot be used now: {_first_line(error)}"
        ) from None


def _check(connection: Connection, what: str) -> None:
    if connection.closed:
        raise BadTransaction(f"tx= is {what} that is closed")
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT" or _is_autocommit(
        connection
    ):
        raise BadTransaction(f"tx= is {what} in AUTOCOMMIT: there is no transaction to join")
    if connection.in_transaction() and not connection.get_transaction().is_active:  # type: ignore[union-attr]
        raise BadTransaction(f"tx= is {what} whose transaction has failed already: roll it back first")


def _is_autocommit(connection: Connection) -> bool:
    engine_wide = connection.engine.get_execution_options().get("isolation_level")
    return (
        engine_wide == "AUTOCOMMIT"
        or getattr(connection.dialect, "_on_connect_isolation_level", None) == "AUTOCOMMIT"
    )


def _send(connection: Connection, spelled: Spelled, style: Style) -> Rows:
    try:
        values: Any = tuple(spelled.in_order) if style is Style.DOLLAR else dict(spelled.values)
        result = connection.exec_driver_sql(spelled.text, values or None)
        return [tuple(row) for row in result] if result.returns_rows else []
    except exc.DBAPIError as error:
        raise _translated(connection, error) from error
    except exc.SQLAlchemyError as error:
        raise StoreUnavailable(
            f"the statement failed inside your transaction: {_first_line(error)}"
        ) from error


def _translated(bind: Any, error: exc.DBAPIError) -> UnstuckError:
    cause: Any = error.orig
    return from_sqlite(cause) if bind.dialect.name == "sqlite" else from_postgres(cause)


_waiting: WeakKeyDictionary[Session, list[Callable[[], None]]] = WeakKeyDictionary()


def _after_commit(session: Session, do: Callable[[], None]) -> None:
    """Call `do` once after the session's outermost commit; forget it with a rollback."""
    if session not in _waiting:
        event.listen(session, "after_commit", _committed)
        event.listen(session, "after_rollback", _rolled_back)
    _waiting.setdefault(session, []).append(do)


def _committed(session: Session) -> None:
    if not session.in_nested_transaction():
        for do in _drained(session):
            do()


def _rolled_back(session: Session) -> None:
    _drained(session)


def _drained(session: Session) -> list[Callable[[], None]]:
    waiting = _waiting.get(session, [])
    done, waiting[:] = list(waiting), []
    return done


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
