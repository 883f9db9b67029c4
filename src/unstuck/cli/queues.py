"""`unstuck queues`: what is in them, pause and resume, and purge.

A paused queue is a flag that the claim reads: what runs goes on, nothing new begins, jobs may still be
enqueued. `purge` ends everything in a queue that has not started; what runs is left to its worker.
"""

from __future__ import annotations

from typing import Any

import click

from unstuck.cli.audit import whoami
from unstuck.cli.changing import end_jobs
from unstuck.cli.choosing import Choice
from unstuck.cli.jobs_changing import change
from unstuck.cli.place import Place, pass_place
from unstuck.cli.records import plain
from unstuck.cli.showing import moment, note, print_json, print_table, say
from unstuck.model.states import UNFINISHED, Reason, State
from unstuck.rules.admitting import check_name
from unstuck.storage.protocol import Filter, QueueInfo

NOT_STARTED = tuple(state for state in UNFINISHED if state is not State.RUNNING)


@click.group(name="queues")
def queues() -> None:
    """List, pause, resume and purge queues."""


@queues.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def list_(place: Place, as_json: bool) -> None:
    """List the queues with their jobs by state."""
    found = place.run(place.store.queues())
    if as_json:
        print_json({"queues": [_record(queue) for queue in found]})
        return
    rows = [
        (
            queue.name,
            *(queue.counts.get(state, 0) for state in State),
            moment(queue.paused_at) or "no",
            queue.paused_by,
        )
        for queue in found
    ]
    print_table(("queue", *State, "paused since", "by"), rows, "no queue has been used yet")


@queues.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def pause(place: Place, names: tuple[str, ...], as_json: bool) -> None:
    """Begin nothing new from these queues."""
    _set(place, names, True, as_json)


@queues.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def resume(place: Place, names: tuple[str, ...], as_json: bool) -> None:
    """Go on with these queues."""
    _set(place, names, False, as_json)


@queues.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Show how many, change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def purge(place: Place, name: str, dry_run: bool, yes: bool, as_json: bool) -> int:
    """End everything in a queue that has not started, and do not keep it."""
    choice = Choice(Filter(queue=check_name("queue", name), states=UNFINISHED), {})
    return change(
        place, choice, NOT_STARTED, "purge", yes, dry_run, as_json,
        lambda which, told: end_jobs(place.keeper(), which, Reason.PURGED, told),
    )  # fmt: skip


def _set(place: Place, names: tuple[str, ...], paused: bool, as_json: bool) -> None:
    store = place.store
    known = {queue.name for queue in place.run(store.queues())}
    for name in names:
        check_name("queue", name)
    done = [place.run(store.set_queue(name, paused=paused, actor=whoami())) for name in names]
    if not paused:
        place.keeper().hint(names)
    for name in names:
        if name not in known:
            note(
                f"unstuck: the queue {name!r} has no jobs yet; it is {'paused' if paused else 'running'} all the same"
            )
    if as_json:
        print_json({"queues": [_record(queue) for queue in done]})
        return
    for queue in done:
        say(f"{queue.name}: {'paused' if queue.paused_at else 'running'}")


def _record(queue: QueueInfo) -> dict[str, Any]:
    record: dict[str, Any] = plain(queue)
    record["counts"] = {str(state): queue.counts.get(state, 0) for state in State}
    record["is_paused"] = queue.paused_at is not None
    return record
