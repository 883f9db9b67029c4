"""SQLite's way of saying things: moments are integer microseconds in UTC, ids and JSON are text.

`now` is bound, read from the process's clock when a statement is spelled, which is after the write lock
is held: SQLite's own clock has milliseconds only, and one host has one clock. There are no arrays, so a
row source is one row of parameters and the statement runs once per row, in one transaction. Where rows are
few columns wide and many, as the endings of a busy worker or the jobs of one task are, they come as one JSON document (`{many …}`): the
statement then runs once, and the interpreter is free for the handlers while it does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import msgspec

from unstuck.model.moments import micros
from unstuck.storage.plan import Columns, Statement
from unstuck.storage.sql.library import Dialect, Spelled, paired, row_source

MANY = "many_rows"
"""The parameter that holds the rows of a statement which takes all of them at once, each an array in order."""

MANY_BYTES = 1 << 24
"""How large such a document may be; larger ones are cut."""

_PLAIN = frozenset({str, int, float, bytes, type(None)})


def process_clock() -> int:
    """The wall clock of this host in microseconds."""
    return time.time_ns() // 1000


class SqliteDialect(Dialect):
    """Resolves and spells for SQLite. `clock` answers now in microseconds; the simulator brings its own."""

    engine = "sqlite"
    now_in_a_script = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"

    def __init__(self, prefix: str = "unstuck_", clock: Callable[[], int] = process_clock):
        super().__init__(prefix)
        self.clock = clock

    def bind(self, statement: Statement, text: str, names: tuple[str, ...]) -> Iterator[Spelled]:
        shared = _adapted_row(statement.args)
        if "now" in names:
            shared["now"] = self.clock()
        if statement.rows is None:
            yield Spelled(text, names, shared)
            return
        if MANY in names:
            rows = statement.rows
            bare = rows.tuples() if isinstance(rows, Columns) else [list(row.values()) for row in rows]
            for document in _documents(bare):
                yield Spelled(text, names, {**shared, MANY: document})
            return
        for row in statement.rows:
            yield Spelled(text, names, {**shared, **_adapted_row(row)})

    def phrase(self, word: str, rest: str) -> str | None:
        match word:
            case "now" | "now_us":
                return ":now"
            case "after":
                return f"(:now + ({rest}))"
            case "until":
                return f"({rest} - :now)"
            case "micros":
                return rest
            case "rows":
                alias, columns = row_source(rest)
                return f"(SELECT {', '.join(f':{name} AS {name}' for name, _ in columns)}) AS {alias}"
            case "many":
                alias, columns = row_source(rest)
                parts = [
                    f"json_extract(m.value, '$[{at}]') AS {name}" for at, (name, _) in enumerate(columns)
                ]
                return f"(SELECT {', '.join(parts)} FROM json_each(:{MANY}) AS m) AS {alias}"
            case "row":
                return "rowid"
            case "among":
                return "IN ("
            case "/among":
                return ")"
            case "one":
                parameter = rest.split()[1]
                return f"IN (SELECT value FROM json_each({parameter}))"
            case "each":
                alias, _, typed = rest.partition(":")
                return f"json_each(:{typed.strip().lstrip(':').split()[0]}) AS {alias.strip()}"
            case "pairs":
                alias, ((one, _), (other, _)), name = paired(rest)
                return (
                    f"(SELECT o.value AS value, p.value AS {name} FROM json_each({one}) AS o"
                    f" JOIN json_each({other}) AS p ON p.key = o.key) AS {alias}"
                )
            case "null":
                return f"{rest.split()[0]} IS NULL"
            case "true":
                return rest
            case "document":
                return "json_object"
            case "differ":
                one, other = rest.split()
                return f"{one} IS NOT {other}"
            case "event_now":
                # A trigger has no parameters; what would be real time in a simulated world is left out there.
                return self.now_in_a_script if self.clock is process_clock else "NULL"
            case "label":
                column, key = rest.split()
                return f"(SELECT e.value FROM json_each({column}) AS e WHERE e.key = {key})"
            case "number":
                column, key = rest.split()
                return f"json_extract({column}, '$.{key}')"
            case "skip_locked" | "for_update":
                return ""
            case _:
                return None


def _documents(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """The rows as JSON, in as many documents as it takes: the library refuses a value of a gigabyte."""
    if not rows:
        return
    document = msgspec.json.encode(rows)
    if len(document) <= MANY_BYTES or len(rows) == 1:
        yield document.decode()
        return
    middle = len(rows) // 2
    yield from _documents(rows[:middle])
    yield from _documents(rows[middle:])


def _adapted_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if type(value) in _PLAIN else _adapted(value)  # the common case, without a call
        for name, value in row.items()
    }


def _adapted(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, UUID | str):
        return str(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, list | tuple):
        return json.dumps([_adapted(each) for each in cast("Sequence[Any]", value)])
    return value
