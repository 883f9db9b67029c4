"""What a store stands on, in SQL: settings, indexes and constraints, sizes, and who holds back its cleaning.

Everything here is asked of catalogues and counters, never of rows; only `integrity` reads a whole file,
and whoever asks for it gives it a deadline. What ought to be there is read from the steps of the ladder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from unstuck.storage.migrating import read_rungs
from unstuck.storage.plan import Mode, Requests, Rows, Statement, planned
from unstuck.storage.protocol import Holder, HolderLimits, Size
from unstuck.storage.sql.library import TABLES, block

CHECK = block("check")
HOLDERS = block("holders")
STRUCTURE = block("structure")
SIZES = block("sizes")
INTEGRITY = block("integrity")

_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX \{name (\w+)\}")
_CONSTRAINT = re.compile(r"CONSTRAINT \{name (\w+)\}")


@planned(Mode.READ)
def check(
    engine: str, prefix: str, judge: Callable[[Mapping[str, str]], list[str]]
) -> Requests[dict[str, Any]]:
    """Settings of the engine, and what looks wrong among them."""
    found: Rows = yield Statement(CHECK, {"names": [prefix + table for table in TABLES]})
    facts: dict[str, str] = {str(name): str(fact) for name, fact in found}
    return {"engine": engine, **facts, "wrong": judge(facts)}


@planned(Mode.READ)
def holders(limits: HolderLimits) -> Requests[list[Holder]]:
    """Who holds back the cleaning of the store."""
    found: Rows = yield Statement(
        HOLDERS,
        {
            "older_us": int(limits.seconds * 1_000_000),
            "bytes": limits.bytes,
            "transactions": limits.transactions,
        },
    )
    return [Holder(kind, str(who), seconds, size) for kind, who, seconds, size in found]


@planned(Mode.READ)
def lacking(engine: str, prefix: str) -> Requests[list[str]]:
    """Indexes and constraints that ought to be there and are not, or that the engine does not rely on."""
    indexes, constraints = expected(engine, prefix)
    found: Rows = yield Statement(STRUCTURE, {"indexes": list(indexes), "constraints": list(constraints)})
    sound = {(kind, name) for kind, name, is_valid in found if is_valid}
    wanted = [("index", name) for name in indexes] + [("constraint", name) for name in constraints]
    return [f"{kind} {name}" for kind, name in wanted if (kind, name) not in sound]


@planned(Mode.READ)
def sizes(prefix: str) -> Requests[list[Size]]:
    """How large the tables are, as far as the engine keeps count."""
    found: Rows = yield Statement(SIZES, {"names": [prefix + table for table in TABLES]})
    return [Size(*row) for row in found]


@planned(Mode.READ)
def integrity() -> Requests[list[str]]:
    """What is wrong with the pages of the store."""
    found: Rows = yield Statement(INTEGRITY)
    return [str(row[0]) for row in found]


@cache
def expected(engine: str, prefix: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the indexes and of the constraints that the steps of the ladder make."""
    text = "\n".join(rung.text for rung in read_rungs(engine))
    indexes = [prefix + name for name in _INDEX.findall(text)]
    if engine == "postgres":
        indexes += [f"{prefix}{table}_pkey" for table in TABLES]
    constraints = [prefix + name for name in _CONSTRAINT.findall(text)]
    # A step that makes a table anew says its names again.
    return tuple(dict.fromkeys(indexes)), tuple(dict.fromkeys(constraints))
