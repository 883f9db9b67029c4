"""Is there a pooler between, and in which mode? Found out, not asked: poolers like to pass for the server.

Who greets a new connection tells the process that will serve it; a pooler makes that up. Where it did, two
connections are opened: if one process of the server answers both, it is given out by the transaction (or
the statement) and no session can be relied on; else a session keeps its own. We rely on none: hints are
then not heard, and polling is all there is.
"""

from __future__ import annotations

from collections.abc import Callable

from unstuck.storage.postgres.connection import PostgresConnection

TRIES = 3


def route_of(open: Callable[[], PostgresConnection]) -> str:
    """In a few words. Raises StoreErrors."""
    first = open()
    try:
        if first.served_by() == first.greeted_by:
            return "direct"
        for _ in range(TRIES):
            second = open()
            try:
                # In session mode the first still holds its process, so the second cannot have it.
                if first.served_by() == second.served_by():
                    return "a pooler in transaction mode: hints are not heard, polling is all there is"
            finally:
                second.close()
        return "a pooler in session mode"
    finally:
        first.close()
