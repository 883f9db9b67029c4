"""Printing: tables and lines for people, one JSON document for programs.

On a terminal a table is drawn by rich; into a pipe or a file it is plain aligned text. Every text is
cleaned first: what is not printable (escape sequences, carriage returns, marks that turn the direction of
writing, lone surrogates) is shown as an escape, because names, labels and error messages come out of the
store and may have been written by anybody. Nothing is ever read as markup. JSON is pure ASCII.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

CELL_MAX = 80


def clean(text: object) -> str:
    """The text in one line, with everything that is not printable as an escape."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text))


def say(text: str = "") -> None:
    """One line for people."""
    click.echo(clean(text))


def say_block(text: str, indent: str = "    ") -> None:
    """Several lines for people: line ends are kept, everything else is cleaned."""
    for line in text.splitlines():
        click.echo(indent + clean(line))


def note(text: str) -> None:
    """One line beside the output, on standard error."""
    click.echo(clean(text), err=True)


def print_json(document: Any) -> None:
    """One JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=True))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """A table, or the sentence `empty`."""
    if not rows:
        say(empty)
        return
    cells = [[_short(clean("" if value is None else value)) for value in row] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, cells)
        return
    widths = [max(len(column), *(len(row[at]) for row in cells)) for at, column in enumerate(columns)]
    for row in [list(columns), *cells]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def moment(value: datetime | None) -> str:
    """A moment for people: UTC, to the second."""
    return "" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def counted(number: int, noun: str) -> str:
    """`1 job`, `2,000 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _draw(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in cells:
        table.add_row(*(Text(text) for text in row))
    Console(markup=False, emoji=False, highlight=False).print(table)


def _short(text: str) -> str:
    return text if len(text) <= CELL_MAX else text[: CELL_MAX - 1] + "…"
