"""The application of a chaos run: handlers that last a while, end as they are told, and tell the witness.

What a handler does stands in its arguments, so that every attempt, every process and the check afterwards
know it. `start`, `tick` and `end` are fsynced before the handler goes on: `end` says `returned`, or the name
of what was raised; an attempt that was killed has none. Both clocks are written, the one that nobody can step
(`at`, CLOCK_BOOTTIME) and the one that the storm steps (`wall`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.chaos import effects
from tests.processes.witness import say, sync
from unstuck import App, Backoff, Cancel, Snooze, current
from unstuck.engine.env import boottime

app = App(os.environ.get("UNSTUCK_URL") or "memory://")

TICK = 0.25
PAUSE = 0.05
SOON = Backoff(base="100ms", cap="1s", never=(PermissionError,))


def rest(seconds: float) -> None:
    """Sleep, as a plain function does; libfaketime spoils `time.sleep`, which waits for a moment of a clock."""
    threading.Event().wait(seconds)


def tell(what: str, **more: Any) -> None:
    """One line of the witness, kept whatever happens next; where nothing may be written, it waits until it may."""
    while True:
        try:
            say(what, wall=time.time(), **more)
        except OSError as error:
            if error.errno not in (errno.EFBIG, errno.ENOSPC):
                raise
            rest(PAUSE)
        else:
            return sync()


@contextmanager
def witnessed() -> Iterator[None]:
    """Tell the start and the end of a handler."""
    tell("start")
    try:
        yield
    except BaseException as error:
        tell("end", how=type(error).__name__)
        raise
    tell("end", how="returned")


def end_as_told(ending: str) -> str:
    """What comes after the work, by the name of an ending."""
    job = current().job
    match ending:
        case "second" if not job.failures:
            raise ValueError("the first time")
        case "snooze" if not job.snoozes:
            raise Snooze("200ms")
        case "fail":
            raise ValueError("every time")
        case "never":
            raise PermissionError("and never again")
        case "cancel":
            raise Cancel("by its handler")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    return ending


@app.task(backoff=SOON)
def work(seconds: float, ending: str) -> str:
    """A plain function; it looks whether it should stop only where its ending is `heed`."""
    with witnessed():
        until = boottime() + seconds
        while (left := until - boottime()) > 0:
            rest(min(left, TICK))
            if left > TICK:
                tell("tick")
            if ending == "heed" and current().cancelled:
                break
        return end_as_told(ending)


@app.task(backoff=SOON)
async def awork(seconds: float, ending: str) -> str:
    """The same as a coroutine."""
    with witnessed():
        until = boottime() + seconds
        while (left := until - boottime()) > 0:
            await asyncio.sleep(min(left, TICK))
            if left > TICK:
                tell("tick")
        return end_as_told(ending)


@app.task(backoff=SOON, isolate=True)
def work_alone(seconds: float, ending: str) -> str:
    """The same in a process of its own, which alone may kill itself."""
    with witnessed():
        rest(seconds)
        return end_as_told(ending)


@app.task(backoff=SOON, tries=100)
def work_inside(seconds: float, ending: str) -> str:
    """A plain function whose effect and whose ending are one transaction.

    It opens a connection of its own, so an outage is a failure of its, for which it has the tries.
    """
    tell("start", has_effect=True)
    job, has_ended = current(), False
    try:
        rest(seconds)
        with effects.transaction(app.url) as tx:
            with job.settling(tx=tx, result=ending):
                effects.have(tx, app.url, job.id, job.fence)
            # All that is left is the commit, whose answer may be lost though it happened.
            tell("end", how="returned")
            has_ended = True
    except BaseException as error:
        if not has_ended:
            tell("end", how=type(error).__name__)
        raise
    return ending
