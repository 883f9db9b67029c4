"""What the kernel says of processes: processor seconds and memory of a whole tree, and what was stolen from us.

Seconds of processes that have ended are counted by their parents once reaped, so a tree is summed with its children's
times. PostgreSQL's backends and Celery's pool are trees; a worker of one process is a tree of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Seen:
    """A process: its parent, and processor seconds, its reaped children's included."""

    parent: int
    cpu: float


def parse_stat(text: str) -> Seen:
    """One line of /proc/PID/stat; the name in brackets may hold anything."""
    fields = text.rpartition(")")[2].split()
    return Seen(int(fields[1]), sum(map(int, fields[11:15])) / _TICKS)


def tree(roots: Iterable[int]) -> dict[int, Seen]:
    """The processes under these, and these."""
    everything: dict[int, Seen] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                everything[int(entry.name)] = parse_stat((entry / "stat").read_text())
            except OSError:
                continue
    found = {pid: everything[pid] for pid in roots if pid in everything}
    grown = True
    while grown:
        more = {pid: seen for pid, seen in everything.items() if seen.parent in found and pid not in found}
        found |= more
        grown = bool(more)
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """Processor seconds of these trees so far."""
    return sum(seen.cpu for seen in tree(roots).values())


@dataclass(frozen=True)
class Memory:
    """In MB: the largest process's resident memory, and the whole tree's with shared pages counted once."""

    largest: float
    whole: float


def parse_rollup(text: str) -> tuple[float, float]:
    """Resident and proportional MB in the text of /proc/PID/smaps_rollup."""
    found = {line.split(":")[0]: line.split()[1] for line in text.splitlines()[1:]}
    return int(found["Rss"]) / 1024, int(found["Pss"]) / 1024


def memory(roots: Iterable[int]) -> Memory:
    """Memory of these trees now."""
    sizes: list[tuple[float, float]] = []
    for pid in tree(roots):
        try:
            sizes.append(parse_rollup(Path(f"/proc/{pid}/smaps_rollup").read_text()))
        except (OSError, KeyError, IndexError):
            continue
    return Memory(max((rss for rss, _ in sizes), default=0.0), sum(pss for _, pss in sizes))


@dataclass(frozen=True)
class Processors:
    """Ticks of all processors together since the machine started."""

    whole: int
    stolen: int

    @classmethod
    def now(cls) -> Processors:
        return cls.parse(Path("/proc/stat").read_text())

    @classmethod
    def parse(cls, text: str) -> Processors:
        """From the first line of /proc/stat; guests are counted in user time already."""
        fields = [int(each) for each in text.split("\n", 1)[0].split()[1:9]]
        return cls(sum(fields), fields[7])

    def stolen_since(self, before: Processors) -> float:
        """The share, 0 to 1, that went to neighbours since then."""
        return (self.stolen - before.stolen) / max(1, self.whole - before.whole)
