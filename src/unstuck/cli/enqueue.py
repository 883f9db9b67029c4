"""`unstuck enqueue TASK [JSON-ARGS…]`: one job from the shell, checked as a call from Python is.

Each argument is JSON (`7`, `'"text"'`, `'{"a": 1}'`), by position, or by name as `user_id=7`. The app is
imported here, because only the task knows what it takes; a wrong argument is refused in the sentence that
Python code would get, and nothing is written. The job's id is all that is printed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from unstuck.cli.choosing import pair_of
from unstuck.cli.place import Place, pass_place, prepare
from unstuck.cli.showing import print_json
from unstuck.model.errors import BadArguments

_NAMED = re.compile(r"([^\W\d]\w*)=(.*)", re.DOTALL)


@click.command(name="enqueue")
@click.argument("task")
@click.argument("arguments", nargs=-1, metavar="[JSON | NAME=JSON]...")
@click.option("--delay", metavar="DURATION", help='Not before this long from now, such as "5m".')
@click.option("--priority", type=int, help="-100 to 100; larger runs first.")
@click.option("--queue", help="This queue, in place of the task's own.")
@click.option("--id", help="An id of your own: a second job with it is the first one.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_place
def enqueue(
    place: Place,
    task: str,
    arguments: tuple[str, ...],
    delay: str | None,
    priority: int | None,
    queue: str | None,
    id: str | None,
    labels: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check one job and send it; prints its id. Negative numbers stand behind a --."""
    args, kwargs = call_of(arguments)
    app = place.app()
    found = app.tasks.get(task) or next((one for one in app.tasks.values() if task in one.names), None)
    if found is None:
        raise BadArguments(f"the app has no task {task!r}{_nearest(task, list(app.tasks))}")
    bound = found.using(
        delay=delay,
        priority=priority,
        queue=queue,
        id=id,
        labels=dict(pair_of(label) for label in labels) or None,
    )
    spec = bound.spec(*args, **kwargs)
    prepare(place.keeper())
    (job,) = app.enqueue_many([spec])
    if as_json:
        print_json({"id": str(job.id), "created": job.created, "task": found.name, "queue": spec.job().queue})
    else:
        click.echo(str(job.id))


def call_of(arguments: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments from the words of a command line. Raises BadArguments."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in arguments:
        named = _NAMED.fullmatch(text)
        if named is None:
            if kwargs:
                raise BadArguments(f"argument {text!r} stands behind a named one: positions come first")
            args.append(_decoded(text, f"argument {len(args) + 1}"))
        elif named[1] in kwargs:
            raise BadArguments(f"argument {named[1]!r} is given twice")
        else:
            kwargs[named[1]] = _decoded(named[2], f"argument {named[1]!r}")
    return args, kwargs


def _decoded(text: str, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        quoted = msgspec.json.encode(text.encode(errors="replace").decode()).decode()
        hint = f"; for a text write '{quoted}'" if text[:1] not in ("{", "[", '"') else ""
        raise BadArguments(f"{what} is not JSON: {text!r} ({error}){hint}") from None


def _nearest(task: str, known: list[str]) -> str:
    if not known:
        return ": it has none at all"
    close = (
        difflib.get_close_matches(task, known, 1, 0.6)
        or [name for name in known if name.endswith(f".{task}")][:1]
    )
    return f"; did you mean {close[0]}?" if close else f"; it has {', '.join(sorted(known)[:5])}"
