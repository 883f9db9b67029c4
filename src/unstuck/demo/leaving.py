"""Leaving with everything cleaned up, whatever ends it: Ctrl-C, SIGTERM, a terminal that is closed, an error."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from unstuck.model.errors import StoreError


@contextmanager
def interruptible() -> Generator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does: with everything cleaned up."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signals = [
        number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed_exit() -> Generator[ExitStack]:
    """A stack whose callbacks a second Ctrl-C does not interrupt."""
    stack = ExitStack()

    def leave() -> None:
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, signal.SIG_IGN) for number in signals}
        try:
            stack.close()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    try:
        yield stack
    except BaseException:
        with suppress(StoreError):  # told already, and not what went wrong first
            leave()
        raise
    leave()
