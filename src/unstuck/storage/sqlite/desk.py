"""A thread with a connection of its own that runs plans one after the other, for code that awaits.

SQLite answers by blocking, so an event loop hands its plans to two of these per process: one writes, one
reads, and a long read delays no renewal. The order is that of asking; there is nothing to starve. A plan
whose deadline has passed before its turn is not begun at all. One that is running then is interrupted,
and whoever waited for it is told at once that its outcome is unknown.

The thread heals itself: after an error that speaks of the file the connection is closed, and the next
plan opens another.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from unstuck.model.errors import OutcomeUnknown, StoreConflict, StoreError, StoreUnavailable
from unstuck.storage.plan import Plan, run
from unstuck.storage.sqlite.checkpointing import Checkpointing
from unstuck.storage.sqlite.connection import SqliteConnection

R = TypeVar("R")

GRACE_SECONDS = 0.05
"""How long after its deadline a plan may still answer by itself, before it is interrupted."""


class Errand:
    """One plan on its way through the desk."""

    def __init__(self, plan: Plan[Any], deadline: float | None):
        self.plan = plan
        self.deadline = deadline
        self.future: Future[Any] = Future()


class Desk:
    """The thread and its queue. `open` makes a connection; it is called in the thread. `checkpointing` is told what was written."""

    def __init__(
        self, name: str, open: Callable[[], SqliteConnection], checkpointing: Checkpointing | None = None
    ):
        self._checkpointing = checkpointing
        self.pid = os.getpid()
        self._open = open
        self._errands: SimpleQueue[Errand | None] = SimpleQueue()
        self._connection: SqliteConnection | None = None
        self._current: Errand | None = None
        self._changed = 0
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, plan: Plan[R], deadline: float | None) -> R:
        """Run the plan in the thread; `deadline` in seconds from now. Raises StoreUnavailable after it."""
        until = None if deadline is None else time.monotonic() + deadline
        errand = Errand(plan, until)
        self._errands.put(errand)
        waiting = asyncio.wrap_future(errand.future)
        wait = None if deadline is None else deadline + GRACE_SECONDS
        try:
            done, _ = await asyncio.wait({waiting}, timeout=wait)
        except asyncio.CancelledError:
            waiting.add_done_callback(_seen)
            errand.future.cancel()
            raise
        if done:
            return waiting.result()  # type: ignore[no-any-return]
        waiting.add_done_callback(_seen)
        if errand.future.cancel():
            raise StoreUnavailable(f"{plan.name} did not get its turn within {deadline:.1f} s")
        self._interrupt(errand)
        if plan.mode.is_reading:
            raise StoreUnavailable(f"{plan.name} did not answer within {deadline:.1f} s")
        raise OutcomeUnknown(f"{plan.name} did not answer within {deadline:.1f} s")

    def close(self) -> None:
        """Let the thread finish what it has, close its connection and end."""
        if self.pid == os.getpid():
            self._errands.put(None)
            self._thread.join(timeout=5)

    def _interrupt(self, errand: Errand) -> None:
        with self._turn:
            if self._current is errand and self._connection is not None:
                self._connection.interrupt()

    def _work(self) -> None:
        while (errand := self._errands.get()) is not None:
            if not errand.future.set_running_or_notify_cancel():
                continue
            try:
                errand.future.set_result(self._run(errand))
            except BaseException as error:
                try:
                    self._judge(error)
                finally:
                    errand.future.set_exception(error)
            else:
                self._tell()
        self._drop()

    def _tell(self) -> None:
        told, connection = self._checkpointing, self._connection
        if told is not None and connection is not None:
            before, self._changed = self._changed, connection.rows_changed
            told.wrote(max(0, self._changed - before), is_quiet=self._errands.empty())

    def _run(self, errand: Errand) -> Any:
        if errand.deadline is not None and time.monotonic() >= errand.deadline:
            raise StoreUnavailable(f"{errand.plan.name} did not get its turn before its deadline")
        connection = self._connection
        if connection is None:
            connection = self._connection = self._open()
            self._changed = connection.rows_changed
        connection.deadline = errand.deadline
        with self._turn:
            self._current = errand
        try:
            return run(connection, errand.plan)
        finally:
            with self._turn:
                self._current = None

    def _judge(self, error: BaseException) -> None:
        """After an error: a connection that has failed, or that could not undo what it began, is not used again."""
        is_bad = isinstance(error, StoreError) and not isinstance(error, StoreConflict)
        if is_bad or (self._connection is not None and not self._connection.is_at_rest):
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _seen(future: asyncio.Future[Any]) -> None:
    """Take the error of an answer that nobody waits for."""
    if not future.cancelled():
        future.exception()
