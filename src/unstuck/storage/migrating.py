"""The ladder: numbered steps from nothing to the schema of this version, each applied once and whole.

A step is one file, `0001_first.sql`, applied together with its record in one transaction, one process at
a time; so a step either happened, with its checksum written beside it, or left nothing. Where a store
stands is read from the catalogue and from those records, never guessed from an error. Anything that
does not fit (a table missing, a gap, a checksum that differs, tables without a record) is *half*, and
then nothing is applied on top: a half-applied step must never be taken for a whole one.

Workers and clients only ever ask for the status. `unstuck migrate apply` is what changes a store; the
one exception is an SQLite file that was empty when it was opened.

Beside the ladder stands one thing that only some stores have, the event log (`storage.event_log`): where
the application asks for it, a store without it is behind, and `apply` turns it on; a store that is made then has it from
the commit on that makes its tables.
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
from unstuck.storage import event_log as log
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

EVENT_LOG = "event_log"
"""The name of what is no step: number 0."""

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

    def keep_events(self, is_on: bool) -> bool:
        """Turn the event log on or off; False where nothing was to be done."""
        ...


class Ladder:
    """The migrator of an SQL engine; `connect` opens a connection that does not ask for a schema.

    `event_log` says that the application asks for the event log.
    """

    def __init__(
        self,
        dialect: Dialect,
        connect: Callable[[], AbstractContextManager[BlockingConnection]],
        event_log: bool = False,
    ):
        self._dialect = dialect
        self._connect = connect
        self._rungs = read_rungs(dialect.engine)
        self._event_log = event_log

    def status(self) -> Status:
        with self._connect() as connection:
            return run(connection, status(self._dialect, self._rungs, self._event_log))

    def sql(self) -> str:
        stands = self.status()
        scripts = [script_of(self._dialect, rung) for rung in stands.missing if rung.number]
        if self._event_log and not stands.is_current:
            scripts.append(log.script_for_people(self._dialect))
        return "\n".join(scripts)

    def apply(self) -> list[Rung]:
        with self._connect() as connection:
            return climb(connection, self._dialect, self._rungs, self._event_log)

    def keep_events(self, is_on: bool) -> bool:
        with self._connect() as connection:
            return run(connection, (log.turn_on if is_on else log.turn_off)(self._dialect))


def climb(
    connection: BlockingConnection, dialect: Dialect, rungs: Sequence[Rung], event_log: bool = False
) -> list[Rung]:
    """Apply the steps that are missing, and renew or turn on the event log; answers what was done now."""
    done = run(connection, _found(dialect, rungs, event_log))
    climbed = [rung for rung in rungs if run(connection, _apply(dialect, rungs, rung))]
    is_kept = event_log or run(connection, log.in_force()) not in (None, log.OFF)
    # A step may have made a table anew, and a table takes its triggers along.
    if is_kept and run(connection, log.turn_on(dialect, anew=bool(climbed))):
        climbed.append(event_log_rung(dialect))
    return done + climbed


@planned(Mode.TRANSACTION)
def _found(dialect: Dialect, rungs: Sequence[Rung], event_log: bool) -> Requests[list[Rung]]:
    """All steps at once in a store that has none, with the event log where one is asked for: nobody ever sees a part of
    them and takes it for an old store, or for one without the log."""
    yield Statement(LOCK_MIGRATIONS)
    stands = yield from _status(dialect, rungs)
    if stands.state != "empty":
        return []
    for rung in rungs:
        yield from _step(dialect, rung)
    if not event_log:
        return list(rungs)
    yield from log.turn_on(dialect).start()
    return [*rungs, event_log_rung(dialect)]


def event_log_rung(dialect: Dialect) -> Rung:
    """The event log, in the words of the ladder, of which it is no step."""
    return Rung(0, EVENT_LOG, log.text_of(dialect), log.checksum_of(dialect))


@planned(Mode.READ)
def status(dialect: Dialect, rungs: Sequence[Rung], event_log: bool = False) -> Requests[Status]:
    """Where the store stands, as a plan; `event_log`: it must keep one."""
    stands = yield from _status(dialect, rungs)
    if event_log and stands.is_current:
        found: Rows = yield Statement(log.EVENT_LOG)
        if not found or found[0][0] == log.OFF:
            sentence = f"the store keeps no event log, and the app asks for one: {_APPLY}"
            return Status("behind", sentence, stands.applied, (event_log_rung(dialect),))
    return stands


@planned(Mode.TRANSACTION)
def _apply(dialect: Dialect, rungs: Sequence[Rung], rung: Rung) -> Requests[bool]:
    yield Statement(LOCK_MIGRATIONS)
    stands = yield from _status(dialect, rungs)
    if stands.state in ("ahead", "half"):
        raise SchemaMismatch(stands.sentence)
    if rung.number in stands.applied:
        return False
    yield from _step(dialect, rung)
    return True


def _step(dialect: Dialect, rung: Rung) -> Requests[None]:
    yield Script(f"step {rung.number}", dialect.resolve(rung.text, rung.name))
    yield Statement(RECORD_STEP, rows=[{"number": rung.number, "name": rung.name, "checksum": rung.checksum}])


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


def current(dialect: Dialect, event_log: bool = False) -> Plan[Status]:
    """Where the store stands against the steps of this version, as a plan."""
    return status(dialect, read_rungs(dialect.engine), event_log)
