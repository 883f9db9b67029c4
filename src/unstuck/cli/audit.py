"""`unstuck audit`: what was repaired by hand, newest first.

An entry is written in the transaction of the repair itself (`unstuck doctor --repair`), so the list is
neither shorter nor longer than what happened. Nothing deletes it.
"""

from __future__ import annotations

import getpass
import socket

import click

from unstuck.cli.place import Place, pass_place
from unstuck.cli.records import plain
from unstuck.cli.showing import moment, print_json, print_table


@click.group(name="audit")
def audit() -> None:
    """Show what was repaired by hand, by whom and why."""


@audit.command(name="list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def list_(place: Place, limit: int, as_json: bool) -> None:
    """List repairs, newest first."""
    found = place.run(place.store.audit(limit))
    if as_json:
        print_json({"audit": plain(found)})
        return
    rows = [
        (moment(one.at), one.actor, one.action, one.kind, one.subject, one.cause, one.sentence)
        for one in found
    ]
    print_table(
        ("at", "by", "action", "kind", "record", "because", "what"), rows, "nothing was repaired by hand"
    )


def whoami() -> str:
    """Who asks: the account and the host, for people to read; nothing is decided by it."""
    try:
        account = getpass.getuser()
    except (OSError, KeyError):
        account = "somebody"
    return f"{account}@{socket.gethostname()}"
