"""Shorter ways for the statements by which jobs come in, each with the usual way behind it.

*Prepared*: what inserts a single job has one plan, whatever the tables hold, so parsing and planning it
each time is waste. But behind a pooler the next statement may meet another process, which knows of nothing
prepared. So a connection asks, at the third such statement, who answers, and prepares only where that is
the process that said hello: a pooler makes up its greeting. Where the server has forgotten all the same,
it says so before anything happens.

*Fresh*: ids are drawn for the jobs that bring them, so of many jobs none is there yet, unless this is a
repetition. To be ready for one that is (`ON CONFLICT`) costs a third of the insert: an index look-up and a
record in the log per row. So many jobs are inserted as if all were new; if one was there the server refuses
the statement, which is then undone as a whole and sent in the usual way. This is done only where
undoing is ours to do: outside a transaction, or with the first statement of one that we began.
"""

from __future__ import annotations

import sys
from enum import Enum
from functools import lru_cache
from typing import Any

import psycopg

from unstuck.storage.plan import Mode, Request, Statement

PREPARED = frozenset({"insert_one"})
FRESH = frozenset({"insert_alike"})
PREPARED_AT = 3
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

    def wants_to_know(self, request: Request, mode: Mode) -> bool:
        """Whether it is worth now to ask which process answers; counts the statements that make it so."""
        if self._uses >= PREPARED_AT or not _is_alone(request, mode, PREPARED):
            return False
        self._uses += 1
        return self._uses == PREPARED_AT

    def learn(self, raw: Any, *, is_direct: bool) -> None:
        """Whether the process that answers is the one that said hello."""
        self._is_preparing = is_direct
        if is_direct:
            # From None, which forbids preparing, to a number of uses that never comes: prepared is what is asked for.
            raw.prepare_threshold = sys.maxsize

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
