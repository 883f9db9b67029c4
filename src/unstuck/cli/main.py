"""`unstuck`: the list of commands, and what stands around each of them.

A command's module is imported when that command is called, so that `unstuck --help` is quick and a
missing extra hurts only the command that needs it. The group itself turns every error into one line and an
exit code, closes what was opened, and leaves in silence when the reader of its output has gone.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from unstuck.cli.place import Place
from unstuck.cli.refusing import FINE, NOT_FINE, drop_output, refuse

COMMANDS = {
    "demo": ("unstuck.demo.main", "Real work on real files, with a worker killed on the way."),
    "worker": ("unstuck.cli.worker", "Run jobs: a supervisor and its child processes."),
    "dev": ("unstuck.cli.dev", "Run jobs in this process, and start again when the code changes."),
    "enqueue": ("unstuck.cli.enqueue", "Check one job and send it."),
    "jobs": ("unstuck.cli.jobs", "List, show, explain, cancel, retry and delete jobs."),
    "queues": ("unstuck.cli.queues", "List, pause, resume and purge queues."),
    "workers": ("unstuck.cli.workers", "List workers, and ask them to take nothing new or to leave."),
    "top": ("unstuck.cli.top", "Rates, queues, latency, recoveries and workers, live."),
    "doctor": ("unstuck.cli.doctor", "Look for whatever is wrong; exit 0 only if nothing is."),
    "bench": ("unstuck.cli.bench", "Measure this machine with this store, in tables of its own."),
    "audit": ("unstuck.cli.audit", "What was repaired by hand, by whom and why."),
    "events": ("unstuck.cli.events", "Turn the event log on or off, and print it."),
    "migrate": ("unstuck.cli.migrate", "Show, print or apply the steps that the schema lacks."),
}
"""Each module holds a command of its own name."""


class Commands(click.Group):
    """The commands, imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None where there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = COMMANDS[cmd_name][0]
        try:
            found = getattr(importlib.import_module(module), cmd_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise click.UsageError(f"{cmd_name} is not part of this installation") from None
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list for --help, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader of our output that has gone is no error worth a word."""
        try:
            answer: Any = super().invoke(ctx)
            sys.stdout.flush()
            return answer
        except BrokenPipeError:
            drop_output()
            return NOT_FINE

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run and exit; every error is one line."""
        said = list(sys.argv[1:] if args is None else args)
        run: Callable[..., Any] = super().main
        try:
            answer = run(said, *rest, **{**extra, "standalone_mode": False})
            code = answer if isinstance(answer, int) else FINE
        except (Exception, KeyboardInterrupt) as error:
            code = refuse(error, said)
        sys.exit(code)


def _show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from unstuck import __version__

        click.echo(f"unstuck {__version__}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "UNSTUCK"},
)
@click.option("--app", metavar="MODULE:APP", help="The app, as package.module:app; default $UNSTUCK_APP.")
@click.option("--url", metavar="URL", help="The store, in place of the app's own; default $UNSTUCK_URL.")
@click.option("--prefix", help="What its table names begin with, where only --url is said; default unstuck_.")
@click.option("--traceback", is_flag=True, help="Show where an error comes from.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context, app: str | None, url: str | None, prefix: str | None, traceback: bool) -> None:
    """Background jobs that never get stuck.

    Every option can also be set in the environment: UNSTUCK_APP, UNSTUCK_WORKER_LEASE and so on.
    """
    url_wins, prefix_wins = (
        ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE for name in ("url", "prefix")
    )
    place = Place(app or None, url or None, url_wins, prefix, prefix_wins)
    ctx.obj = place
    ctx.call_on_close(place.close)


def main() -> None:
    """The entry point: what cannot be encoded for this terminal is escaped, never an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    cli.main(prog_name="unstuck")


if __name__ == "__main__":
    main()
