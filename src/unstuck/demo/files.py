"""Which files the demo works on, and how their names travel.

A given folder is taken whole: every regular file below it, whatever it is called; symbolic links, pipes
and devices are counted and left out, because following them leads out of the folder or never returns.
Without a folder the running Python's own standard library is taken, without its compiled files; where
that is under 3,000 (some systems ship it without its tests), files of this environment's site-packages
are added up to that number, and compiled ones only if even these are not enough.

Every file is remembered with a mark (inode, size, modification time). Files may change while the demo
runs; only a file whose mark is still the same can be called wrong. A name is any bytes to the kernel and
text in a payload, so what is not plain ASCII travels percent-quoted.
"""

from __future__ import annotations

import os
import stat
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

ENOUGH = 3000
COMPILED = "__pycache__"
INSTALLED = ("site-packages", "dist-packages")

_AS_THEY_ARE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was when the demo began."""

    path: str
    mark: tuple[int, int, int]

    def has_changed(self) -> bool:
        """Whether it is no longer the file that it was."""
        try:
            return _mark_of(os.lstat(self.path)) != self.mark
        except OSError:
            return True


@dataclass(slots=True)
class Taken:
    """The files, and in words where they come from."""

    files: list[File] = field(default_factory=list[File])
    words: list[str] = field(default_factory=list[str])

    def add(self, files: Iterable[File], what: str) -> None:
        """Take these too; says nothing of a source that gave none."""
        found = list(files)
        self.files += found
        if found or not self.files:
            self.words.append(f"{len(found):,} of {what}")


def below(folder: Path) -> Taken:
    """Every regular file below a folder."""
    taken, left_out = Taken(), [0]
    taken.add(_walk(folder.resolve(), left_out=left_out), str(folder.resolve()))
    if left_out[0]:
        taken.words.append(f"{left_out[0]:,} links, pipes or unreadable folders left out")
    return taken


def standard() -> Taken:
    """The standard library of the running Python, and as much of site-packages as makes 3,000 files."""
    library = Path(sysconfig.get_path("stdlib")).resolve()
    installed = Path(sysconfig.get_path("purelib")).resolve()
    taken = Taken()
    taken.add(_walk(library, without=(COMPILED, *INSTALLED)), f"the standard library, {library}")
    more = _walk(installed, without=(COMPILED,))
    taken.add(islice(more, max(0, ENOUGH - len(taken.files))), f"site-packages, {installed}")
    everything = chain(_walk(library, without=INSTALLED), _walk(installed))
    compiled = (file for file in everything if COMPILED in Path(file.path).parts)
    taken.add(islice(compiled, max(0, ENOUGH - len(taken.files))), "what Python has compiled of these")
    return taken


def to_text(path: str) -> str:
    """The path as text that any payload can carry."""
    return quote_from_bytes(os.fsencode(path), safe=_AS_THEY_ARE)


def from_text(text: str) -> str:
    """The path that `to_text` was given."""
    return os.fsdecode(unquote_to_bytes(text))


def _walk(folder: Path, without: Iterable[str] = (), left_out: list[int] | None = None) -> Iterator[File]:
    """Regular files in order of their path, so that two runs take the same ones."""
    avoided = frozenset(without)
    others = [0] if left_out is None else left_out

    def cannot_read(_: OSError) -> None:
        others[0] += 1

    for place, folders, names in os.walk(folder, onerror=cannot_read):
        others[0] += sum(os.path.islink(os.path.join(place, name)) for name in folders)
        folders[:] = sorted(name for name in folders if name not in avoided)
        for name in sorted(names):
            path = os.path.join(place, name)
            try:
                found = os.lstat(path)
            except OSError:
                others[0] += 1
                continue
            if stat.S_ISREG(found.st_mode):
                yield File(path, _mark_of(found))
            else:
                others[0] += 1


def _mark_of(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns
