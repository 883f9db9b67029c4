"""An application whose tasks run in processes of their own; a worker says there which store they mean."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from unstuck import App, current

app = App("sqlite:///a-store-that-no-worker-means.db")


@app.task(isolate=True)
def settle(path: str) -> int:
    """Has an effect in one transaction with its ending."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with current().settling(tx=connection, result=42):
            connection.execute("INSERT INTO effects VALUES (1)")
        connection.execute("COMMIT")
    return 7


@app.task(isolate=True)
def settle_and_forget(path: str) -> int:
    """Never commits."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with current().settling(tx=connection, result=42):
            connection.execute("INSERT INTO effects VALUES (1)")
    return 7


@app.task(isolate=True)
def ask_for_more() -> str:
    """Enqueues another job of its own application."""
    return str(settle.enqueue("nowhere").id)


@app.task(isolate=True)
def wait_for(path: str) -> int:
    """Says so when it has begun, and returns once this file exists."""
    current().log("begun")
    while not Path(path).exists():
        time.sleep(0.01)
    return 7
