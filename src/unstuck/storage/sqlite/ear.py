"""Hearing that the file was written, without asking it.

Every commit appends to the write-ahead log, so a watch on the folder for changes of that one file is a wake-up within
a millisecond that costs nothing while nothing happens. Where the kernel has no inotify the size and time of the log
are looked at every 50 milliseconds. What was written is not told: an empty set means that it is worth a look. Several
commits may be one hint.

A log is written before its commit counts: between the two lies the disk, for some milliseconds or, where it is slow,
many. Whoever looked at once would see nothing, and then wait for his poll. So after the kernel's word the file itself
is asked, by `PRAGMA data_version`, whether a commit can be seen: after a millisecond, then ever more rarely, from the
beginning again where the log is written meanwhile. One that is seen may be the commit before the one that was heard
of, unless nothing was written since it could not be seen yet; so the file is asked once more when a disk has had its
time. That makes two questions per commit that an idle worker hears of, and a hint is late by a few times the commit
at most. (To read in the log whether there are two commits saves one of the two, for a hundred lines that know its
format.)

Whoever enqueues by this library also rings when his commit can be seen, by opening the log for writing and closing it
(`files.ring`): then the file is asked at once. Where nobody rings (in a transaction of the caller's own, by another
program), the pauses bound how late a hint is.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import sqlite3
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

LOOK_SECONDS = 0.05
PAUSES = (0.001, 0.0015, 0.0025, 0.005, 0.01, 0.03, 0.1, 0.3, 0.6)
"""Seconds from the log's last write to the first question, and from each question that saw nothing to the next. The first is
the shortest time in which a disk may have made a commit durable; behind the last nothing more is waited for."""
DISK_SECONDS = 0.03
"""How long after a commit that may be another the file is asked once more: a slow disk's time for a commit."""

TICK_SECONDS = 0.0005
"""What is due within this is due now: uvloop knows whole milliseconds, and a shorter rest than half of one is none."""

_IN_MODIFY = 0x2
_IN_CLOSE_WRITE = 0x8
_IN_CREATE = 0x100
_IN_NONBLOCK = os.O_NONBLOCK
_IN_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_ASKED = _IN_MODIFY | _IN_CREATE | _IN_CLOSE_WRITE
_EVENT = struct.Struct("iIII")

SOMETHING: frozenset[str] = frozenset()


class SqliteEar:
    """Hears commits to the file, those of this process too. Made inside the loop that listens."""

    def __init__(self, path: Path):
        self._log = Path(f"{path}-wal")
        self._heard = asyncio.Event()
        self._was_written = self._was_rung = False
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._version: int | None = None
        self._version = self._ask_version()
        self._watch = _inotify(path.parent)

    @property
    def is_proved(self) -> bool:
        """Always: the kernel, or a look at the file, tells."""
        return True

    def __aiter__(self) -> AsyncIterator[frozenset[str]]:
        return self._hear()

    async def aclose(self) -> None:
        """Stop listening; whoever iterates is let go."""
        if not self._is_closed:
            self._is_closed = True
            self._heard.set()
            if self._watch is not None:
                self._loop.remove_reader(self._watch)
                os.close(self._watch)
                self._watch = None
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    async def _hear(self) -> AsyncIterator[frozenset[str]]:
        now, due = self._loop.time(), math.inf
        pauses: Iterator[float] = iter(())
        was_unseen = False
        while not self._is_closed:
            await self._told(None if due == math.inf else due - now)
            now = self._loop.time()
            if self._was_written:
                pauses, self._was_written, was_unseen = iter(PAUSES), False, False
                due = min(due, now + next(pauses))  # not put off: where many write, it would never come
            is_due, is_rung, self._was_rung = due - now < TICK_SECONDS, self._was_rung, False
            if not (is_due or is_rung):
                continue
            version = self._ask_version()
            if version == self._version and version is not None:
                was_unseen = True
                if is_due:
                    due = now + next(pauses, math.inf)
                continue
            self._version = version
            yield SOMETHING
            now = self._loop.time()
            is_the_one = was_unseen or version is None
            pauses, due = iter(()), math.inf if is_the_one else now + DISK_SECONDS

    async def _told(self, seconds: float | None) -> None:
        """Wait until something is written to the log, or somebody rings, or for so long.

        Only here the loop is woken by it: while many write, a thousand words of the kernel are worth no more than one.
        """
        if (watch := self._watch) is None:
            await self._grown(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if not (self._heard.is_set() or self._takes_events()):
                    self._loop.add_reader(watch, self._listen)
                    try:
                        await self._heard.wait()
                    finally:
                        if not self._is_closed:
                            self._loop.remove_reader(watch)
        self._heard.clear()

    async def _grown(self, seconds: float | None) -> None:
        """The same where the kernel does not tell: by looking."""
        if seconds is not None:
            await asyncio.sleep(seconds)
            return
        seen = self._state()
        while not self._is_closed and self._state() == seen and self._ask_version() == self._version:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        self._was_written = True

    def _ask_version(self) -> int | None:
        """A number that another one's commit changes; None where the file cannot be asked now."""
        if self._is_closed:
            return self._version  # nothing is opened again
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=0, isolation_level=None
                )
            ((version,),) = self._connection.execute("PRAGMA data_version").fetchall()
            return int(version)
        except sqlite3.Error:
            return None

    def _listen(self) -> None:
        if self._takes_events():
            self._heard.set()

    def _takes_events(self) -> bool:
        """Take what the kernel has to say; whether it spoke of the log."""
        if self._watch is None:
            return False
        try:
            events = os.read(self._watch, 65536)
        except BlockingIOError:
            return False
        place = 0
        name = self._log.name.encode()
        is_of_log = False
        while place < len(events):
            _, mask, _, length = _EVENT.unpack_from(events, place)
            place += _EVENT.size + length
            if events[place - length : place].rstrip(b"\0") == name or not mask & _ASKED:
                is_of_log = True
                self._was_rung |= bool(mask & _IN_CLOSE_WRITE)
                self._was_written |= mask & _ASKED != _IN_CLOSE_WRITE
        return is_of_log

    def _state(self) -> tuple[int, int]:
        try:
            seen = os.stat(self._log)
        except OSError:
            return 0, 0
        return seen.st_size, seen.st_mtime_ns


def _inotify(folder: Path) -> int | None:
    """A descriptor that tells of changes in the folder, or None where the kernel does not."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = int(libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC))
    except (AttributeError, OSError):
        return None
    if descriptor < 0:
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(folder), _ASKED) < 0:
        os.close(descriptor)
        return None
    return descriptor
