"""Many new jobs by COPY, in the server's own binary form: the cheapest way into a table.

A statement of many rows is parsed, planned and unpacked as an array before its first row is written, and only then
does the server begin; COPY takes rows as they come, a thousand at a time while the client packs the next,
and writes them to pages by the group. It computes nothing, so what the statement would take from the store's
clock is asked for first: a place in line and a moment that are a round trip old, as they would be had
the statement been sent that much earlier.

The server takes ten times as long for a row as the client takes to pack it, so whatever the client can do then
costs nothing by the clock: ids are made portion by portion, and when the last is on its way the answer and the
handles are (`Columns.meanwhile`). And what a column would say by itself is not sent: reading it is about a tenth
of the server's work.

COPY is not ready for a row that is there already. It is used where a statement that is not ready either would be
(`shortcuts`): with the first statement of a transaction of ours, which is undone as a whole if the server
refuses it, and then sent in the usual way. Which columns there are says the statement itself; what stands in
them is said here once more, and a test compares the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any
from uuid import UUID

from unstuck.model.states import State
from unstuck.storage.plan import Columns, Request, Statement
from unstuck.storage.sql.library import Dialect, Style

CLOCK = Statement("clock")
COPIED = frozenset({"insert_alike"})
WORTH_IT = 500
"""Rows from which the round trip for the clock is paid back: it takes what about a hundred rows do."""

BY_ITSELF: Mapping[str, Any] = {"timeout_us": None, "codec": 1, "options": "{}", "labels": "{}"}
"""What a column says where nothing is said of it; what need not be sent need not be read, row by row."""

PORTION = 1000
_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_EPOCH_US = 946_684_800_000_000
"""Moments are counted from the first of January 2000."""

_length = Struct("!i").pack
_head = Struct("!hi").pack
_FORMS = {"priority": Struct("!h"), "codec": Struct("!h"), "line": Struct("!q"), "timeout_us": Struct("!q")}
"""Columns that hold whole numbers; the others hold texts."""


def is_worth_it(request: Request) -> bool:
    """Whether this is a statement that is better sent as COPY."""
    return (
        isinstance(request, Statement)
        and request.block in COPIED
        and isinstance(request.rows, Columns)
        and len(request.rows) >= WORTH_IT
    )


def copying(dialect: Dialect, request: Request) -> tuple[bytes, tuple[str, ...]]:
    """The COPY that puts rows where this INSERT would, and the columns that it takes. Raises ValueError."""
    assert isinstance(request, Statement)
    args = request.args
    unsaid = frozenset(name for name, value in BY_ITSELF.items() if name in args and args[name] == value)
    return as_copy(dialect.spelling(request.block, Style.PYFORMAT)[0], unsaid)


@lru_cache(maxsize=64)
def as_copy(text: str, unsaid: frozenset[str] = frozenset()) -> tuple[bytes, tuple[str, ...]]:
    """The same of the text of an INSERT, without columns that need not be named."""
    before, found, rest = text.partition("INSERT INTO ")
    table, opened, inside = rest.partition(" (")
    names, closed, _ = inside.partition(")")
    if not (found and opened and closed):
        raise ValueError("only an INSERT that names its columns can be sent as COPY")
    named = [name.strip() for name in names.split(",")]
    if not {"id", "args"} <= set(named):
        raise ValueError("COPY takes rows of which each has an id and arguments of its own")
    columns = ("id", "args", *(name for name in named if name not in {"id", "args", *unsaid}))
    return f"{before}COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)".encode(), columns


def portions(request: Request, columns: Sequence[str], now_us: int) -> Iterator[bytes]:
    """The rows of the statement for these columns, as COPY takes them, a portion at a time."""
    assert isinstance(request, Statement) and isinstance(request.rows, Columns)
    known: Mapping[str, Any] = {
        "state": State.READY.value,
        "priority": 0,
        "line": now_us,
        "created_at": now_us,
        **request.args,
    }
    ids: Sequence[UUID] = request.rows.by_name["job_id"]
    args: Sequence[str] = request.rows.by_name["args"]
    begin = _head(len(columns), 16)
    end = b"".join([_field(name, known[name]) for name in columns[2:]])
    between = end + begin
    lead = _START
    for first in range(0, len(ids), PORTION):
        texts = [each.encode() for each in args[first : first + PORTION]]
        some = zip(ids[first : first + PORTION], texts, strict=True)
        rows = between.join([each.int.to_bytes(16) + _length(len(text)) + text for each, text in some])
        yield b"".join((lead, begin, rows, end))
        lead = b""
    yield _END


def do_meanwhile(request: Request) -> None:
    """All rows are on their way: what may be done while the server is busy with them."""
    assert isinstance(request, Statement) and isinstance(request.rows, Columns)
    if request.rows.meanwhile is not None:
        request.rows.meanwhile()


def _field(name: str, value: Any) -> bytes:
    if value is None:
        return _NULL
    if name == "created_at":
        packed = _FORMS["line"].pack(value - _EPOCH_US)
    elif name in _FORMS:
        packed = _FORMS[name].pack(value)
    else:
        packed = str(value).encode()
    return _length(len(packed)) + packed
