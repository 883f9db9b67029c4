"""This project, run as its users run it: `unstuck worker --app … --processes N`, on PostgreSQL and on SQLite.

Both kinds of tasks are registered, as in any application; the mode only says which are enqueued.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

from benchmarks.peer import Peer, place
from benchmarks.stamps import stamp

UNFINISHED = (
    "SELECT EXISTS (SELECT 1 FROM unstuck_jobs WHERE state = 'ready')"
    " OR EXISTS (SELECT 1 FROM unstuck_jobs WHERE worker_id IS NOT NULL)"
)


@cache
def make(url: str) -> Any:
    """The application of the workload."""
    from unstuck import App

    app = App(url)

    @app.task(name="empty_async")
    async def empty_async(n: int) -> None:
        stamp(n)

    @app.task(name="empty_sync")
    def empty_sync(n: int) -> None:
        stamp(n)

    return app


def __getattr__(name: str) -> Any:
    if name == "app":
        return make(place()[0])
    raise AttributeError(name)


class Unstuck(Peer):
    name = "unstuck"
    environment = "own"
    packages: ClassVar[tuple[str, ...]] = ("psycopg", "msgspec")
    settings = (
        "unstuck worker --concurrency 100 --threads 10, everything else as it comes; client as it comes"
    )
    modes: ClassVar[tuple[str, ...]] = ("async", "sync")
    expected = 8000
    can_enqueue_concurrently = True
    can_enqueue_many = True
    options: ClassVar[tuple[str, ...]] = ("--concurrency", "100", "--threads", "10")

    def prepare(self) -> None:
        command = [sys.executable, "-m", "unstuck", "--url", self.url, "migrate", "apply"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    async def open(self) -> None:
        self._app = make(self.url)
        self._task = self._app.tasks[f"empty_{self.mode}"]
        self._watch: Any = self._connect()

    async def close(self) -> None:
        self._watch.close()
        await self._app.aclose()
        self._app.close()

    def _connect(self) -> Any:
        import psycopg

        return psycopg.connect(self.url, autocommit=True)

    async def enqueue(self, n: int) -> None:
        self._task.enqueue(n)

    async def aenqueue(self, n: int) -> None:
        await self._task.aenqueue(n)

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        self._app.enqueue_many(self._task.spec(n) for n in numbers)

    async def unfinished(self) -> int:
        return int(self._watch.execute(UNFINISHED).fetchone()[0])

    @classmethod
    def workers(cls, url: str, mode: str, processes: int) -> list[list[str]]:
        app = ["--app", "benchmarks.peers.unstuck:app"]
        run = ["worker", "--processes", str(processes), "--log-level", "warning", *cls.options]
        return [[sys.executable, "-m", "unstuck", *app, *run]]


class UnstuckOnSQLite(Unstuck):
    name = "unstuck-sqlite"
    store = "sqlite"
    packages = ("msgspec",)

    def _connect(self) -> Any:
        return sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)
