"""What becomes of an error: one line that begins with `unstuck:`, and an exit code.

2 says that the command must be called differently: wrong arguments, an app that does not import, a store
that is not there or has another schema. 1 says that what was asked about is not fine: no such job, a store
that does not answer, a damaged file. Nobody sees a traceback who did not ask for one, and nobody ever
sees a password: drivers like to quote the address that they were given.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence

import click

from unstuck.cli.showing import clean
from unstuck.model.errors import Misuse, SchemaMismatch, UnstuckError

FINE = 0
NOT_FINE = 1
WRONG_USE = 2
INTERRUPTED = 130

_PASSWORD_IN_URL = re.compile(r"(://[^\s:/@]*):[^\s/@]*@|(\bpassword=)('[^']*'|\S+)", re.IGNORECASE)


class NotFine(UnstuckError):
    """What was asked about is not as it should be, and one sentence says it all."""


def line_of(error: BaseException) -> str:
    """The error as one line for a terminal, without passwords."""
    if isinstance(error, click.UsageError):
        text = error.format_message()
        if error.ctx is not None:
            text = f"{text.rstrip('.')} (see {error.ctx.command_path} --help)"
    elif isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, UnstuckError):
        text = str(error)
    else:
        text = f"unexpected {type(error).__name__}: {error} (--traceback shows where; this deserves a bug report)"
    return f"unstuck: {clean(without_password(' '.join(text.split())))}"


def without_password(text: str) -> str:
    """The text with the password of every address in it replaced by stars."""
    return _PASSWORD_IN_URL.sub(lambda found: f"{found[1]}:***@" if found[1] else f"{found[2]}***", text)


def code_of(error: BaseException) -> int:
    """The exit code that belongs to an error."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, click.ClickException | Misuse | SchemaMismatch):
        return WRONG_USE
    return NOT_FINE


def refuse(error: BaseException, args: Sequence[str]) -> int:
    """Say it on standard error; answers the exit code."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo("unstuck: interrupted", err=True)
        return INTERRUPTED
    if "--traceback" in args or os.environ.get("UNSTUCK_TRACEBACK", "0").lower() not in (
        "",
        "0",
        "false",
        "no",
    ):
        click.echo(without_password("".join(traceback.format_exception(error))), err=True)
    click.echo(line_of(error), err=True)
    return code_of(error)


def drop_output() -> None:
    """Nobody reads standard output any more: let what is buffered go nowhere, in silence."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass
