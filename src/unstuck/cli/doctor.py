"""`unstuck doctor`: is everything as promised? Exit 0 only if nothing is wrong *and* nothing is recovering.

It reads, a line per check: the schema, what the store stands on, whether work gets done, and every invariant
with the records that break it. What is inside the published bound is told apart from what is overdue, and a
check that did not finish in its time says so. A store that does not answer, or is damaged, is itself a
finding. `--repair` then heals what an ordinary operation heals, and looks again.
"""

from __future__ import annotations

from typing import Any

import click

from unstuck.cli.audit import whoami
from unstuck.cli.place import Place, is_missing, pass_place, patiently, with_remedy
from unstuck.cli.records import plain
from unstuck.cli.refusing import FINE, NOT_FINE, without_password
from unstuck.cli.showing import counted, note, print_json, say
from unstuck.doctor.examining import diagnose
from unstuck.doctor.finding import Check, Diagnosis, Status
from unstuck.doctor.looking import Looking
from unstuck.doctor.repairing import BY_HAND, Repairing
from unstuck.model.audit import Repair
from unstuck.model.errors import SchemaMismatch, StoreCorrupt, StoreUnavailable
from unstuck.model.ids import uuid7
from unstuck.model.invariant import OFFENCE, Invariant
from unstuck.storage.opening import Keeper

LABELS = {
    Status.OK: "ok",
    Status.RECOVERING: "RECOVERING",
    Status.UNFINISHED: "UNFINISHED",
    Status.WRONG: "WRONG",
}


@click.command(name="doctor")
@click.option(
    "--repair",
    is_flag=True,
    help="Heal what ordinary operations can heal, and write each repair to the audit.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def doctor(place: Place, repair: bool, as_json: bool) -> int:
    """Look for whatever is wrong; exit 0 only if nothing is."""
    keeper = place.keeper()
    _refuse_what_is_no_store(keeper)
    found = diagnose(keeper, repair=_heal if repair else None)
    if as_json:
        print_json(_document(keeper, found))
    else:
        _show(keeper, found)
    return FINE if found.is_fine else NOT_FINE


async def _heal(looking: Looking) -> list[Repair]:
    return await Repairing(looking, whoami(), uuid7, note).run()


def _refuse_what_is_no_store(keeper: Keeper) -> None:
    """A file that is not there and a database without our tables are no patients."""
    if is_missing(keeper):
        raise SchemaMismatch(f"there is no store at {keeper.url_shown}: the file does not exist or is empty")
    try:
        stands = patiently(keeper.migrator.status)
    except (StoreUnavailable, StoreCorrupt):
        return
    if stands.state == "empty":
        raise SchemaMismatch(with_remedy(keeper, stands.state, stands.sentence))


def _document(keeper: Keeper, found: Diagnosis) -> dict[str, Any]:
    return {
        "ok": found.is_fine,
        "store": keeper.url_shown,
        "checks": [_record(check) for check in found.checks],
        "wrong": [_cleaned(one) for one in plain(found.ailments(Status.WRONG))],
        "recovering": [_cleaned(one) for one in plain(found.ailments(Status.RECOVERING))],
        "repairs": plain(found.repairs),
        "unfinished": [check.name for check in found.of(Status.UNFINISHED)],
        "facts": plain(found.facts),
    }


def _record(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "status": check.status.value,
        "sentence": without_password(check.sentence),
        "count": check.count,
        "count_is_exact": not check.is_cut,
        "ids": check.ids,
        "seconds": round(check.seconds, 3),
    }


def _cleaned(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "sentence": without_password(record["sentence"])}


def _show(keeper: Keeper, found: Diagnosis) -> None:
    say(f"store: {keeper.url_shown}")
    for name, value in found.facts.items():
        say(f"{name}: {value}")
    for check in found.checks:
        _show_check(check)
    for one in found.repairs:
        say(f"REPAIRED    {one.cause}: {one.action} {one.kind} {one.subject}: {one.sentence}")
    wrong = sum(check.count for check in found.of(Status.WRONG))
    recovering = len(found.ailments(Status.RECOVERING))
    unfinished = len(found.of(Status.UNFINISHED))
    tail = f", {counted(unfinished, 'check')} unfinished" if unfinished else ""
    say(
        "nothing is wrong"
        if found.is_fine
        else f"{counted(wrong, 'thing')} wrong, {recovering} recovering{tail}"
    )


def _show_check(check: Check) -> None:
    label = f"{LABELS[check.status]:11}"
    if check.name.startswith("invariant."):
        more = check.count - len(check.ids)
        tail = f" and {'at least ' if check.is_cut else ''}{more:,} more" if more > 0 else ""
        ids = f" {', '.join(check.ids)}{tail}" if check.ids else ""
        why = f" {check.sentence}" if check.status is Status.UNFINISHED else ids
        broken = Invariant(check.name.removeprefix("invariant."))
        offence = f" ({OFFENCE[broken]})" if check.ids else ""
        say(f"{label} {check.name}{offence}{':' if why else ''}{without_password(why)}")
        if check.ids and broken in BY_HAND:
            say(f"{'':11} {BY_HAND[broken]}")
        return
    if not check.ailments:
        say(f"{label} {check.name}{': ' if check.sentence else ''}{without_password(check.sentence)}")
    for one in check.ailments:
        marked = f"{LABELS[Status.WRONG if one.due_by is None else Status.RECOVERING]:11}"
        say(f"{marked} {check.name}: {without_password(one.sentence)}")
    if check.count > len(check.ailments):
        say(
            f"{label} {check.name}: and {'at least ' if check.is_cut else ''}{check.count - len(check.ailments):,} more"
        )
