"""What a PostgreSQL server says, in our words.

Three questions decide. Is the connection gone, so that it must not be used again? Did what was asked
certainly not happen, or is that unknown (a statement outside a transaction, or a COMMIT, was in flight
when the connection went)? May the whole operation simply begin again? SQLSTATE answers; an error without
one means that the connection broke. What speaks of a mistake of ours, such as a constraint or a
syntax, is left as it is.
"""

from __future__ import annotations

import psycopg

from unstuck.model.errors import (
    OutcomeUnknown,
    SchemaMismatch,
    StoreConflict,
    StoreCorrupt,
    StoreUnavailable,
)

CONFLICTS = frozenset({"40001", "40P01", "55P03"})
GOING_DOWN = frozenset({"57P01", "57P02", "57P03"})
READ_ONLY = "25006"
SPENT_CLASSES = ("08", "57P")
NOT_HAPPENED = {
    READ_ONLY: "is read-only: a standby, or set so",
    "25P03": "closed the connection because a transaction stood still for too long",
    "57014": "stopped the statement because it took too long",
    "53100": "cannot grow: its disk is full",
    "53200": "is out of memory",
    "53300": "takes no more connections",
    "42501": "gives no permission",
    "28000": "refuses this user",
    "28P01": "refuses the password",
    "3D000": "has no such database",
}
BROKEN_INDEX_OR_PAGE = frozenset({"XX001", "XX002"})
UNDEFINED = frozenset({"42P01", "42703", "3F000"})


def is_spent(error: psycopg.Error) -> bool:
    """Whether the connection that said so must be dropped."""
    state = error.sqlstate
    return state is None or state == READ_ONLY or state.startswith(SPENT_CLASSES)


def said(error: psycopg.Error, where: str, *, is_gone: bool, in_doubt: bool) -> Exception:
    """The error as ours. `in_doubt`: what was in flight may have been done if the connection is gone."""
    state = error.sqlstate or ""
    words = _first_line(error)
    if state in CONFLICTS:
        return StoreConflict(f"{where}: {words}")
    if state in NOT_HAPPENED:
        return StoreUnavailable(f"{where} {NOT_HAPPENED[state]} ({words})")
    if state in UNDEFINED:
        return SchemaMismatch(f"{where} is not migrated ({words}): run `unstuck migrate apply`")
    if state in BROKEN_INDEX_OR_PAGE:
        return StoreCorrupt(f"{where} reports damage: {words}")
    if is_gone or state in GOING_DOWN or state.startswith("08"):
        if in_doubt:
            return OutcomeUnknown(f"{where} went away while it was answering: {words}")
        return StoreUnavailable(f"{where} went away: {words}")
    if state.startswith("53"):
        return StoreUnavailable(f"{where}: {words}")
    return error


def not_connected(error: psycopg.Error, where: str) -> StoreUnavailable:
    """Why no connection came about."""
    state = error.sqlstate or ""
    words = _first_line(error)
    if state in NOT_HAPPENED:
        return StoreUnavailable(f"{where} {NOT_HAPPENED[state]}")
    return StoreUnavailable(f"{where} cannot be reached: {words}")


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
