"""The ladder: numbered steps from nothing to the schema of this version, each applied once and whole.

A step is one file, `0001_first.sql`, applied together with its record in one transaction, one process at
a time; so a step either happened, with its checksum written beside it, or left nothing. Where a store
stands is read from the catalogue and from those records, never guessed from an error. Anything that
does not fit (a table missing, a gap, a checksum that differs, tables without a record) is *half*, and
then nothing is applied on top: a half-applied step must never be taken for a whole one.

Workers and clients only ever ask for the status. `unstuck migrate apply` is what changes a store; the
one exception is an SQLite file that was empty when it was opened.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Protocol

from unstuck.model.errors import SchemaMismatch
from unstuck.storage.plan import (
    BlockingConnection,
    Mode,
    Plan,
    Requests,
    Rows,
    Script,
    Statement,
    planned,
    run,
)
from unstuck.storage.sql.library import TABLES, Dialect, block

HAS_TABLE = block("has_table")
LOCK_MIGRATIONS = block("lock_migrations")
APPLIED_STEPS = block("applied_steps")
RECORD_STEP = block("record_step")

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_APPLY = "run `unstuck migrate apply`"


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder: its number, its name, its text with words in braces, and the checksum of that."""

    number: int
    name: str
    text: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Status:
    """Where a store stands: `state` is "current", "empty", "behind", "ahead" or "half"; `sentence` is for people."""

    state: str
    sentence: str
    applied: tuple[int, ...]
    missing: tuple[Rung, ...]

    @property
    def is_current(self) -> bool:
        """Whether this version of unstuck can work with the store."""
        return self.state == "current"


class Migrator(Protocol):
    """What `unstuck migrate` talks to; blocking."""

    def status(self) -> Status:
        """Where the store stands, by reading only."""
        ...

    def sql(self) -> str:
        """The text of the steps that are missing, for people who run it by themselves."""
        ...

    def apply(self) -> list[Rung]:
        """Apply what is missing, step by step; answers the steps applied now. Raises SchemaMismatch."""
        ...


class Ladder:
    """The migrator of an SQL engine; `connect` opens a connection that does not ask for a schema."""

    def __init__(self, dialect: Dialect, connect: Callable[[], AbstractContextManager[BlockingConnection]]):
        self._dialect = dialect
        self._connect = connect
        self._rungs = read_rungs(dialect.engine)

    def status(self) -> Status:
        with self._connect() as connection:
            return run(connection, status(self._dialect, self._rungs))

    def sql(self) -> str:
        return "\n".join(script_of(self._dialect, rung) for rung in self.status().missing)

    def apply(self) -> list[Rung]:
        with self._connect() as connection:
            return climb(connection, self._dialect, self._rungs)


def climb(connection: BlockingConnection, dialect: Dialect, rungs: Sequence[Rung]) -> list[Rung]:
    """Apply the steps that are missing; answers those applied now."""
    return [rung for rung in rungs if run(connection, _apply(dialect, rungs, rung))]


@planned(Mode.READ)
def status(dialect: Dialect, rungs: Sequence[Rung]) -> Requests[Status]:
    """Where the store stands, as a plan."""
    return (yield from _status(dialect, rungs))


@planned(Mode.TRANSACTION)
def _apply(dialect: Dialect, rungs: Sequence[Rung], rung: Rung) -> Requests[bool]:
    yield Statement(LOCK_MIGRATIONS)
    stands = yield from _status(dialect, rungs)
    if stands.state in ("ahead", "half"):
        raise SchemaMismatch(stands.sentence)
    if rung.number in stands.applied:
        return False
    yield Script(f"step {rung.number}", dialect.resolve(rung.text, rung.name))
    yield Statement(RECORD_STEP, rows=[{"number": rung.number, "name": rung.name, "checksum": rung.checksum}])
    return True


def _status(dialect: Dialect, rungs: Sequence[Rung]) -> Requests[Status]:
    names = {table: dialect.prefix + table for table in TABLES}
    found: Rows = yield Statement(HAS_TABLE, {"names": sorted(names.values())})
    there = {row[0] for row in found}
    recorded: dict[int, str] = {}
    if names["migrations"] in there:
        steps: Rows = yield Statement(APPLIED_STEPS)
        recorded = {int(number): str(checksum) for number, checksum in steps}
    return _judge(rungs, recorded, sorted(set(names.values()) - there), any_table=bool(there))


def _judge(rungs: Sequence[Rung], recorded: dict[int, str], absent: Sequence[str], any_table: bool) -> Status:
    applied = tuple(sorted(recorded))
    missing = tuple(rung for rung in rungs if rung.number not in recorded)
    known = rungs[-1].number

    def stands(state: str, sentence: str) -> Status:
        return Status(state, sentence, applied, missing)

    if not any_table:
        return stands("empty", f"the store has no tables of unstuck yet: {_APPLY}")
    if not applied:
        return stands(
            "half",
            "the store has tables of unstuck but no record of how they came: see `unstuck migrate status`",
        )
    if applied[-1] > known:
        return stands(
            "ahead",
            f"the schema is at step {applied[-1]} and this version of unstuck knows {known}:"
            " upgrade unstuck (see `unstuck migrate status`)",
        )
    if applied != tuple(range(1, len(applied) + 1)):
        return stands("half", f"the schema has steps {applied}, with a gap: see `unstuck migrate status`")
    for rung in rungs:
        if recorded.get(rung.number, rung.checksum) != rung.checksum:
            return stands(
                "half",
                f"step {rung.number} of the schema is not the one of this version:"
                " see `unstuck migrate status`",
            )
    if missing:
        return stands("behind", f"the schema is at step {applied[-1]} of {known}: {_APPLY}")
    if absent:
        return stands("half", f"the table {absent[0]} is missing: see `unstuck migrate status`")
    return stands("current", f"the schema is at step {known}, the newest that this version knows")


def script_of(dialect: Dialect, rung: Rung) -> str:
    """A step and its record as one transaction in plain SQL."""
    record = dialect.resolve(
        "INSERT INTO {migrations} (number, name, checksum, applied_at)"
        f" VALUES ({rung.number}, '{rung.name}', '{rung.checksum}', {dialect.now_in_a_script})"
    )
    return f"BEGIN;\n\n{dialect.resolve(rung.text, rung.name).strip()}\n\n{record};\n\nCOMMIT;\n"


@cache
def read_rungs(engine: str) -> tuple[Rung, ...]:
    """The steps of an engine, in order."""
    folder = resources.files("unstuck.storage") / engine / "migrations"
    rungs: list[Rung] = []
    for file in folder.iterdir():
        if match := _FILE.fullmatch(file.name):
            text = file.read_text(encoding="utf-8")
            checksum = hashlib.sha256(text.encode()).hexdigest()
            rungs.append(Rung(int(match[1]), match[2], text, checksum))
    rungs.sort(key=lambda rung: rung.number)
    assert [rung.number for rung in rungs] == list(range(1, len(rungs) + 1)), (
        "the steps are not numbered 1, 2, 3 …"
    )
    return tuple(rungs)


def current(dialect: Dialect) -> Plan[Status]:
    """Where the store stands against the steps of this version, as a plan."""
    return status(dialect, read_rungs(dialect.engine))
