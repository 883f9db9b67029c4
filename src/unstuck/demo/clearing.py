"""Removing what the demo (or the bench) made in somebody's database: its own tables, and nothing else.

The names are those of the schema behind the demo's own prefix, which ends in a number drawn for this
run, so a mistake could only hit a demo.
"""

from __future__ import annotations

from unstuck.model.errors import BadSetting
from unstuck.storage.opening import Keeper
from unstuck.storage.plan import Mode, Plan, Requests, Script
from unstuck.storage.sql.library import TABLES

DEMO_PREFIX = "unstuck_demo_"
BENCH_PREFIX = "unstuck_bench_"
OURS = (DEMO_PREFIX, BENCH_PREFIX)


def drop_tables(keeper: Keeper, prefix: str) -> None:
    """Drop the tables of this run. Raises BadSetting for a prefix that no demo or bench drew, and StoreErrors."""
    if not prefix.startswith(OURS) or prefix in OURS:
        raise BadSetting(f"{prefix!r} is not the prefix of a demo or a bench")

    def requests() -> Requests[None]:
        for table in reversed(TABLES):
            yield Script(f"drop {table}", f"DROP TABLE IF EXISTS {prefix}{table}")

    keeper.run(Plan("drop_demo", Mode.TRANSACTION, requests))
