"""`unstuck bench`: what this machine does with this store, within a minute, and under which conditions.

It measures what users feel: enqueueing one by one, by a hundred callers at once and in bulk, draining jobs that do
nothing with real worker processes, and the time from a call of `enqueue` to the start of its handler. It works in tables
or a file of its own, which are gone at the end. To compare with other systems, `make bench` in the sources does that in one run.

Exit code 0 where every job that was enqueued to be run succeeded, 1 where not, 2 for wrong use, 130 at Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import click

from unstuck.bench.conditions import Conditions, conditions_of, load, usable_cores
from unstuck.bench.measuring import Figure, Measuring
from unstuck.bench.placing import Bench, placed
from unstuck.cli.place import Place, pass_place
from unstuck.cli.refusing import FINE
from unstuck.cli.showing import note, print_json, print_table, say
from unstuck.demo.leaving import interruptible
from unstuck.demo.running import Crew, Pace
from unstuck.model.errors import BadSetting

SECONDS_MIN, SECONDS_MAX = 2.0, 600.0
PROCESSES_USUAL = 4
APPLICATION = "unstuck.bench.tasks:app"
NO_STORE = "which store? say --url postgresql://… or sqlite:///jobs.db, or --app"


@click.command(name="bench")
@click.option(
    "--seconds", default=40.0, show_default=True, help="How long to measure, starts and clean-up aside."
)
@click.option("--processes", type=int, help="Worker processes; default one per core, at most four.")
@click.option("--url", "here", metavar="URL", help="The store, as before the command.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def bench(place: Place, seconds: float, processes: int | None, here: str | None, as_json: bool) -> int:
    """Measure this machine with this store, in tables of its own.

    The figures are of this machine as it is now: what else it does takes part. Nothing of yours is read or changed.
    """
    if not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise BadSetting(f"--seconds {seconds:g}: between {SECONDS_MIN:g} and {SECONDS_MAX:g}")
    crowd = min(PROCESSES_USUAL, usable_cores()) if processes is None else processes
    if not 1 <= crowd <= 64:
        raise BadSetting(f"--processes {processes}: between 1 and 64")
    with interruptible(), _without_warnings(), placed(here or _url_of(place), note) as found:
        conditions = conditions_of(found.keeper, crowd)
        figures = _measure(found, seconds, crowd)
        conditions.load_after = round(load(), 2)
    if as_json:
        print_json({"figures": _plain(figures), "conditions": dataclasses.asdict(conditions)})
    else:
        _print(figures, conditions)
    return FINE


@contextmanager
def _without_warnings() -> Generator[None]:
    """That nobody serves the pile is meant so."""
    log = logging.getLogger("unstuck")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _url_of(place: Place) -> str:
    if place.url and (place.url_wins or not place.app_name):
        return place.url
    if not place.app_name:
        raise BadSetting(NO_STORE)
    from unstuck.engine.describing import describe

    return describe(place.app_name).url


def _measure(found: Bench, seconds: float, processes: int) -> list[Figure]:
    # The same words for us and for the workers: both import the same application.
    said = {"UNSTUCK_URL": found.url, "UNSTUCK_BENCH_PREFIX": found.prefix}
    before = {name: os.environ.get(name) for name in said}
    os.environ.update(said)
    try:
        return _measure_with_workers(found, seconds, processes)
    finally:
        for name, text in before.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text


def _measure_with_workers(found: Bench, seconds: float, processes: int) -> list[Figure]:
    from unstuck.bench import tasks

    environment = {name: each for name, each in os.environ.items() if not name.startswith("UNSTUCK_WORKER_")}
    paths = [os.path.abspath(path) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    queues = [word for queue in tasks.SERVED for word in ("-q", queue)]
    crew = Crew(
        found.home, environment, Pace(lease=30.0, sweep=5.0, processes=processes), APPLICATION, queues
    )
    with tasks.app:
        try:
            return Measuring(tasks.app, crew, seconds, note).run()
        finally:
            crew.close()


def _plain(figures: list[Figure]) -> dict[str, Any]:
    return {each.name: {"value": each.value, "unit": each.unit, "jobs": each.jobs} for each in figures}


def _print(figures: list[Figure], found: Conditions) -> None:
    rows = [
        (
            each.words,
            f"{each.value:,.2f}" if each.unit == "ms" else f"{each.value:,.0f}",
            each.unit,
            f"{each.jobs:,}",
        )
        for each in figures
    ]
    print_table(("measured", "figure", "", "jobs"), rows, "nothing was measured")
    settings = ", ".join(f"{name} {each}" for name, each in found.settings.items())
    where = f" on {found.file_system}" if found.file_system else ""
    say(
        f"store: {found.engine} {found.version}, {found.store}{where}; {settings}; one commit {found.commit_p50_ms:.2f} ms"
    )
    say(f"machine: {found.cores} cores, {found.machine}, {found.python}, unstuck {found.unstuck}")
    say(
        f"workers: {found.processes} processes; load {found.load_before:.1f} before, {found.load_after:.1f} after"
    )
    for warning in found.warnings:
        say(f"mind: {warning}")
