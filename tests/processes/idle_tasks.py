"""An application with three tasks, whose statements on SQLite can be written down; nobody asks for the tasks
but one."""

from __future__ import annotations

import os

from tests.processes import tracing
from tests.processes.witness import say
from unstuck import App

tracing.install()

app = App(os.environ.get("UNSTUCK_URL") or "memory://")


@app.task
async def stamp() -> None:
    """Says when it started."""
    say("start")


@app.task(queue="mail")
def letter() -> None:
    """Known and never asked for."""


@app.task(queue="mail")
async def card() -> None:
    """Known and never asked for."""
