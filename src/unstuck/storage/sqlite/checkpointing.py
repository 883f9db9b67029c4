"""Moving what was committed from the log into the file, in a moment and by a thread that nobody waits for.

SQLite does it with the commit that makes the log long enough: whoever happens to be that one waits for two syncs of
the disk and the writing of hundreds of pages, some milliseconds to tens. In a worker that was often a claim, and
the job it brought started so much later. So the thread that writes only says how much it has
written; when that is enough and it has nothing to do, another thread does the work, on a connection of its own, in the
way that stands in nobody's way (PASSIVE). Where there is never such a moment it does it all the same, a little later. The library's own limit stays as
the last resort, for processes without such a thread: one that enqueues only, or reads.

How much was written is estimated, since to look at the log costs more than it tells. Nothing depends on it: what is
not moved now is moved later, and what is committed is safe in the log.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from unstuck.model.errors import StoreError
from unstuck.storage.sqlite.connection import SqliteConnection

FRAMES_OF_A_COMMIT = 4
"""Pages that a commit of one job writes, with those of the client that enqueued it: 3.5 each, and each row adds about one."""

QUIET_FRAMES = 1500
FRAMES = 3000
"""From how many on it is done in a quiet moment, and at any."""


class Checkpointing:
    """The thread, begun when it is first needed. `open` makes a connection; it is called in the thread."""

    def __init__(self, open: Callable[[], SqliteConnection]):
        self.pid = os.getpid()
        self._open = open
        self._frames = 0
        self._wake = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def wrote(self, rows: int, *, is_quiet: bool) -> None:
        """A commit changed so many rows; `is_quiet`: nothing else is waiting to be written."""
        if not rows:
            return
        self._frames += FRAMES_OF_A_COMMIT + rows
        if self._frames >= (QUIET_FRAMES if is_quiet else FRAMES):
            self._frames = 0
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="unstuck-sqlite-checkpoint", daemon=True
                )
                self._thread.start()
            self._wake.set()

    def close(self) -> None:
        """Let the thread finish what it does, and end."""
        if self._thread is not None and self.pid == os.getpid():
            self._is_closed = True
            self._wake.set()
            self._thread.join(timeout=5)

    def _work(self) -> None:
        connection: SqliteConnection | None = None
        while self._wake.wait() and not self._is_closed:
            self._wake.clear()
            try:
                connection = connection or self._open()
                connection.checkpoint()
            except StoreError:
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()
