"""How fast this machine is just now, and times that follow it.

These tests judge seconds, on machines that share their processors with strangers. A *probe*, a process
that sleeps 12 ms at a time, measures how late it is woken: the share of time in which whoever wants to
run cannot. A machine that gives half of its time gets leases and bounds twice as long; on a quiet one
every bound is what the promise says. A test that fails while the machine was clearly slower than the
pace it was given is run again at the pace that was measured; a broken promise (`Broken`) never is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.processes.waiting import until
from tests.servers import leaks
from unstuck.engine.env import boottime
from unstuck.engine.framing import die_with_parent

LEASE, SWEEP, POLL = 5.0, 2.0, 1.0
QUIET = 1.2
"""Up to here a machine counts as quiet: woken late by a sixth of the time is what two busy processors do alone."""

SLOWEST = 6.0
"""A machine slower than this cannot be judged at all; its tests fail."""

WINDOW = 10.0
"""Seconds of the past by which the pace of the next test is set."""

PROBE = """
import sys, time
clock = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
with open(sys.argv[1], "a", buffering=1) as file:
    while True:
        began, late = clock(), 0.0
        for _ in range(20):
            due = clock() + 0.012
            time.sleep(0.012)
            late += max(0.0, clock() - due - 0.001)
        now = clock()
        file.write(f"{now} {now - began} {late}\\n")
"""


@dataclass(frozen=True)
class Pace:
    """The times of one test; called with seconds, it answers as many of this machine's."""

    slowness: float

    def __call__(self, seconds: float) -> float:
        return seconds * self.slowness

    @property
    def lease(self) -> float:
        return self(LEASE)

    @property
    def bound(self) -> float:
        """R, with these settings."""
        return self(LEASE + 2 * SWEEP + POLL)

    @property
    def options(self) -> tuple[str, ...]:
        """What a worker is told of it."""
        lease, sweep, poll = (f"{self(seconds):.2f}s" for seconds in (LEASE, SWEEP, POLL))
        return ("--lease", lease, "--sweep", sweep, "--poll", poll)


class Probe:
    """The probe's process, and what it wrote."""

    def __init__(self) -> None:
        self._folder = leaks.folder("pace")
        self._file = self._folder / "late"
        self._file.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", PROBE, str(self._file)],
            env={**os.environ, **leaks.mark()},
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
        until(lambda: self._file.read_text().count("\n") >= 4, 60.0, "the probe has looked at the machine")

    def slowness(self, since: float) -> float:
        """Seconds of this machine that are worth one of a quiet machine, over the time since then."""
        lines = [[float(word) for word in line.split()] for line in self._file.read_text().splitlines()]
        asked = [line for line in lines if len(line) == 3 and line[0] >= since] or lines[-4:]
        elapsed, late = sum(line[1] for line in asked), sum(line[2] for line in asked)
        return 1.0 / max(1.0 - late / elapsed, 0.01)

    def pace(self, at_least: float = 1.0) -> Pace:
        """The pace for a test that begins now."""
        measured = max(self.slowness(boottime() - WINDOW), at_least)
        return Pace(1.0 if measured <= QUIET else min(measured, SLOWEST))

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._file.unlink()
        Path(self._folder).rmdir()


class MachineTooSlow(AssertionError):
    """The test failed on a machine that was slower than the pace it was given: run it again at that pace."""


class Broken(AssertionError):
    """A promise was broken that no slowness excuses: something was lost, doubled, or is not as it should be."""


def holds(promise: object, what: str) -> None:
    """An assertion that no slowness of the machine excuses."""
    if not promise:
        raise Broken(what)
