"""`unstuck jobs cancel|retry|delete`: by id or by filter, with the count shown before anything is changed.

A filter is confirmed by a question, or by --yes where nobody can be asked; ids say exactly what is meant
and are not. --dry-run shows the count and stops. What runs is only *asked* to cancel: its worker ends it.
`delete` also means jobs that have ended: they are kept no longer, and the next pruning removes them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from unstuck.cli.changing import Changed, end_jobs, revive_jobs
from unstuck.cli.choosing import Choice, choice_of, filter_options
from unstuck.cli.place import Place, pass_place
from unstuck.cli.refusing import FINE, NOT_FINE
from unstuck.cli.showing import counted, note, print_json, say
from unstuck.model.errors import BadArguments
from unstuck.model.states import ENDED, UNFINISHED, Reason, State
from unstuck.storage.protocol import Filter

F = TypeVar("F", bound=Callable[..., Any])

RETRIED_BY_FILTER = (State.FAILED, State.CANCELLED)
"""Succeeded jobs run again only where their state, or their id, was said."""


def changing_options(command: F) -> F:
    """Ids, the filter, --dry-run, --yes and --json."""
    command = click.option("--json", "as_json", is_flag=True, help="One JSON document.")(command)
    command = click.option("--yes", is_flag=True, help="Do not ask.")(command)
    command = click.option("--dry-run", is_flag=True, help="Show how many, change nothing.")(command)
    command = filter_options(command)
    return click.argument("ids", nargs=-1)(command)


@click.command()
@changing_options
@pass_place
def cancel(
    place: Place, /, ids: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool, **said: Any
) -> int:
    """Cancel jobs that have not ended; running ones are asked to stop."""
    choice = _needed(ids, said)
    return change(
        place, choice, UNFINISHED, "cancel", yes or bool(ids), dry_run, as_json,
        lambda which, told: end_jobs(place.keeper(), which, Reason.CANCELLED, told),
    )  # fmt: skip


@click.command()
@changing_options
@pass_place
def retry(place: Place, /, ids: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool, **said: Any) -> int:
    """Run ended jobs again, with all counts at zero; by filter, failed and cancelled ones."""
    choice = _needed(ids, said)
    states = RETRIED_BY_FILTER if not ids and choice.states is None else ENDED
    return change(
        place, choice, states, "retry", yes or bool(ids), dry_run, as_json,
        lambda which, told: revive_jobs(place.keeper(), which, told),
    )  # fmt: skip


@click.command()
@changing_options
@pass_place
def delete(
    place: Place, /, ids: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool, **said: Any
) -> int:
    """Keep jobs no longer, whatever their state: cancelled first where they have not ended.

    Running ones are asked to stop, and stay as long as other cancelled jobs do.
    """
    choice = _needed(ids, said)
    return change(
        place, choice, tuple(State), "delete", yes or bool(ids), dry_run, as_json,
        lambda which, told: end_jobs(place.keeper(), which, Reason.DELETED, told),
    )  # fmt: skip


def change(
    place: Place,
    choice: Choice,
    states: Sequence[State],
    verb: str,
    is_sure: bool,
    dry_run: bool,
    as_json: bool,
    act: Callable[[Filter, Callable[[int], None]], Changed],
) -> int:
    """Count, show, ask, act and tell; answers the exit code."""
    which = choice.within(states)
    counts = _tally(place, which)
    others = _tally(place, choice.within([state for state in State if state not in states]))
    missing = _missing(place, choice)
    total = sum(counts.values())
    tell: Callable[[str], None] = note if as_json else say
    tell(f"{verb}: {counted(total, 'job')}{_by_state(counts)}")
    if others:
        tell(f"left alone: {counted(sum(others.values()), 'job')}{_by_state(others)}")
    for text in missing:
        note(f"unstuck: there is no job {text!r}")
    changed = Changed()
    if total and not dry_run:
        if not is_sure and not _confirmed(verb, total):
            tell("nothing was changed")
            return NOT_FINE
        changed = act(which, lambda done: note(f"{done:,} of {total:,}") if total > 500 else None)
    if as_json:
        print_json(_document(verb, dry_run, total, counts, missing, changed))
    elif not dry_run:
        say(_told(changed))
    return NOT_FINE if missing or changed.left else FINE


def _needed(ids: Sequence[str], said: dict[str, Any]) -> Choice:
    choice = choice_of(ids, **said)
    if choice.is_everything:
        raise BadArguments("say which jobs: ids, or a filter such as --queue mail --state failed")
    return choice


def _tally(place: Place, which: Filter) -> Counter[State]:
    counts: Counter[State] = Counter()
    if which.states:
        for (_, state), number in place.run(place.store.tally(which)).items():
            counts[state] += number
    return counts


def _missing(place: Place, choice: Choice) -> list[str]:
    if not choice.given:
        return []
    ids = tuple(choice.given)
    there = {job.id for job in place.run(place.store.find(Filter(ids=ids, limit=len(ids))))}
    return [text for id, text in choice.given.items() if id not in there]


def _confirmed(verb: str, total: int) -> bool:
    if not sys.stdin.isatty():
        raise BadArguments(
            f"nobody can be asked here whether to {verb} {counted(total, 'job')}: say --yes, or --dry-run"
        )
    return click.confirm(f"{verb} {counted(total, 'job')}?", err=True)


def _by_state(counts: Counter[State]) -> str:
    parts = [f"{counts[state]:,} {state}" for state in State if counts[state]]
    return f" ({', '.join(parts)})" if parts else ""


def _told(changed: Changed) -> str:
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (changed.ended, "ended"),
            (changed.asked, "running, asked to cancel"),
            (changed.revived, "ready to run again"),
            (changed.forgotten, "kept no longer"),
            (len(changed.left), "changed meanwhile and left alone"),
        )
        if number
    ]
    return f"done: {'; '.join(parts)}" if parts else "done: nothing to do"


def _document(
    verb: str, dry_run: bool, total: int, counts: Counter[State], missing: list[str], changed: Changed
) -> dict[str, Any]:
    return {
        "action": verb,
        "dry_run": dry_run,
        "matched": total,
        "states": {str(state): number for state, number in counts.items()},
        "ended": changed.ended,
        "asked_to_cancel": changed.asked,
        "revived": changed.revived,
        "forgotten": changed.forgotten,
        "left": [str(id) for id in changed.left],
        "not_found": missing,
    }
