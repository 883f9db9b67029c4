"""Shorter ways for the hot statements: whatever they touch, a few steps of the library and one row of answer.

Python's driver gives up the interpreter for every step of a statement and waits for it again after each row,
and where a worker's handlers keep the interpreter busy, each such wait may last until they let go. A claim that
answers 500 rows would wait 500 times, holding the write lock of the file. So what answers many rows is asked in
another order: first which rows, then the same change without an answer, then what those rows say now, as one
document. The write lock is held from before the first of these to the COMMIT, so nothing moves between them.

What changes rows that the caller has named (`settle_successes`, `insert_alike`) is sent without its answer; if
it changed as many rows as were named it changed all of them, and the answer is known. If not, the caller must
be told which: the transaction is then begun again and the statement sent in the usual way. This is done only with
the first statement of a transaction that is ours, where there is nothing else to undo.

The texts are cut from the blocks themselves, so that a statement is still said once, for both engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

from unstuck.storage.plan import Columns, Request, Statement

NAMED = {"settle_successes": "said_id", "insert_alike": "job_id"}
"""Statements of many rows, and which value of a row tells that it was changed."""

FOUND = "found_rows"

_Claimed = tuple[UUID, int, int, str, str, int, str, int, int | None, int, int, int, int, str]
"""A row of part `claimed`; read as this, ids are made where the document is read, for a third of the price."""

_claimed = msgspec.json.Decoder(list[_Claimed])
_ANSWER = "\nRETURNING "
_WHICH = "\nWHERE j.rowid IN (\n"


def is_claim(request: Request) -> bool:
    """Whether this is the statement that finds rows by itself and answers them."""
    return isinstance(request, Statement) and request.block == "claim"


def names_its_rows(request: Request) -> bool:
    """Whether what it changes is known where all of it is changed."""
    return isinstance(request, Statement) and request.block in NAMED and len(request.rows or ()) > 1


def answer_of_all(request: Request) -> list[tuple[Any, ...]]:
    """What the usual way would answer where every row was changed."""
    assert isinstance(request, Statement) and request.rows is not None
    name, rows = NAMED[request.block], request.rows
    return rows.tuples(name) if isinstance(rows, Columns) else [(row[name],) for row in rows]


def claimed(document: str) -> Sequence[tuple[Any, ...]]:
    """The rows of a claim from their document."""
    return _claimed.decode(document)


@lru_cache(maxsize=64)
def without_answer(text: str) -> str:
    """The same change, which tells only how many rows it changed. Raises ValueError where it answers none."""
    before, answer, _ = text.rpartition(_ANSWER)
    if not answer:
        raise ValueError("only a statement that answers rows has a shorter way")
    return before


@lru_cache(maxsize=64)
def parted(text: str) -> tuple[str, str, str]:
    """A claim in three: which rows, the change of these, what they say then. Raises ValueError for any other text."""
    change, which, rest = text.partition(_WHICH)
    inner, answer, columns = rest.rpartition("\n)" + _ANSWER)
    if not which or not answer:
        raise ValueError("only an UPDATE of the rows that a question finds can be sent in three")
    table = change.split()[4]
    mark = change[: change.index("*/") + 2]
    these = f"rowid IN (SELECT value FROM json_each(:{FOUND}))"
    return (
        f"{mark} SELECT json_group_array(rowid) FROM (\n{inner}\n)",
        f"{change}\nWHERE {these}",
        f"{mark} SELECT json_group_array(json_array({columns})) FROM {table} WHERE {these}",
    )
