"""The command line of the benchmarks: which contenders, which measures, how many rounds."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from benchmarks import report
from benchmarks.ground import Ground
from benchmarks.measuring import MEASURES, Run
from benchmarks.peers import all_peers
from benchmarks.rounds import run_rounds
from benchmarks.running import Contender
from benchmarks.statistics import Book

USUAL = "unstuck,raw,raw-psycopg,pgqueuer,unstuck-sqlite,huey-sqlite"


@click.group(invoke_without_command=True)
@click.option(
    "--peers", default=USUAL, show_default=True, help="Names, with commas; unstuck:/other/tree too."
)
@click.option("--only", default=",".join(MEASURES), show_default=True, help="Measures, with commas.")
@click.option("--rounds", default=3, show_default=True, help="How often each line is measured, in turn.")
@click.option("--quick", is_flag=True, help="Short runs: a look, not a result.")
@click.option("--processes", default="1,2", show_default=True, help="Worker processes of the drains.")
@click.option("--modes", default="async,sync", show_default=True, help="Kinds of handlers.")
@click.option(
    "--repeat/--no-repeat", default=True, help="Measure a line once more where over a tenth was stolen."
)
@click.option("--out", type=click.Path(path_type=Path), help="A folder for results.json and the charts.")
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
    if context.invoked_subcommand:
        return
    console = Console(width=None if Console().is_terminal else 200)
    try:
        contenders = [Contender.of(text.strip()) for text in peers.split(",")]
    except KeyError as error:
        raise click.UsageError(str(error.args[0])) from None
    unknown = set(only.split(",")) - set(MEASURES)
    if unknown:
        raise click.UsageError(f"no measure {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    book = Book()
    with Ground() as ground:
        run = Run(
            ground, processes=tuple(int(each) for each in processes.split(",")), modes=tuple(modes.split(","))
        )
        if quick:
            run.seconds, run.samples, run.idle_seconds, run.memory_jobs = 1.5, 60, 4.0, 50_000
        run_rounds(run, contenders, only.split(","), rounds, book, console, repeat)
        conditions = report.conditions(ground, contenders)
    report.show(console, book, contenders, conditions)
    if out:
        report.save(out, book, contenders, conditions)
        console.print(f"written to {out}")


@main.command(name="peers")
def list_peers() -> None:
    """List the peers and their settings."""
    for name, peer in sorted(all_peers().items()):
        click.echo(f"{name:16} {peer.store:9} {peer.settings}")
