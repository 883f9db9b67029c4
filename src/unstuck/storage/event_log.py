"""The event log of an SQL store: turned on, asked about, read.

The log is a property of the store, not of a process. Turning it on makes a table and triggers, and from
that commit on every change of a job, a worker or a queue writes its line in its own transaction, whoever
makes the change: an older worker, a sweep, a caller's `tx=`, a person with a shell. Nobody has to know
that the log is on, nobody can forget to write, and a store without it has no table, no trigger and no
statement more.

Records that are there already get a line `found`, so the log of every record begins with its whole row.
Which text of the triggers is in force stands in `meta` as a checksum; `migrate apply` renews another
one. Nothing deletes lines: the log grows until it is turned off, or its table is emptied.
"""

from __future__ import annotations

import hashlib
import json

from unstuck.model.errors import BadSetting
from unstuck.model.happening import Happening, LoggedEvent
from unstuck.storage.plan import Mode, Requests, Rows, Script, Statement, planned
from unstuck.storage.sql.library import Dialect, block
from unstuck.storage.sql.rows import moment

EVENT_LOG = block("event_log")
PUT_EVENT_LOG = block("put_event_log")
EVENTS = block("events")

OFF = "off"
NEVER_ON = "the store keeps no event log: run `unstuck events on`, or begin with App(…, event_log=True)"


def text_of(dialect: Dialect) -> str:
    """The script that turns the log on, with its words in braces; also over one that is on."""
    return f"{dialect.script('event_log_off')}\n{dialect.script('event_log_on')}"


def checksum_of(dialect: Dialect) -> str:
    """What `meta` says where this version's triggers are in force: the whole text, parts included."""
    return hashlib.sha256(dialect.resolve(text_of(dialect), "event_log").encode()).hexdigest()


@planned(Mode.READ)
def in_force() -> Requests[str | None]:
    """The checksum of the triggers in force, "off" where there are none any more, None where there never were."""
    return (yield from _in_force())


@planned(Mode.TRANSACTION)
def turn_on(dialect: Dialect, anew: bool = False) -> Requests[bool]:
    """Make the triggers those of this version; False where they were, unless it is asked for `anew`."""
    checksum = checksum_of(dialect)
    if (yield from _in_force()) == checksum and not anew:
        return False
    yield Script("turn the event log on", dialect.resolve(text_of(dialect), "event_log"))
    yield Statement(PUT_EVENT_LOG, {"value": checksum})
    return True


@planned(Mode.TRANSACTION)
def turn_off(dialect: Dialect) -> Requests[bool]:
    """Take the triggers away; what was written stays. False where there were none."""
    if (yield from _in_force()) in (None, OFF):
        return False
    yield Script("turn the event log off", dialect.resolve(dialect.script("event_log_off"), "event_log"))
    yield Statement(PUT_EVENT_LOG, {"value": OFF})
    return True


@planned(Mode.READ)
def events(after: tuple[str, int] | None = None, limit: int = 1000) -> Requests[list[LoggedEvent]]:
    """A page of the log. Raises BadSetting where there never was one."""
    if (yield from _in_force()) is None:
        raise BadSetting(NEVER_ON)
    record, number = after or ("", 0)
    found: Rows = yield Statement(EVENTS, {"after_record": record, "after_number": number, "limit": limit})
    return _lines(found)


def script_for_people(dialect: Dialect) -> str:
    """Turning the log on, as one transaction in plain SQL."""
    note = dialect.resolve(
        f"INSERT INTO {{meta}} (name, value) VALUES ('event_log', '{checksum_of(dialect)}')"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    )
    return f"BEGIN;\n\n{dialect.resolve(text_of(dialect), 'event_log').strip()}\n\n{note};\n\nCOMMIT;\n"


def _in_force() -> Requests[str | None]:
    found: Rows = yield Statement(EVENT_LOG)
    return str(found[0][0]) if found else None


def _lines(found: Rows) -> list[LoggedEvent]:
    return [
        LoggedEvent(
            record, int(number), kind, Happening(name), moment(at), json.loads(facts) if facts else {}
        )
        for record, number, kind, name, at, facts in found
    ]
