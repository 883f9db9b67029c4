"""The options that `worker` and `dev` share, and the settings they add up to.

`-q mail:20,default` serves the queue mail with at most 20 of its jobs at once in each child, and default
without such a limit; queues are claimed in turn. Durations are written as everywhere: "90s", "5m", "1h30m"
or a number of seconds. What does not fit together (a lease shorter than three polls) is refused before a
store is opened or a process started.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from unstuck.model.errors import BadSetting, Misuse
from unstuck.rules.admitting import check_name
from unstuck.rules.durations import duration_us, words_of
from unstuck.rules.settings import QueueShare, Settings

F = TypeVar("F", bound=Callable[..., Any])

DURATIONS = ("lease", "sweep", "poll", "grace", "stall_limit")
LEVELS = ("debug", "info", "warning", "error")

_DEFAULT = Settings()


def working_options(grace: str) -> Callable[[F], F]:
    """The options of whoever runs jobs; `grace` is the default of --grace."""
    options = [
        click.option(
            "-q",
            "--queues",
            metavar="NAME[:N],…",
            multiple=True,
            help="Queues to serve, in turn; :N is how many of its jobs run at once in a child. Default: default.",
        ),
        click.option(
            "--concurrency",
            type=int,
            default=_DEFAULT.concurrency,
            show_default=True,
            help="Coroutines at once.",
        ),
        click.option(
            "--threads",
            type=int,
            default=_DEFAULT.threads,
            show_default=True,
            help="Plain functions at once.",
        ),
        click.option(
            "--isolated",
            type=int,
            default=_DEFAULT.isolated,
            help="Isolated processes at once. Default: one per core, at least 2.",
        ),
        click.option("--lease", default="30s", show_default=True, help="How long a worker may be silent."),
        click.option("--sweep", default="5s", show_default=True, help="How often lost work is looked for."),
        click.option("--poll", default="1s", show_default=True, help="How often due work is looked for."),
        click.option(
            "--grace",
            default=grace,
            show_default=True,
            help="How long running jobs may take to finish at a stop.",
        ),
        click.option(
            "--stall-limit",
            default="1h",
            show_default=True,
            help="When a child that does not tick is killed.",
        ),
        click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True),
    ]

    def wrap(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return wrap


def settings_of(queues: Sequence[str], *, processes: int = 1, **said: Any) -> Settings:
    """Settings from options. Raises BadSetting, naming the option."""
    seconds: dict[str, Any] = {
        name: duration_us(said.pop(name), f"--{name.replace('_', '-')}") / 1_000_000 for name in DURATIONS
    }
    shares = tuple(share for text in queues for share in shares_of(text)) or _DEFAULT.queues
    return Settings(queues=shares, processes=processes, **seconds, **said)


def shares_of(text: str) -> list[QueueShare]:
    """The queues named in `mail:20,default`. Raises BadSetting."""
    shares: list[QueueShare] = []
    for part in text.split(","):
        name, colon, limit = part.strip().rpartition(":")
        if not colon:
            name, limit = limit, ""
        if colon and not (limit.isdecimal() and int(limit) > 0):
            raise BadSetting(
                f"-q {part.strip()!r}: after the colon stands how many jobs run at once, 1 or more"
            )
        try:
            check_name("queue", name)
        except Misuse as error:
            raise BadSetting(f"-q {text!r}: {error}") from None
        shares.append(QueueShare(name, int(limit) if limit else None))
    return shares


def start_logging(level: str) -> None:
    """Log lines on standard error, as the children write theirs."""
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s",
    )


def banner(settings: Settings, shown: str, app: str) -> str:
    """What a worker says of itself when it starts."""
    queues = ", ".join(
        share.name if share.limit is None else f"{share.name}:{share.limit}" for share in settings.queues
    )
    bound = words_of(int(settings.recovery_bound * 1_000_000))
    return f"{app} on {shown}; queues {queues}; whatever a lost host leaves behind runs again within {bound}"
