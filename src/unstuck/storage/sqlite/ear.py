"""Hearing that the file was written, without asking it.

Every commit appends to the write-ahead log, so a watch on the folder for changes of that one file is a
wake-up within a millisecond that costs nothing while nothing happens. Where the kernel has no inotify
the size and time of the log are looked at every 50 milliseconds. What was written is not told: an empty
set means that it is worth a look. Several commits may be one hint.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

LOOK_SECONDS = 0.05

_IN_MODIFY = 0x2
_IN_CREATE = 0x100
_IN_NONBLOCK = os.O_NONBLOCK
_IN_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_EVENT = struct.Struct("iIII")

SOMETHING: frozenset[str] = frozenset()


class SqliteEar:
    """Hears commits to the file, those of this process too. Made inside the loop that listens."""

    def __init__(self, path: Path):
        self._log = Path(f"{path}-wal")
        self._heard = asyncio.Event()
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._watch = _inotify(path.parent)
        if self._watch is not None:
            self._loop.add_reader(self._watch, self._read_events)

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

    async def _hear(self) -> AsyncIterator[frozenset[str]]:
        seen = self._state()
        while not self._is_closed:
            if self._watch is None:
                await asyncio.sleep(LOOK_SECONDS)
                before, seen = seen, self._state()
                if seen == before:
                    continue
            else:
                await self._heard.wait()
                self._heard.clear()
            if not self._is_closed:
                yield SOMETHING

    def _read_events(self) -> None:
        assert self._watch is not None
        try:
            events = os.read(self._watch, 65536)
        except BlockingIOError:
            return
        place = 0
        name = self._log.name.encode()
        while place < len(events):
            _, mask, _, length = _EVENT.unpack_from(events, place)
            place += _EVENT.size + length
            if events[place - length : place].rstrip(b"\0") == name or not mask & (_IN_MODIFY | _IN_CREATE):
                self._heard.set()

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
    if libc.inotify_add_watch(descriptor, os.fsencode(folder), _IN_MODIFY | _IN_CREATE) < 0:
        os.close(descriptor)
        return None
    return descriptor
