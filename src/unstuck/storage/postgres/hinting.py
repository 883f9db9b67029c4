"""Saying that a queue has work: NOTIFY on a connection of its own, never in a transaction of the user's.

NOTIFY serialises commits, so one per job of a stream would cost more than it gives. The first hint goes at
once, for a single job even with the insert itself (`may_lead`), which spares its worker a round trip and a
thread's waking. After one that stood for a single job the queue may be named again in 10 milliseconds: such jobs are
few, and somebody may wait for each. After one that stood for several it rests 50 milliseconds, and so does
everybody where so many hint that NOTIFY itself is waited for, since jobs gather meanwhile.

A thread does it, so nobody waits for it, and whoever names a queue that waits for its turn already does not
even wake the thread. What fails is forgotten, and for a few seconds nothing is tried: polling meets every
bound without it.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Iterable
from typing import Any

import psycopg

from unstuck.storage.postgres.address import Address

GAP_SECONDS = 0.01
GAP_OF_A_STREAM_SECONDS = 0.05
SILENT_SECONDS = 5.0
IDLE_SECONDS = 30.0
QUEUE = "q "
ECHO = "e "

_NOTIFY = "/* unstuck:hint */ SELECT pg_notify(%(channel)s, said) FROM unnest(%(said)s::text[]) AS said"


class Hinter:
    """The thread that says it. `say` never fails and never waits."""

    def __init__(self, address: Address, channel: str):
        self._address = address
        self._channel = channel
        self._thread: threading.Thread | None = None
        self._begin()

    def say(self, queues: Iterable[str]) -> None:
        """Name these queues soon."""
        wanted = frozenset(queues)
        if self._pid != os.getpid():
            self._begin()
        with self._changed:
            # A queue leaves this set before it is named, so one that is in it will be named after this moment.
            is_known = self._thread is not None and wanted <= self._pending.keys()
            for queue in wanted:
                self._pending[queue] = self._pending.get(queue, 0) + 1
            if is_known:
                return
            if self._pending and self._thread is None and not self._is_closing:
                self._thread = threading.Thread(target=self._work, name="unstuck-hints", daemon=True)
                self._thread.start()
                atexit.register(self.flush)
            self._changed.notify_all()

    def may_lead(self, queue: str) -> bool:
        """Whether nobody has named this queue just now, so that whoever has work for it may do so by himself."""
        if self._pid != os.getpid():
            self._begin()
        return queue not in self._pending and self._resting.get(queue, 0.0) <= time.monotonic()

    def has_led(self, queue: str) -> None:
        """Somebody has named it by himself, for a single job."""
        with self._changed:
            self._resting[queue] = time.monotonic() + GAP_SECONDS

    def flush(self, seconds: float = 0.5) -> None:
        """Wait until what was said has gone out, for that long at most."""
        if self._pid != os.getpid():
            return
        until = time.monotonic() + seconds
        with self._changed:
            while self._thread is not None and (self._pending or self._is_sending):
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return

    def close(self) -> None:
        """Send what is left, then end the thread; the next `say` begins another."""
        self.flush()
        if self._pid != os.getpid():
            return
        with self._changed:
            thread, self._is_closing = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout=2)
            atexit.unregister(self.flush)
        with self._changed:
            self._is_closing = False

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._pending: dict[str, int] = {}
        # Until when a queue is not to be named again.
        self._resting: dict[str, float] = {}
        self._is_sending = False
        self._is_closing = False
        self._thread = None

    def _work(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        silent_until = 0.0
        try:
            while (queues := self._next()) is not None:
                if queues and time.monotonic() >= silent_until:
                    try:
                        connection = self._send(connection, queues)
                    except (psycopg.Error, OSError):
                        silent_until = time.monotonic() + SILENT_SECONDS
                        if connection is not None:
                            connection.close()
                        connection = None
                elif not queues and connection is not None:
                    connection.close()
                    connection = None
        finally:
            if connection is not None:
                connection.close()

    def _next(self) -> set[str] | None:
        """The queues whose turn it is; none after a long silence; None when the thread is to end."""
        resting = self._resting
        with self._changed:
            self._is_sending = False
            self._changed.notify_all()
            while True:
                now = time.monotonic()
                due = {queue for queue in self._pending if resting.get(queue, 0.0) <= now}
                if due:
                    for queue in due:
                        is_stream = self._pending.pop(queue) > 1
                        resting[queue] = now + (GAP_OF_A_STREAM_SECONDS if is_stream else GAP_SECONDS)
                    self._is_sending = True
                    return due
                if self._is_closing:
                    self._thread = None
                    return None
                if self._pending:
                    self._changed.wait(min(resting[queue] for queue in self._pending) - now)
                elif not self._changed.wait(IDLE_SECONDS):
                    resting.clear()
                    return set()

    def _send(self, connection: psycopg.Connection[Any] | None, queues: set[str]) -> psycopg.Connection[Any]:
        if connection is None:
            connection = psycopg.connect(
                self._address.conninfo, autocommit=True, prepare_threshold=None, connect_timeout=2
            )
        said = [QUEUE + queue for queue in sorted(queues)]
        connection.execute(_NOTIFY, {"channel": self._channel, "said": said})
        return connection
