"""`unstuck doctor`: is everything as promised? Exit 0 only if nothing is wrong *and* nothing is recovering.

It reads: the schema, the snapshot invariants, the notices, queues without a worker, tasks that nobody
knows, and jobs that lost their worker. What is inside the published bound is told apart from what is
overdue. A store that does not answer, or is damaged, is itself a finding.
"""

from __future__ import annotations

import click

from unstuck.cli.diagnosing import Ailment, diagnose
from unstuck.cli.place import Place, check, pass_place
from unstuck.cli.records import plain
from unstuck.cli.refusing import FINE, NOT_FINE, without_password
from unstuck.cli.showing import counted, print_json, say
from unstuck.model.errors import BadArguments, StoreCorrupt, StoreUnavailable


@click.command(name="doctor")
@click.option("--repair", is_flag=True, help="Not there yet: refused.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def doctor(place: Place, repair: bool, as_json: bool) -> int:
    """Look for whatever is wrong; exit 0 only if nothing is."""
    if repair:
        raise BadArguments(
            "doctor --repair is not there yet: what a worker can repair, every worker's sweep repairs by itself"
        )
    keeper = place.keeper()
    try:
        check(keeper)
        found, facts = diagnose(keeper)
    except (StoreUnavailable, StoreCorrupt) as error:
        found, facts = [Ailment("store", keeper.engine, without_password(str(error)))], {}
    wrong = [one for one in found if one.due_by is None]
    recovering = [one for one in found if one.due_by is not None]
    if as_json:
        print_json(
            {
                "ok": not found,
                "store": keeper.url_shown,
                "wrong": plain(wrong),
                "recovering": plain(recovering),
                "facts": plain(facts),
            }
        )
        return NOT_FINE if found else FINE
    say(f"store: {keeper.url_shown}")
    for name, value in facts.items():
        say(f"{name}: {value}")
    for one in wrong:
        say(f"WRONG       {one.kind}: {one.sentence}")
    for one in recovering:
        say(f"RECOVERING  {one.kind}: {one.sentence}")
    verdict = (
        f"{counted(len(wrong), 'thing')} wrong, {len(recovering)} recovering" if found else "nothing is wrong"
    )
    say(verdict)
    return NOT_FINE if found else FINE
