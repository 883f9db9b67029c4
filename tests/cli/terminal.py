"""A command on a terminal of its own, as somebody sits before it."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time

COMMAND = [sys.executable, "-m", "unstuck"]
PATIENCE_SECONDS = 30.0


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *words: str):
        self.pid, self._side = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [*COMMAND, *words])
        self.seen = ""
        self._is_open = True

    def until(self, text: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} did not appear in {self.seen!r}"
            assert self._is_open, f"it ended without {text!r}: {self.seen!r}"
            self._read()

    def type(self, text: str) -> None:
        os.write(self._side, text.encode())

    def end(self) -> int:
        end = time.monotonic() + PATIENCE_SECONDS
        while self._is_open and time.monotonic() < end:
            self._read()
        return self.close()

    def close(self) -> int:
        if self._is_open:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self._side)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def hear(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and "interrupted" not in self.seen:
            self._read()

    def _read(self) -> None:
        if not select.select([self._side], [], [], 0.2)[0]:
            return
        try:
            self.seen += os.read(self._side, 65536).decode(errors="replace")
        except OSError:
            self._is_open = False
