"""`unstuck demo [FOLDER]`: the promise of the project, kept in front of your eyes, on your own files.

One job per file, two supervisors with children, and SIGKILL for one of each while they work. At the end
every stored result is compared with a plain computation, and every handler start beyond one per job with
the attempts that the kills are known to have cost. The exit code is 0 only if nothing was lost, doubled
or wrong, if all repetitions are explained, and if the doctor finds nothing.

It works in a store of its own: a new SQLite file in a temporary folder, or, with `--url`, tables with a
prefix of their own in that database. However it ends, with Ctrl-C too, its processes are gone and its
store is removed, unless `--keep` asks for it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from unstuck.demo import files
from unstuck.demo.clearing import DEMO_PREFIX, drop_tables
from unstuck.demo.leaving import interruptible, undisturbed_exit
from unstuck.demo.report import lines_of
from unstuck.demo.running import Crew, Pace
from unstuck.demo.showing import Outcome, Showing
from unstuck.demo.view import view_for
from unstuck.demo.witness import Witness
from unstuck.model.errors import BadSetting, StoreError
from unstuck.rules.durations import duration_us
from unstuck.storage.opening import Keeper, absolute_url, open_keeper

FOLDER_PREFIX = "unstuck-demo-"
PARSER_WARNINGS = ("SyntaxWarning", "DeprecationWarning")
"""What the parser says of other people's sources is not ours to print."""


@click.command(name="demo")
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--url", metavar="URL", help="A store to use, with tables of its own; default a new SQLite file."
)
@click.option("--lease", default="5s", show_default=True, help="How long a worker may be silent.")
@click.option("--keep", is_flag=True, help="Keep the store and the logs, and say where they are.")
@click.pass_context
def demo(ctx: click.Context, folder: Path | None, url: str | None, lease: str, keep: bool) -> int:
    """Real work on real files, with a worker killed on the way.

    One job per file below FOLDER (default: the standard library of the running Python) computes SHA-256,
    lines and imports, while one worker child and later a whole supervisor are killed with SIGKILL. Exit
    code 0 only if nothing is lost, doubled or wrong.
    """
    began = time.monotonic()
    pace = Pace(lease=duration_us(lease, "--lease") / 1_000_000)
    if pace.lease < 3 * pace.poll:
        raise BadSetting(f"--lease {lease}: shorter than three polls of {pace.poll:g} s")
    console = Console()
    taken = files.standard() if folder is None else files.below(folder)
    if not taken.files:
        raise BadSetting(f"there is no file below {folder}")
    console.print(f"{len(taken.files):,} files: {'; '.join(taken.words)}", highlight=False, soft_wrap=True)
    url = url or getattr(ctx.obj, "override", None)
    with interruptible(), _place(url, keep, console) as (keeper, store_url, prefix, home):
        console.print(f"store: {keeper.url_shown}, tables {prefix}…", highlight=False, soft_wrap=True)
        outcome = _show(taken, store_url, prefix, home, pace, console)
        for line in lines_of(outcome, taken, pace, time.monotonic() - began):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0 if outcome.is_fine else 1


def _show(taken: files.Taken, url: str, prefix: str, home: Path, pace: Pace, console: Console) -> Outcome:
    witness = Witness(home / "witness.txt")
    said = {
        "UNSTUCK_URL": url,
        "UNSTUCK_DEMO_PREFIX": prefix,
        "UNSTUCK_DEMO_WITNESS": str(witness.path),
    }
    # The same words for us and for the workers: both import the same application.
    os.environ.update(said)
    from unstuck.demo.tasks import app, examine

    for category in (SyntaxWarning, DeprecationWarning):
        warnings.simplefilter("ignore", category)
    crew = Crew(home, _environment(), pace)
    with app, view_for(console) as view:
        try:
            return Showing(taken.files, app, examine, crew, witness, view, pace).run()
        finally:
            crew.close()


def _environment() -> dict[str, str]:
    """What the workers inherit: everything but settings that would change what is shown."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNSTUCK_WORKER_")}
    kept["PYTHONWARNINGS"] = ",".join(f"ignore::{category}" for category in PARSER_WARNINGS)
    # They run in the demo's folder, so that no module of the current one stands in for another.
    paths = [os.path.abspath(path) for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path]
    if paths:
        kept["PYTHONPATH"] = os.pathsep.join(paths)
    return kept


@contextmanager
def _place(url: str | None, keep: bool, console: Console) -> Generator[tuple[Keeper, str, str, Path]]:
    """A folder and a store with the schema in place; both are gone afterwards unless kept."""
    prefix = f"{DEMO_PREFIX}{secrets.token_hex(3)}_"
    with undisturbed_exit() as leaving:
        home = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX)).resolve()
        if keep:
            leaving.callback(
                console.print, f"kept: {home}, tables {prefix}…", highlight=False, soft_wrap=True
            )
        else:
            leaving.callback(shutil.rmtree, home, ignore_errors=True)
        store_url = f"sqlite:///{home / 'demo.db'}" if url is None else absolute_url(url)
        keeper = open_keeper(store_url, prefix, application="unstuck demo")
        if keeper.engine == "memory":
            raise BadSetting("memory:// lives in one process only: the demo kills processes")
        leaving.callback(keeper.close)
        keeper.migrator.status()  # a store that cannot be reached says so here, before anything is made
        if url is not None and not keep:
            leaving.callback(_drop, keeper, prefix, console)
        keeper.migrator.apply()
        yield keeper, store_url, prefix, home


def _drop(keeper: Keeper, prefix: str, console: Console) -> None:
    try:
        drop_tables(keeper, prefix)
    except StoreError as error:
        console.print(f"the tables {prefix}… could not be dropped: {error}", highlight=False, soft_wrap=True)
        raise
    console.print(f"the tables {prefix}… are dropped", highlight=False)
