"""A worker under a stepped clock, where libfaketime is installed: its wall clock jumps, its other clocks do not.

Nothing that workers compare between each other may come from their own clocks, so a step of an hour or of ten
years must change nothing. The offset stands in a file that the library reads again each second. Where it is
not installed (Debian: libfaketime), or does not work with this interpreter, the run says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PLACES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
STEPS = (3600, -3600, 61, -61, 315_360_000, -315_360_000)
"""Seconds: an hour, a minute and ten years, either way."""

TRIAL = "import time; print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())"


class Stepping:
    """The stepped clock of one supervisor and its children; `prefix` stands before its command."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._file.write_text("+0\n")
        self.prefix: tuple[str, ...] = ()
        self.why_not = ""
        found = [path for place in PLACES for path in Path("/").glob(place.lstrip("/"))]
        if not found:
            self.why_not = "libfaketime is not installed"
            return
        self.prefix = (
            f"LD_PRELOAD={found[0]}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_CACHE_DURATION=1",
        )
        self._try()

    def step(self, strength: float) -> int:
        """Step the clock; answers by how many seconds."""
        seconds = STEPS[int(strength * len(STEPS))]
        self._set(seconds)
        return seconds

    def back(self) -> None:
        """Let the clock be right again."""
        self._set(0)

    @staticmethod
    def clear_up(pid: int) -> None:
        """Remove what the library shares between processes, where the first of them was killed."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            Path("/dev/shm", name).unlink(missing_ok=True)

    def _set(self, seconds: int) -> None:
        # Replaced in one step: a reader of half a number would step the clock to nowhere.
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        os.replace(new, self._file)

    def _try(self) -> None:
        """See that the wall clock is stepped, and that the other clocks are not."""
        plain = self._read()
        self._set(3600)
        stepped = self._read(*self.prefix)
        self._set(0)
        if stepped is None or plain is None or abs(stepped[0] - plain[0] - 3600) > 60:
            self.why_not = "libfaketime does not step the clock of this interpreter"
        elif any(abs(new - old) > 60 for new, old in zip(stepped[1:], plain[1:], strict=True)):
            self.why_not = "this libfaketime steps the clocks that nothing on a machine can step"

    def _read(self, *prefix: str) -> list[float] | None:
        command = ["env", *prefix, sys.executable, "-c", TRIAL]
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
            return [float(word) for word in said.split()]
        except (OSError, ValueError, subprocess.SubprocessError):
            return None
