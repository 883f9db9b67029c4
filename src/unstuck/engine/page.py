"""The page: one small piece of shared memory in which supervisor and child tell each other the facts.

The child writes its tick, its last good round trip, and one slot per *started* attempt. The supervisor
writes `safe_until` (until when the child may claim and start) and `withdrawn` (a number that rises when
unstarted work is taken away). To start a claimed job the child writes the slot *first* and then reads
both; the supervisor withdraws *first* and then reads the slots. So of two that meet, at least one sees
the other, and everybody knows what was started when a child dies or stalls. Taking and leaving a lock
between the write and the read orders them: on x86 that is a locked instruction and a full barrier, on the platforms that
CPython runs on.

All moments are seconds of the host's CLOCK_BOOTTIME, which both processes share. Words are eight bytes,
aligned, and written whole. A worker alone in its process has a page too, in ordinary memory.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import compress
from struct import Struct
from threading import Lock
from uuid import UUID

LOOPS = (
    "looking",
    "claiming",
    "settling",
    "reconciling",
    "fencing",
    "renewing",
    "sweeping",
    "pruning",
    "listening",
)

_WORDS = 32
_SLOT_WORDS = 5
_SLOT = Struct("@QQQdQ")
_TICK, _ROUND_TRIP, _SAFE_UNTIL, _RENEWED, _WITHDRAWN, _FREE = range(6)
_LOST, _DRAINING, _REPLACE, _LEFT, _BUSY, _UNSETTLED = range(6, 12)
_STARTED, _ENDED, _FAILED, _LOOKED_BACK = range(12, 16)
_FIRST_LOOP = 16
_PERMIT = Struct("@ddQQQQ")
"""The words from `_SAFE_UNTIL` to `_DRAINING`."""
_LOOP_AT = {name: _FIRST_LOOP + number for number, name in enumerate(LOOPS)}


class Phase(IntEnum):
    """What a slot says of its attempt."""

    EMPTY = 0
    RUNNING = 1
    ENDED = 2
    ISOLATED = 3
    ABANDONED = 4
    """Given up after its timeout and settled, and still in this process, which it may take along."""


@dataclass(frozen=True, slots=True)
class Started:
    """A started attempt as its slot shows it. `deadline` is 0 where it has no timeout."""

    job_id: UUID
    fence: int
    phase: Phase
    deadline: float


@dataclass(frozen=True, slots=True)
class Tally:
    """How many attempts a process has started, jobs it has ended and attempts that failed, since it began."""

    started: int = 0
    ended: int = 0
    failed: int = 0


class Page:
    """The mapped page of one worker; `slots` is how many attempts may have started at once."""

    def __init__(self, memory: mmap.mmap | bytearray, slots: int):
        self._memory = memory
        self._ints = memoryview(memory).cast("Q")
        self._floats = memoryview(memory).cast("d")
        self._slots = slots
        self._free = list(range(slots - 1, -1, -1))
        self._barrier = Lock()

    @staticmethod
    def size(slots: int) -> int:
        """Bytes that a page of so many slots takes."""
        return 8 * (_WORDS + _SLOT_WORDS * slots)

    @classmethod
    def private(cls, slots: int) -> Page:
        """A page in ordinary memory, for a worker that is its own supervisor."""
        return cls(bytearray(cls.size(slots)), slots)

    @classmethod
    def create(cls, slots: int) -> tuple[Page, int]:
        """A shared page and the file descriptor through which a child maps it."""
        with tempfile.TemporaryFile(prefix="unstuck-page-") as file:
            file.truncate(cls.size(slots))
            return cls(mmap.mmap(file.fileno(), cls.size(slots)), slots), os.dup(file.fileno())

    @classmethod
    def attach(cls, descriptor: int, slots: int) -> Page:
        """The child's view of a page that its supervisor created."""
        page = cls(mmap.mmap(descriptor, cls.size(slots)), slots)
        os.close(descriptor)
        return page

    def close(self) -> None:
        """Let the memory go."""
        self._ints.release()
        self._floats.release()
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()

    @property
    def tick(self) -> float:
        """When the child's loop last turned."""
        return self._floats[_TICK]

    @tick.setter
    def tick(self, at: float) -> None:
        self._floats[_TICK] = at

    @property
    def round_trip(self) -> float:
        """When the store last answered the child."""
        return self._floats[_ROUND_TRIP]

    @round_trip.setter
    def round_trip(self, at: float) -> None:
        self._floats[_ROUND_TRIP] = at

    @property
    def renewed_at(self) -> float:
        """When the last confirmed renewal was sent."""
        return self._floats[_RENEWED]

    @property
    def free_places(self) -> int:
        """How many more jobs the child could start now."""
        return self._ints[_FREE]

    @free_places.setter
    def free_places(self, count: int) -> None:
        self._ints[_FREE] = count

    @property
    def busy_at(self) -> float:
        """When the child last had something in hand beyond its free places, or got something by a claim."""
        return self._floats[_BUSY]

    @busy_at.setter
    def busy_at(self, at: float) -> None:
        self._floats[_BUSY] = at

    @property
    def unsettled_since(self) -> float:
        """When the oldest ending that the store has not confirmed came in; 0 where there is none."""
        return self._floats[_UNSETTLED]

    @unsettled_since.setter
    def unsettled_since(self, at: float) -> None:
        self._floats[_UNSETTLED] = at

    @property
    def looked_back(self) -> float:
        """By how many seconds answers that began with the very first in line took longer than others, all in all."""
        return self._floats[_LOOKED_BACK]

    @looked_back.setter
    def looked_back(self, seconds: float) -> None:
        self._floats[_LOOKED_BACK] = seconds

    @property
    def safe_until(self) -> float:
        """Until when claiming and starting are allowed."""
        return self._floats[_SAFE_UNTIL]

    def renewed(self, sent_at: float, lease: float) -> None:
        """A renewal sent at `sent_at` was confirmed: safe for two thirds of the lease from then."""
        if sent_at > self._floats[_RENEWED]:
            self._floats[_RENEWED] = sent_at
            self._floats[_SAFE_UNTIL] = sent_at + lease * 2 / 3

    @property
    def withdrawn(self) -> int:
        """How often unstarted work was taken away; a claim remembers the number it was sent under."""
        with self._barrier:
            return self._ints[_WITHDRAWN]

    def permits(self, withdrawn: int, now: float) -> bool:
        """Whether what was claimed under this withdrawal number may start at this moment, as far as this page says. Asked
        behind the write of its slot."""
        with self._barrier:
            safe_until, _, number, _, lost, draining = _PERMIT.unpack_from(self._memory, 8 * _SAFE_UNTIL)
        return bool(number == withdrawn and not lost and not draining and now < safe_until)

    def may_start(self, now: float) -> bool:
        """Whether this page lets anything new begin at this moment."""
        safe_until, _, _, _, lost, draining = _PERMIT.unpack_from(self._memory, 8 * _SAFE_UNTIL)
        return bool(not lost and not draining and now < safe_until)

    def withdraw(self) -> None:
        """Forbid the start of everything claimed so far."""
        self._ints[_WITHDRAWN] += 1
        with self._barrier:
            pass

    @property
    def is_lost(self) -> bool:
        """Whether the worker's row is known to have ended."""
        return self._ints[_LOST] != 0

    def lose(self) -> None:
        """The worker's row has ended: it must stop."""
        self._ints[_LOST] = 1

    @property
    def drain_level(self) -> int:
        """0: work on; 1: start nothing, finish within grace; 2: stop at once."""
        return self._ints[_DRAINING]

    def drain(self, level: int) -> None:
        """Ask the child to leave; a level never sinks."""
        self._ints[_DRAINING] = max(level, self._ints[_DRAINING])

    @property
    def wants_replacement(self) -> bool:
        """Whether the child asked to be replaced: something in it would not stop."""
        return self._ints[_REPLACE] != 0

    def ask_replacement(self) -> None:
        """Something in this process does not stop: drain and replace it."""
        self._ints[_REPLACE] = 1

    @property
    def has_left(self) -> bool:
        """Whether the child went by its own will, and not by something in it."""
        return self._ints[_LEFT] != 0

    def leave(self) -> None:
        """The child's last word: from here on it only exits."""
        self._ints[_LEFT] = 1

    def loop_succeeded(self, name: str, at: float) -> None:
        """Note a loop's last success."""
        self._floats[_LOOP_AT[name]] = at

    def loop_began(self, name: str, at: float) -> None:
        """Note that a loop goes round here; until its first success its beginning stands for one."""
        if not self._floats[_LOOP_AT[name]]:
            self.loop_succeeded(name, at)

    def loops(self) -> dict[str, float]:
        """Each loop's last success, or its beginning where it has had none yet."""
        marks = self._floats[_FIRST_LOOP : _FIRST_LOOP + len(LOOPS)].tolist()
        return {name: at for name, at in zip(LOOPS, marks, strict=True) if at}

    def write_slot(self, job_id: UUID, fence: int, phase: Phase, deadline: float) -> int | None:
        """Say that this attempt starts; the slot's number, or None where all are taken. Where threads say so too,
        one lock is held by all of them, or the count of those that have started would lose some."""
        try:
            number = self._free.pop()
        except IndexError:
            return None
        self._ints[_STARTED] += 1
        whole = job_id.int
        # Word after word, so that the phase, which makes it one, comes last.
        _SLOT.pack_into(
            self._memory,
            8 * (_WORDS + number * _SLOT_WORDS),
            whole >> 64,
            whole & 0xFFFF_FFFF_FFFF_FFFF,
            fence,
            deadline,
            phase,
        )
        return number

    def settled(self, ended: int, failed: int) -> None:
        """The store has so many more endings of jobs, and failures of attempts."""
        self._ints[_ENDED] += ended
        self._ints[_FAILED] += failed

    def tally(self) -> Tally:
        """What this process has done so far, for a view: nothing is decided by it."""
        return Tally(self._ints[_STARTED], self._ints[_ENDED], self._ints[_FAILED])

    def set_phase(self, number: int, phase: Phase) -> None:
        """Change what a slot says; `EMPTY` frees it."""
        self._ints[_WORDS + number * _SLOT_WORDS + 4] = phase
        if not phase:
            self._free.append(number)

    def started(self) -> Iterator[Started]:
        """Every attempt that has started and whose ending is not confirmed."""
        phases = self._ints[_WORDS + 4 : _WORDS + self._slots * _SLOT_WORDS : _SLOT_WORDS].tolist()
        for number in compress(range(self._slots), phases):
            at = _WORDS + number * _SLOT_WORDS
            phase = self._ints[at + 4]
            if phase:
                job_id = UUID(int=self._ints[at] << 64 | self._ints[at + 1])
                yield Started(job_id, self._ints[at + 2], Phase(phase), self._floats[at + 3])
