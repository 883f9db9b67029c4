"""PostgreSQL's way of saying things: native uuid and timestamptz, and many rows as arrays.

Now is `statement_timestamp()`: `now()` is the start of the transaction, so a delayed job in an old one
would be due at once, and `clock_timestamp()` cannot use an index. The simulator passes its own `now`.
Every parameter of an array has its type beside it, so that any driver and any pooler can send it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from unstuck.storage.plan import Columns, Statement
from unstuck.storage.sql.library import Dialect, Spelled, paired, row_source

NOW = "statement_timestamp()"

_TYPES = {"moment": "timestamptz"}


class PostgresDialect(Dialect):
    """Resolves and spells for PostgreSQL. `now` is the SQL of the store's clock."""

    engine = "postgres"
    now_in_a_script = NOW

    def __init__(self, prefix: str = "unstuck_", now: str = NOW):
        super().__init__(prefix)
        self.now = now

    def bind(self, statement: Statement, text: str, names: tuple[str, ...]) -> Iterator[Spelled]:
        # Enums as the text they stand for: drivers would send their names.
        values = {
            name: value.value if isinstance(value, Enum) else value for name, value in statement.args.items()
        }
        rows = statement.rows
        if rows is not None:
            if not rows:
                return
            if isinstance(rows, Columns):
                values.update((name, list(column)) for name, column in rows.by_name.items())
            else:
                for name in rows[0]:
                    values[name] = [row[name] for row in rows]
        yield Spelled(text, names, values)

    def phrase(self, word: str, rest: str) -> str | None:
        match word:
            case "now" | "event_now":
                return self.now
            case "now_us":
                return _micros(self.now)
            case "after":
                return f"({self.now} + ({rest}) * interval '1 microsecond')"
            case "until":
                return _micros(f"({rest}) - {self.now}")
            case "micros":
                return _micros(rest)
            case "rows" | "many":
                alias, columns = row_source(rest)
                columns_of = ", ".join(_hidden(f":{name}", _TYPES.get(kind, kind)) for name, kind in columns)
                return f"unnest({columns_of}) AS {alias}({', '.join(name for name, _ in columns)})"
            case "row":
                return "ctid"
            case "among":
                return "= ANY(ARRAY("
            case "/among":
                return "))"
            case "one":
                _, parameter, kind = rest.split()
                array = (
                    f"{_hidden(parameter, kind)}::{kind}[]" if kind == "uuid" else f"{parameter}::{kind}[]"
                )
                return f"= ANY({array})"
            case "each":
                alias, _, typed = rest.partition(":")
                parameter, kind = typed.split()
                return f"unnest({parameter}::{kind}[]) AS {alias.strip()}(value)"
            case "pairs":
                alias, arrays, name = paired(rest)
                listed = ", ".join(f"{parameter}::{kind}[]" for parameter, kind in arrays)
                return f"unnest({listed}) AS {alias}(value, {name})"
            case "null":
                parameter, kind = rest.split()
                return f"{parameter}::{kind} IS NULL"
            case "true":
                return f"{rest}::boolean"
            case "document":
                return "json_build_object"
            case "differ":
                one, other = rest.split()
                return f"{one} IS DISTINCT FROM {other}"
            case "label":
                column, key = rest.split()
                return f"({column}::jsonb ->> {key})"
            case "number":
                column, key = rest.split()
                return f"({column}::jsonb ->> '{key}')::bigint"
            case "skip_locked":
                return f"FOR UPDATE OF {rest} SKIP LOCKED"
            case "for_update":
                return f"FOR UPDATE OF {rest}"
            case _:
                return None


def _hidden(parameter: str, kind: str) -> str:
    """An array whose length the planner cannot see.

    Told of 500 ids it would rather hash a table of 40,000 rows than look them up (20 ms against 3); not
    told, it takes them for ten, and uses the primary key.
    """
    return f"(SELECT {parameter}::{kind}[])"


def _micros(moment: str) -> str:
    return f"(extract(epoch FROM {moment}) * 1000000)::bigint"
