"""The command line of the benchmarks: which contenders, which measures, how many rounds, how large."""

from __future__ import annotations

import signal
import sys
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from benchmarks import growth, report, workloads
from benchmarks.ground import Ground
from benchmarks.growth import Sizes
from benchmarks.measuring import MEASURES, Run
from benchmarks.peers import all_peers
from benchmarks.rounds import Task, run_rounds, tasks_of
from benchmarks.running import Contender
from benchmarks.statistics import Book

USUAL = "unstuck,raw,raw-psycopg,pgqueuer,graphile-worker,procrastinate,dramatiq,celery,huey,unstuck-sqlite,huey-sqlite"
OURS = "unstuck-workloads"
PARTS = ("crowded", "held", "burst", "steady")
OUT = click.option("--out", type=click.Path(path_type=Path), help="A folder for results.json and the charts.")
ROUNDS = click.option(
    "--rounds", default=3, show_default=True, help="How often each line is measured, in turn."
)
REPEAT = click.option(
    "--repeat/--no-repeat", default=True, help="Measure a line once more where over a tenth was stolen."
)


@click.group(invoke_without_command=True)
@click.option(
    "--peers", default=USUAL, show_default=True, help="Names, with commas; unstuck:/other/tree too."
)
@click.option("--only", default=",".join(MEASURES), show_default=True, help="Measures, with commas.")
@click.option("--quick", is_flag=True, help="Short runs: a look, not a result.")
@click.option("--processes", default="1,2", show_default=True, help="Worker processes of the drains.")
@click.option("--modes", default="async,sync", show_default=True, help="Kinds of handlers.")
@ROUNDS
@REPEAT
@OUT
@click.pass_context
def main(
    context: click.Context,
    peers: str,
    only: str,
    rounds: int,
    quick: bool,
    processes: str,
    modes: str,
    repeat: bool,
    out: Path | None,
) -> None:
    """Measure contenders alternately in one run and print their medians and ratios."""
    signal.signal(signal.SIGTERM, _leave)
    if context.invoked_subcommand:
        return
    contenders = contenders_of(peers)
    measures = chosen(only, tuple(MEASURES))
    console, book = console_of(), Book()
    with Ground() as ground:
        run = Run(ground, processes=tuple(map(int, processes.split(","))), modes=tuple(modes.split(",")))
        if quick:
            run.seconds, run.samples, run.idle_seconds, run.memory_jobs = 1.5, 60, 4.0, 50_000
        for measure in measures:
            run_rounds(tasks_of(run, contenders, measure), rounds, book, console, repeat)
        report.finish(console, book, report.conditions(ground, contenders), out)


@main.command(name="peers")
def list_peers() -> None:
    """List the peers and their settings."""
    for name, peer in sorted(all_peers().items()):
        click.echo(f"{name:18} {peer.store:9} {peer.settings}")


@main.command(name="growth")
@click.option("--only", default=",".join(PARTS), show_default=True, help="Parts, with commas.")
@click.option("--rows", default="10000,1000000,3000000", show_default=True, help="Other rows in the table.")
@click.option("--kinds", default=",".join(Sizes.kinds), show_default=True, help="Kinds of these rows.")
@click.option("--jobs", default=Sizes.jobs, show_default=True, help="Jobs of the drain among them.")
@click.option("--held", default=Sizes.held, show_default=True, help="Jobs under a held snapshot.")
@click.option("--burst", default=Sizes.burst, show_default=True, help="Jobs of the burst.")
@click.option("--steady", default=Sizes.steady, show_default=True, help="Jobs of the steady stream.")
@click.option("--peers", default="", help="Others for the snapshot and the burst, such as pgqueuer.")
@click.option("--quick", is_flag=True, help="All of it small, in a minute or two.")
@OUT
def growing(
    only: str,
    rows: str,
    kinds: str,
    jobs: int,
    held: int,
    burst: int,
    steady: int,
    peers: str,
    quick: bool,
    out: Path | None,
) -> None:
    """Large tables, a snapshot held open, a burst, a steady stream: on PostgreSQL, against itself at the start."""
    sizes = Sizes(tuple(map(int, rows.split(","))), tuple(kinds.split(",")), jobs, 200, held, burst, steady)
    if quick:
        sizes = Sizes(
            (10_000, 100_000), ("waiting", "archived", "together"), 10_000, 50, 20_000, 30_000, 5_000
        )
    parts = chosen(only, PARTS)
    console, book = console_of(), Book()
    ours = Contender.of(OURS)
    everyone = [ours, *(contenders_of(peers) if peers else [])]
    with Ground() as ground:
        run = Run(ground)
        tasks: list[Task] = []
        if "crowded" in parts:
            alone = Task(OURS, "crowded", partial(growth.crowded, run, ours, sizes, "waiting", 0), "alone: ")
            tasks.append(alone)
            for count in sizes.rows:
                for kind in sizes.kinds:
                    take = partial(growth.crowded, run, ours, sizes, kind, count)
                    tasks.append(Task(OURS, "crowded", take, f"{count:,} {kind}: "))
            tasks.append(alone)
        for each in everyone:
            if "held" in parts:
                take = partial(growth.long_drain, run, each, sizes.held, True)
                tasks.append(Task(each.label, "held", take, f"{sizes.held:,} under a held snapshot: "))
            if "burst" in parts:
                take = partial(growth.long_drain, run, each, sizes.burst, False)
                tasks.append(Task(each.label, "burst", take, f"burst of {sizes.burst:,}: "))
        if "steady" in parts:
            tasks.append(Task(OURS, "steady", partial(growth.steady, run, ours, sizes), "steady: "))
        run_rounds(tasks, 1, book, console, repeat=False)
        report.finish(console, book, report.conditions(ground, everyone), out)


@main.command(name="workloads")
@click.option("--only", default="payloads,events,mixed,crowd", show_default=True, help="Parts, with commas.")
@click.option("--quick", is_flag=True, help="Short runs.")
@ROUNDS
@REPEAT
@OUT
def working(only: str, quick: bool, rounds: int, repeat: bool, out: Path | None) -> None:
    """Payloads, handlers that wait, the event log, 32 clients: ours against our own empty drain."""
    parts = {
        "payloads": workloads.payloads,
        "events": workloads.events,
        "mixed": workloads.mixed,
        "crowd": workloads.crowd,
    }
    console, book = console_of(), Book()
    with Ground() as ground:
        run = Run(ground, seconds=1.5 if quick else 4.0)
        for name in chosen(only, tuple(parts)):
            run_rounds([Task(OURS, name, partial(parts[name], run))], rounds, book, console, repeat)
        report.finish(console, book, report.conditions(ground, [Contender.of(OURS)]), out)


def _leave(number: int, frame: object) -> None:
    """Go the ordinary way, so that servers and workers go too."""
    sys.exit(128 + number)


def contenders_of(text: str) -> list[Contender]:
    """The contenders that the command line names."""
    try:
        return [Contender.of(each.strip()) for each in text.split(",")]
    except KeyError as error:
        raise click.UsageError(str(error.args[0])) from None


def chosen(text: str, there: tuple[str, ...]) -> list[str]:
    """The parts named, all of which are there."""
    parts = text.split(",")
    if unknown := sorted(set(parts) - set(there)):
        raise click.UsageError(f"no {', '.join(unknown)} here; there are {', '.join(there)}")
    return parts


def console_of() -> Console:
    """Wide where it is not a terminal, so that tables stay whole in a file."""
    return Console() if Console().is_terminal else Console(width=220)
