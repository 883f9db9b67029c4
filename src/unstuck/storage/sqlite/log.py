"""How many commits were written to the write-ahead log since one of its frames, read from the file itself.

Who hears that the log was written and then sees a commit does not know whether it was the commit that he heard
of, or the one before, with another still on its way to the disk. The log knows: the frame that ends a transaction says so, in a format that
is documented and has not changed since 2010 (sqlite.org/walformat.html). Where exactly one such frame was added
since a frame that was known, the commit that can be seen is that one.

What cannot be told is None: another log has begun, the frame that was known is written over (a process that was
killed in a commit leaves frames that nobody counts, and the next writer takes their place), too much was written, or the
file cannot be read. The file is only read, in one piece, and never locked: SQLite's locks are on other files, which must not
be opened and closed behind its back.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

FRAMES_MAX = 32
"""So many frames are read at most: a commit of a few jobs writes some ten."""

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682


class Mark(NamedTuple):
    """The frame that ends a transaction: its log, which it is, and what stands at its head."""

    salts: tuple[int, int]
    number: int
    head: bytes


class Log:
    """The write-ahead log at this path."""

    def __init__(self, path: Path):
        self.path = path

    def since(self, mark: Mark) -> tuple[int | None, Mark]:
        """How many transactions were ended in the log since this one, None where that cannot be told; and the last of them."""
        try:
            with _Opened(self.path) as log:
                return log.since(mark)
        except (OSError, struct.error, ValueError):
            return None, mark

    def last(self) -> Mark | None:
        """The last transaction that was ended in the log; None where there is none, or it cannot be told."""
        try:
            with _Opened(self.path) as log:
                return log.last()
        except (OSError, struct.error, ValueError):
            return None


class _Opened:
    def __init__(self, path: Path):
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            magic, _, page_bytes, _, *salts, _, _ = _HEADER.unpack(os.pread(self._file, _HEADER.size, 0))
            if magic & ~1 != _MAGIC:
                raise ValueError(f"{path} is no write-ahead log")
        except BaseException:
            os.close(self._file)
            raise
        self._salts = salts[0], salts[1]
        self._frame_bytes = _FRAME.size + page_bytes

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)

    def since(self, mark: Mark) -> tuple[int | None, Mark]:
        heads = self._heads(mark.number, FRAMES_MAX + 1)
        if mark.salts != self._salts or not heads or heads[0] != mark.head or len(heads) > FRAMES_MAX:
            return None, mark
        ends = [index for index, head in enumerate(heads) if index and _ends(head)]
        if ends:
            mark = Mark(self._salts, mark.number + ends[-1], heads[ends[-1]])
        return len(ends), mark

    def last(self) -> Mark | None:
        size = os.fstat(self._file).st_size - _HEADER.size
        low, high = 0, max(0, size) // self._frame_bytes
        while low < high:  # frames of this log stand before those that it has not written over yet
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._heads(middle, 1) else (low, middle)
        start = max(0, low - FRAMES_MAX)
        heads = self._heads(start, low - start)
        for index in reversed(range(len(heads))):
            if _ends(heads[index]):
                return Mark(self._salts, start + index, heads[index])
        return None

    def _heads(self, start: int, count: int) -> list[bytes]:
        """The heads of the frames from there on that belong to this log."""
        length = count * self._frame_bytes
        read = os.pread(self._file, length, _HEADER.size + start * self._frame_bytes)
        heads: list[bytes] = []
        for place in range(0, len(read) - _FRAME.size + 1, self._frame_bytes):
            head = read[place : place + _FRAME.size]
            if _FRAME.unpack(head)[2:4] != self._salts:
                break
            heads.append(head)
        return heads


def _ends(head: bytes) -> bool:
    """Whether the frame with this head is the last of its transaction: it says how large the file is then."""
    return bool(_FRAME.unpack(head)[1])
