"""`unstuck workers`: who works, who is late, and asking them to take nothing new or to leave.

What is asked is written to the worker's row, where its next claim and its next look read it; nothing is
signalled, so it works from any machine. A supervisor that is asked leaves with its children; a child that
is asked alone is replaced by its supervisor. Whoever has left does not come back by itself, but what
started it (systemd, a container platform) may start it again.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from unstuck.cli.place import Place, pass_place
from unstuck.cli.records import plain, status_of, worker_record
from unstuck.cli.refusing import FINE, NOT_FINE
from unstuck.cli.showing import moment, note, print_json, print_table, say
from unstuck.model.errors import BadArguments
from unstuck.model.worker import Worker
from unstuck.rules.durations import words_of
from unstuck.rules.pausing import loop_ages, silent_loops


@click.group(name="workers")
def workers() -> None:
    """List workers, and ask them to take nothing new or to leave."""


@workers.command(name="list")
@click.option("--all", "include_ended", is_flag=True, help="Also those that have ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def list_(place: Place, include_ended: bool, as_json: bool) -> None:
    """List the workers, and the notices that stand."""
    store = place.store
    found, notices = place.run(store.workers(include_ended)), place.run(store.notices())
    if as_json:
        print_json({"workers": [worker_record(worker) for worker in found], "notices": plain(notices)})
        return
    columns = (
        "id",
        "kind",
        "host",
        "pid",
        "status",
        "lease left",
        "queues",
        "running",
        "free",
        "late",
        "started",
        "reason",
    )
    print_table(columns, [_row(worker) for worker in found], "no worker is running")
    for worker in found:
        ages = loop_ages(worker) if worker.ended_at is None else {}
        red = silent_loops(worker)
        if ages:
            told = (f"{name} {age:.1f} s{' (late)' if name in red else ''}" for name, age in ages.items())
            say(f"loops of {worker.id} went round: {', '.join(told)} ago")
    for one in notices:
        say(f"notice since {moment(one.since)}: {one.sentence}")


@workers.command()
@click.argument("ids", nargs=-1)
@click.option("--all", "everybody", is_flag=True, help="Every living worker.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def quiet(place: Place, ids: tuple[str, ...], everybody: bool, as_json: bool) -> int:
    """Let workers finish what they run and claim nothing more; they stay until they are stopped."""
    return _drain(place, ids, everybody, as_json, leave=False)


@workers.command()
@click.argument("ids", nargs=-1)
@click.option("--all", "everybody", is_flag=True, help="Every living worker.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def stop(place: Place, ids: tuple[str, ...], everybody: bool, as_json: bool) -> int:
    """Let workers finish what they run, within their grace, and leave."""
    return _drain(place, ids, everybody, as_json, leave=True)


def _drain(place: Place, ids: tuple[str, ...], everybody: bool, as_json: bool, *, leave: bool) -> int:
    if not ids and not everybody:
        raise BadArguments("say which workers: ids from unstuck workers list, or --all")
    store = place.store
    living = [worker for worker in place.run(store.workers()) if worker.ended_at is None]
    meant, unknown = (living, []) if everybody else _named(ids, living)
    drained = [worker for worker in _heads(meant) if place.run(store.drain(worker.id, leave))]
    if as_json:
        done = "leaving" if leave else "quiet"
        print_json({done: [str(worker.id) for worker in drained], "not_found": unknown})
    else:
        for worker in drained:
            say(_told(worker) if leave else _told_to_be_quiet(worker))
        if not drained:
            say("no worker is running")
    for text in unknown:
        note(f"unstuck: there is no living worker {text!r}")
    return NOT_FINE if unknown else FINE


def _named(ids: Sequence[str], living: Sequence[Worker]) -> tuple[list[Worker], list[str]]:
    """The workers whose ids these are, and what names nobody."""
    by_id = {str(worker.id): worker for worker in living}
    words = [text.strip().lower() for text in ids]
    meant = {word: by_id[word] for word in words if word in by_id}
    return list(meant.values()), [text for text in words if text not in by_id]


def _heads(meant: Sequence[Worker]) -> list[Worker]:
    """Without the children of supervisors that are meant too: one that left first would be replaced."""
    ids = {worker.id for worker in meant}
    return [worker for worker in meant if worker.supervisor_id not in ids]


def _told(worker: Worker) -> str:
    who = f"{worker.id}: {worker.kind}, process {worker.pid} on {worker.host},"
    if worker.kind == "supervisor":
        return f"{who} reads this with its next sweep; then its children claim nothing more and leave"
    if worker.supervisor_id is not None:
        return f"{who} claims nothing more and leaves; its supervisor {worker.supervisor_id} replaces it"
    return f"{who} claims nothing more and leaves"


def _told_to_be_quiet(worker: Worker) -> str:
    who = f"{worker.id}: {worker.kind}, process {worker.pid} on {worker.host},"
    if worker.kind == "supervisor":
        return (
            f"{who} reads this with its next sweep; then its children claim nothing more, and it starts none"
        )
    return f"{who} claims nothing more, and finishes what it runs"


def _row(worker: Worker) -> tuple[object, ...]:
    left = "" if worker.ended_at or worker.lease_left_us is None else words_of(worker.lease_left_us)
    is_supervisor = worker.kind == "supervisor"
    return (
        worker.id,
        worker.kind,
        worker.host,
        worker.pid,
        status_of(worker),
        left,
        ", ".join(worker.queues),
        "" if is_supervisor else worker.running,
        "" if is_supervisor else worker.report.get("free", ""),
        worker.late_endings or "",
        moment(worker.started_at),
        worker.reason,
    )
