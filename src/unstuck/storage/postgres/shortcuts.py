"""Shorter ways for the statements by which jobs come in and first go out, each with the usual way behind it.

*Prepared*: what inserts a single job has one plan, whatever the tables hold, so parsing and planning it
each time is waste, and so is most of what a driver does for a statement it has never seen: it is sent by
name, its values as texts, and a hint may go out with it (`hinting`). But behind a pooler the next statement may
meet another process, which knows of
nothing prepared. So a connection asks, at the third such statement, who answers, and prepares only where
that is the process that said hello: a pooler makes up its greeting. Where the server has forgotten all the same, it says so before anything happens.

*Prepared after a rest*: the claim of a worker that had nothing to do is waited for, and planning takes the
server longer than finding the one job. The server keeps planning it anew while it takes one plan for all
values to be worse. But a plan that was kept while the table was small may scan it when it is large, until
statistics come: so only what follows a rest goes this way, and of a stream nothing but its first claim.

*Fresh*: ids are drawn for the jobs that bring them, so of many jobs none is there yet, unless this is a
repetition. To be ready for one that is (`ON CONFLICT`) costs a third of the insert: an index look-up and a
record in the log per row. So many jobs are inserted as if all were new; if one was there the server refuses
the statement, which is then undone as a whole and sent in the usual way. This is done only where
undoing is ours to do: outside a transaction, or with the first statement of one that we began. Of these, very many
are copied (`copying`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import generators, pq
from psycopg.abc import PQGen
from psycopg.abc import Transformer as Reading
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from unstuck.storage.plan import Columns, Mode, Request, Statement
from unstuck.storage.postgres.arrays import is_list
from unstuck.storage.postgres.copying import is_worth_it
from unstuck.storage.sql.library import Dialect, Style

PREPARED = frozenset({"insert_one", "claim"})
PREPARED_AFTER_REST = frozenset({"claim"})
REST_SECONDS = 0.005
FRESH = frozenset({"insert_alike"})
PREPARED_AT = 3
NAME = "unstuck_"
FORGOTTEN = frozenset({"26000", "42P05", "0A000"})
"""The server does not know the prepared statement, knows another, or would answer in another shape."""
TAKEN = "23505"
MOMENT = 1184

Raw = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]
Hint = tuple[str, str]
"""A channel, and what is said on it."""


class Way(Enum):
    """How a statement is sent."""

    USUAL = "usual"
    PREPARED = "prepared"
    FRESH = "fresh"
    COPIED = "copied"


class Shortcuts:
    """What one connection knows about its shorter ways."""

    def __init__(self, *, may_copy: bool = False) -> None:
        self._may_copy = may_copy
        self._uses = 0
        self._is_preparing = False
        self._prepared: set[bytes] = set()
        self._reading: Reading | None = None
        self._asked: Mapping[str, Any] | None = None
        self._values: list[bytes | None] = []
        self._used_at = time.monotonic()

    def wants_to_know(self, request: Request, mode: Mode) -> bool:
        """Whether it is worth now to ask which process answers; counts the statements that make it so."""
        if self._uses >= PREPARED_AT or not _is_alone(request, mode, PREPARED):
            return False
        self._uses += 1
        return self._uses == PREPARED_AT

    def learn(self, *, is_direct: bool) -> None:
        """Whether the process that answers is the one that said hello."""
        self._is_preparing = is_direct

    def used(self) -> None:
        """Something was asked just now."""
        self._used_at = time.monotonic()

    def sending(
        self, raw: Raw, dialect: Dialect, request: Statement, hint: Hint | None
    ) -> PQGen[list[tuple[Any, ...]]]:
        """Send a prepared statement, after preparing it where it is new; for `wait` of either colour. `hint` goes
        out with the commit of an insert, if that inserts anything."""
        pgconn, block = raw.pgconn, request.block
        answers_rows = block in PREPARED_AFTER_REST
        if answers_rows and request.args == self._asked:
            name, values = _name(block, is_telling=False), self._values
        else:
            (spelled,) = dialect.spell(request, Style.DOLLAR)
            name, given = _name(block, is_telling=hint is not None), [*spelled.in_order, *(hint or ())]
            if name not in self._prepared:
                # What is not said is what the statement makes of it; a moment beside an interval would be taken for one.
                kinds = [MOMENT if isinstance(value, datetime) else 0 for value in given]
                places = len(spelled.names)
                told = "" if hint is None else f", pg_notify(${places + 1}, ${places + 2})"
                pgconn.send_prepare(name, (spelled.text + told).encode(), kinds)
                yield from _answered(pgconn)
                self._prepared.add(name)
            # Texts are most of them, and each step between the call and the wire is one that somebody waits for.
            values = [each.encode() if each.__class__ is str else _as_text(each) for each in given]
        if not answers_rows:
            pgconn.send_query_prepared(name, values)
            answer = yield from _answered(pgconn)
            return [()] * answer.ntuples
        pgconn.send_query_prepared(name, values, result_format=pq.Format.BINARY)
        # A worker that rests asks the same each time.
        self._asked, self._values = request.args, values
        answer = yield from _answered(pgconn)
        reading = self._reading = self._reading or Transformer(raw)  # it knows by now how each column is read
        reading.set_pgresult(answer)
        try:
            return reading.load_rows(0, answer.ntuples, tuple)
        finally:
            reading.set_pgresult(None)

    def way(self, request: Request, mode: Mode, *, is_first: bool) -> Way:
        """The shortest way for this request; `is_first`: nothing was done yet in the transaction, if there is one."""
        if self._is_preparing and _is_alone(request, mode, PREPARED):
            has_rested = time.monotonic() - self._used_at > REST_SECONDS
            if has_rested or not _is_of(request, PREPARED_AFTER_REST):
                return Way.PREPARED
        if mode is Mode.TRANSACTION and is_first and _is_of(request, FRESH):
            return Way.COPIED if self._may_copy and is_worth_it(request) else Way.FRESH
        if _is_alone(request, mode, FRESH):
            return Way.FRESH
        return Way.USUAL

    def is_back_at_start(self, way: Way, error: psycopg.Error) -> bool:
        """Whether this error of a shorter way says no more than that it must be the usual one."""
        if way is Way.PREPARED and error.sqlstate in FORGOTTEN:
            self._is_preparing = False
            return True
        return way in (Way.FRESH, Way.COPIED) and error.sqlstate == TAKEN


def _is_of(request: Request, blocks: frozenset[str]) -> bool:
    return isinstance(request, Statement) and request.block in blocks


def _is_alone(request: Request, mode: Mode, blocks: frozenset[str]) -> bool:
    return mode is Mode.WRITE and _is_of(request, blocks)


@lru_cache(maxsize=16)
def _name(block: str, *, is_telling: bool) -> bytes:
    return f"{NAME}{block}{'_telling' if is_telling else ''}".encode()


def _as_text(value: Any) -> bytes | None:
    """Ids, texts and numbers say what they are; a list is an array of them."""
    if value is None:
        return None
    if value.__class__ is int:
        return b"%d" % value
    if is_list(value):
        quoted = (str(each).replace("\\", "\\\\").replace('"', '\\"') for each in value)
        return ("{" + ",".join(f'"{each}"' for each in quoted) + "}").encode()
    return str(value).encode()


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
    if isinstance(request.rows, Columns):
        return list(zip(request.rows.by_name["job_id"], strict=True))
    return [(row["job_id"],) for row in request.rows]
