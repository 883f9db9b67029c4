"""`unstuck events`: the event log of a store, turned on or off, and printed as JSON lines.

The log is for audits and tests: every change of a job, a worker or a queue, in the transaction of the
change, ordered per record. On a store that others write to, turning it on takes the tables' locks for a
moment, and writes a first line for every row that is there. What was written stays when it is turned off.
"""

from __future__ import annotations

import json
from typing import Any

import click

from unstuck.cli.place import Place, check, is_missing, pass_place
from unstuck.cli.showing import say
from unstuck.model.happening import LoggedEvent
from unstuck.model.moments import micros

PAGE = 1000


@click.group(name="events")
def events() -> None:
    """Turn the event log on or off, and print it."""


@events.command()
@pass_place
def on(place: Place) -> None:
    """From now on, write a line for every change."""
    _keep(place, True)


@events.command()
@pass_place
def off(place: Place) -> None:
    """Write no more lines; those that are there stay."""
    _keep(place, False)


@events.command()
@click.option("--record", metavar="ID", help="Only the lines of this job, worker or queue.")
@pass_place
def export(place: Place, record: str | None) -> None:
    """Print the log as JSON lines, record by record, each in its own order."""
    store, after = place.store, None if record is None else (record, 0)
    while lines := place.run(store.events(after, PAGE)):
        for line in lines:
            if record is not None and line.record != record:
                return
            click.echo(json.dumps(plain(line), ensure_ascii=True))
        after = (lines[-1].record, lines[-1].number)


def plain(line: LoggedEvent) -> dict[str, Any]:
    """A line as it is exported; moments are microseconds since the epoch, in UTC."""
    at = None if line.at is None else micros(line.at)
    return {
        "record": line.record,
        "number": line.number,
        "kind": line.kind,
        "name": str(line.name),
        "at": at,
        "facts": dict(line.facts),
    }


def _keep(place: Place, is_on: bool) -> None:
    keeper = place.keeper()
    if is_missing(keeper):
        check(keeper)
    changed = keeper.migrator.keep_events(is_on)
    state = "on" if is_on else "off"
    say(f"{keeper.url_shown}: the event log {'is now' if changed else 'was'} {state}")
