"""`unstuck migrate`: where the schema stands, what is missing, and the only command that changes it.

`status` (also without a word) reads only and exits 1 where something is missing, so a deployment can ask.
`sql` prints what `apply` would run, for those whose databases are changed by somebody else. `apply` runs
step by step; where it stops, the steps before have been applied whole and stand in the record.
"""

from __future__ import annotations

import click

from unstuck.cli.place import Place, file_of, is_missing, pass_place
from unstuck.cli.refusing import FINE, NOT_FINE
from unstuck.cli.showing import counted, print_json, say
from unstuck.model.errors import StoreUnavailable


@click.group(name="migrate", invoke_without_command=True)
@click.pass_context
def migrate(ctx: click.Context) -> int | None:
    """Show, print or apply the steps that the schema lacks."""
    if ctx.invoked_subcommand is None:
        answer: int = ctx.invoke(status, as_json=False)
        return answer
    return None


@migrate.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def status(place: Place, as_json: bool) -> int:
    """Say where the schema stands; exit 1 where something is missing."""
    keeper = place.keeper()
    if is_missing(keeper):
        if as_json:
            print_json(
                {
                    "store": keeper.url_shown,
                    "state": "missing",
                    "is_current": False,
                    "applied": [],
                    "missing": [],
                }
            )
        else:
            say(
                f"{keeper.url_shown}: the file does not exist or is empty; migrate apply, or the first worker, makes it"
            )
        return NOT_FINE
    found = keeper.migrator.status()
    if as_json:
        print_json(
            {
                "store": keeper.url_shown,
                "state": found.state,
                "is_current": found.is_current,
                "sentence": found.sentence,
                "applied": list(found.applied),
                "missing": [
                    {"number": rung.number, "name": rung.name, "checksum": rung.checksum}
                    for rung in found.missing
                ],
            }
        )
    else:
        say(f"{keeper.url_shown}: {found.sentence}")
        for rung in found.missing:
            say(f"  missing: {rung.number} {rung.name}")
    return FINE if found.is_current else NOT_FINE


@migrate.command()
@pass_place
def sql(place: Place) -> None:
    """Print the SQL of the missing steps; nothing is run."""
    click.echo(place.keeper().migrator.sql().rstrip("\n"))


@migrate.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def apply(place: Place, as_json: bool) -> None:
    """Apply the missing steps."""
    keeper = place.keeper()
    file = file_of(keeper)
    if file is not None and not file.parent.is_dir():
        raise StoreUnavailable(f"cannot create {file}: there is no folder {file.parent}")
    applied = keeper.migrator.apply()
    if as_json:
        steps = [{"number": rung.number, "name": rung.name, "checksum": rung.checksum} for rung in applied]
        print_json({"store": keeper.url_shown, "applied": steps})
        return
    for rung in applied:
        say(f"applied: {rung.number} {rung.name}")
    say(
        f"{keeper.url_shown}: {counted(len(applied), 'step')} applied"
        if applied
        else f"{keeper.url_shown}: nothing was missing"
    )
