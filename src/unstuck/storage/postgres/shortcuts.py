"""Shorter ways for the statements by which jobs come in, each with the usual way behind it.

*Prepared*: what inserts a single job has one plan, whatever the tables hold, so parsing and planning it
each time is waste, and so is most of what a driver does for a statement it has never seen: it is sent by
name, its values as texts. But behind a pooler the next statement may meet another process, which knows of
nothing prepared. So a connection asks, at the third such statement, who answers, and prepares only where
that is the process that said hello: a pooler makes up its greeting. Where the server has forgotten all the
same, it says so before anything happens.

*Fresh*: ids are drawn for the jobs that bring them, so of many jobs none is there yet, unless this is a
repetition. To be ready for one that is (`ON CONFLICT`) costs a third of the insert: an index look-up and a
record in the log per row. So many jobs are inserted as if all were new; if one was there the server refuses
the statement, which is then undone as a whole and sent in the usual way. This is done only where
undoing is ours to do: outside a transaction, or with the first statement of one that we began.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from unstuck.storage.plan import Mode, Request, Statement
from unstuck.storage.sql.library import Spelled

PREPARED = frozenset({"insert_one"})
FRESH = frozenset({"insert_alike"})
PREPARED_AT = 3
NAME = b"unstuck_insert_one"
FORGOTTEN = frozenset({"26000", "42P05", "0A000"})
"""The server does not know the prepared statement, knows another, or would answer in another shape."""
TAKEN = "23505"


class Way(Enum):
    """How a statement is sent."""

    USUAL = "usual"
    PREPARED = "prepared"
    FRESH = "fresh"


class Shortcuts:
    """What one connection knows about its shorter ways."""

    def __init__(self) -> None:
        self._uses = 0
        self._is_preparing = False
        self._is_prepared = False

    def wants_to_know(self, request: Request, mode: Mode) -> bool:
        """Whether it is worth now to ask which process answers; counts the statements that make it so."""
        if self._uses >= PREPARED_AT or not _is_alone(request, mode, PREPARED):
            return False
        self._uses += 1
        return self._uses == PREPARED_AT

    def learn(self, *, is_direct: bool) -> None:
        """Whether the process that answers is the one that said hello."""
        self._is_preparing = is_direct

    def sending(self, pgconn: PGconn, spelled: Spelled) -> PQGen[list[tuple[Any, ...]]]:
        """Send a prepared statement, after preparing it where it is new; for `wait` of either colour."""
        if not self._is_prepared:
            pgconn.send_prepare(NAME, spelled.text.encode())
            yield from _answered(pgconn)
            self._is_prepared = True
        values = [
            None if value is None else str(value).encode()  # ids, texts and numbers say what they are
            for value in spelled.in_order
        ]
        pgconn.send_query_prepared(NAME, values)
        answer = yield from _answered(pgconn)
        return [()] * answer.ntuples

    def way(self, request: Request, mode: Mode, *, is_first: bool) -> Way:
        """The shortest way for this request; `is_first`: nothing was done yet in the transaction, if there is one."""
        if self._is_preparing and _is_alone(request, mode, PREPARED):
            return Way.PREPARED
        if _is_alone(request, mode, FRESH) or (
            mode is Mode.TRANSACTION and is_first and _is_of(request, FRESH)
        ):
            return Way.FRESH
        return Way.USUAL

    def is_back_at_start(self, way: Way, error: psycopg.Error) -> bool:
        """Whether this error of a shorter way says no more than that it must be the usual one."""
        if way is Way.PREPARED and error.sqlstate in FORGOTTEN:
            self._is_preparing = False
            return True
        return way is Way.FRESH and error.sqlstate == TAKEN


def _is_of(request: Request, blocks: frozenset[str]) -> bool:
    return isinstance(request, Statement) and request.block in blocks


def _is_alone(request: Request, mode: Mode, blocks: frozenset[str]) -> bool:
    return mode is Mode.WRITE and _is_of(request, blocks)


def _answered(pgconn: PGconn) -> PQGen[PGresult]:
    """The one answer to what was sent, as psycopg's own cursors get it. Raises what the server says."""
    answer: PGresult
    (answer,) = yield from generators.execute(pgconn)
    if answer.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise psycopg.errors.error_from_result(answer)
    return answer


@lru_cache(maxsize=64)
def fresh(text: bytes) -> bytes:
    """The statement without its readiness for rows that are there, and without an answer."""
    before, readiness, _ = text.partition(b"\nON CONFLICT")
    if not readiness:
        raise ValueError("a statement that is sent as if all rows were new must be ready for one that is not")
    return before


def answer_to_fresh(request: Request) -> list[tuple[Any, ...]]:
    """What the usual way would answer where all rows are new: their ids."""
    assert isinstance(request, Statement) and request.rows is not None
    return [(row["job_id"],) for row in request.rows]
