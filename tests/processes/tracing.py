"""Every statement that SQLite executes in this process, written to a file: `python -m tests.processes.tracing
ARGS…` is `unstuck ARGS…` with it. Whoever imports an application traced so is traced too."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

VARIABLE = "UNSTUCK_TEST_TRACE"


def install() -> None:
    """From now on, where a file is named in the environment."""
    path = os.environ.get(VARIABLE)
    if path is None or getattr(sqlite3.connect, "is_traced", False):
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    connect = sqlite3.connect

    def note(statement: str) -> None:
        os.write(descriptor, f"{os.getpid()}\t{' '.join(statement.split())[:60]}\n".encode())

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(note)
        return connection

    traced.is_traced = True  # type: ignore[attr-defined]
    sqlite3.connect = traced  # type: ignore[assignment]


if __name__ == "__main__":
    from unstuck.cli.main import main

    install()
    main()
