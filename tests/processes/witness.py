"""What the handlers saw, written down by themselves in one file that all processes append to.

A line is written by a single call on a descriptor opened for appending, so it is whole, in order, and
kept whatever happens to the process: only the machine's own death could lose it. Moments are CLOCK_BOOTTIME,
which all processes of one host share.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from unstuck import current
from unstuck.engine.env import boottime

VARIABLE = "UNSTUCK_TEST_WITNESS"


@cache
def _descriptor() -> int:
    return os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def say(what: str, **more: Any) -> None:
    """Write one line about the job that runs here."""
    job = current()
    line = {
        "what": what,
        "at": boottime(),
        "job": str(job.id),
        "fence": job.fence,
        "attempt": job.attempt,
        "worker": str(job.worker_id),
        "pid": os.getpid(),
        **more,
    }
    os.write(_descriptor(), json.dumps(line).encode() + b"\n")


def may_go(who: str) -> bool:
    """Whether the test lets them go on that wait under this name (`Witness.let_go`)."""
    return _gate(Path(os.environ[VARIABLE]), who).exists()


def _gate(file: Path, who: str) -> Path:
    return file.with_name(f"{file.name}-{who}-may-go")


def sync() -> None:
    """Have what was said survive the machine, too."""
    os.fsync(_descriptor())


@dataclass(frozen=True)
class Word:
    """One line of the witness."""

    what: str
    at: float
    job: UUID
    fence: int
    attempt: int
    worker: UUID
    pid: int
    more: Mapping[str, Any]


@dataclass(frozen=True)
class Stay:
    """One attempt as its handler saw it: when it started and, if it got that far, when it ended."""

    start: Word
    end: Word | None


class Witness:
    """Reads the file; `file` does not exist before the first word."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._read = 0
        self._words: list[Word] = []

    def let_go(self, who: str) -> None:
        """Handlers that wait under this name go on."""
        _gate(self.file, who).touch()

    def fresh(self) -> list[Word]:
        """What was said since it was last asked."""
        known = len(self._words)
        return self.words()[known:]

    def words(self, what: str | None = None) -> list[Word]:
        """Everything said so far, or every word of one kind, in the order of the file."""
        if self.file.exists():
            with self.file.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read += len(whole)
            self._words += [_word(json.loads(line)) for line in whole.splitlines()]
        return [word for word in self._words if what is None or word.what == what]

    def starts(self, job_id: UUID | None = None) -> list[Word]:
        return [word for word in self.words("start") if job_id is None or word.job == job_id]

    def running(self) -> list[Word]:
        """Starts without an end."""
        ended = {(word.job, word.fence) for word in self.words("end")}
        return [word for word in self.starts() if (word.job, word.fence) not in ended]

    def stays(self) -> dict[UUID, list[Stay]]:
        """Every attempt of every job, in the order of their starts."""
        ends = {(word.job, word.fence): word for word in self.words("end")}
        found: dict[UUID, list[Stay]] = defaultdict(list)
        for start in self.starts():
            found[start.job].append(Stay(start, ends.get((start.job, start.fence))))
        return found

    def overlaps(self) -> list[tuple[Word, Word]]:
        """(start, word): an attempt started, and one before it of the same job said something afterwards."""
        latest: dict[UUID, Word] = {}
        found: list[tuple[Word, Word]] = []
        for word in sorted(self.words(), key=lambda word: word.at):
            last = latest.get(word.job)
            if last is not None and word.fence < last.fence:
                found.append((last, word))
            elif word.what == "start":
                latest[word.job] = word
        return found


def doubled_fences(words: Iterable[Word]) -> list[tuple[UUID, int]]:
    """Fences under which a handler started twice: never allowed."""
    seen: set[tuple[UUID, int]] = set()
    return [key for word in words if (key := (word.job, word.fence)) in seen or seen.add(key)]


def _word(line: dict[str, Any]) -> Word:
    known = {
        "what": line.pop("what"),
        "at": line.pop("at"),
        "job": UUID(line.pop("job")),
        "fence": line.pop("fence"),
        "attempt": line.pop("attempt"),
        "worker": UUID(line.pop("worker")),
        "pid": line.pop("pid"),
    }
    return Word(**known, more=line)
