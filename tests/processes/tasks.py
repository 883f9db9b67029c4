"""The application under test: tasks that behave, and tasks that do what users' code does on a bad day."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from tests.processes.draws import ending_of
from tests.processes.witness import may_go, say
from unstuck import App, Backoff, Cancel, Snooze, current
from unstuck.engine.env import boottime

app = App(os.environ.get("UNSTUCK_URL") or "memory://")

_HOLDING = ctypes.PyDLL(None)
"""Calls through it keep the interpreter's lock, as many an extension module does."""


TICK = 0.1
"""How often a handler that takes a while says that it is still at work."""


@app.task
def nap(seconds: float) -> int:
    """A plain function that takes a while and never looks whether it should stop."""
    say("start")
    until = boottime() + seconds
    while (left := until - boottime()) > 0:
        time.sleep(min(left, TICK))
        say("tick")
    say("end")
    return os.getpid()


@app.task
async def doze(seconds: float) -> int:
    """A coroutine that takes a while."""
    say("start")
    until = boottime() + seconds
    while (left := until - boottime()) > 0:
        await asyncio.sleep(min(left, TICK))
        say("tick")
    say("end")
    return os.getpid()


@app.task
def stay() -> None:
    """A plain function at work until the test lets go the attempts with its fence."""
    say("start")
    while not may_go(str(current().fence)):
        time.sleep(TICK)
        say("tick")
    say("end")


@app.task
async def astay() -> None:
    """The same as a coroutine."""
    say("start")
    while not may_go(str(current().fence)):
        await asyncio.sleep(TICK)
        say("tick")
    say("end")


@app.task
def hold(seconds: float) -> None:
    """Once it may go, it holds the interpreter in a C call: no other thread of the process runs meanwhile."""
    say("start")
    if seconds:
        while not may_go(current().job.queue):
            time.sleep(TICK)
        _HOLDING.usleep(int(seconds * 1_000_000))
    say("end")


@app.task
async def block(seconds: float) -> None:
    """Once it may go, it blocks the loop."""
    say("start")
    if seconds:
        while not may_go(current().job.queue):  # noqa: ASYNC110 - another process says so, by a file
            await asyncio.sleep(TICK)
        time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for
    say("end")


@app.task
async def leave_by_exit() -> None:
    """Ends its whole process without a word."""
    say("start")
    await asyncio.sleep(0.5)
    os._exit(3)


@app.task
def leave_by_kill() -> None:
    """Kills its whole process."""
    say("start")
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
async def raise_exit() -> None:
    """Raises what asyncio lets through its loop."""
    say("start")
    sys.exit(3)


@app.task(isolate=True)
def alone(seconds: float) -> int:
    """Runs in a process of its own."""
    say("start")
    time.sleep(seconds)
    say("end")
    return os.getpid()


@app.task(isolate=True)
def alone_and_killed(leaves_a_child: bool = False) -> None:
    """Kills the process of its own, with or without a child that holds on to its pipes."""
    say("start")
    if leaves_a_child and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
async def cling(seconds: float) -> None:
    """A coroutine that swallows its cancellation."""
    say("start")
    until = boottime() + seconds
    while (left := until - boottime()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(min(left, TICK))
        say("tick")
    say("end")


@app.task
def orphan_maker() -> None:
    """Leaves a grandchild behind that ends soon, for process 1 to reap."""
    say("start")
    script = "import subprocess, sys; subprocess.Popen(['sleep', '0.2'])"
    subprocess.run([sys.executable, "-c", script], check=True)
    say("end")


SOON = Backoff(base="50ms", cap="200ms", never=(PermissionError,))


def end_as_drawn(number: int) -> int:
    """Do what this number draws; whatever it is, the same in each attempt."""
    job = current().job
    match ending_of(number).name:
        case "second" if not job.failures:
            raise ValueError("the first time")
        case "snooze" if not job.snoozes:
            raise Snooze("50ms")
        case "fail":
            raise ValueError(f"number {number}")
        case "never":
            raise PermissionError(f"number {number}")
        case "cancel":
            raise Cancel("drawn")
        case "kill" | "kill_alone":
            os.kill(os.getpid(), signal.SIGKILL)
    return number


@app.task(backoff=SOON)
def draw(number: int, seconds: float) -> int:
    """A plain function."""
    say("start")
    time.sleep(seconds)
    answer = end_as_drawn(number)
    say("end")
    return answer


@app.task(backoff=SOON)
async def adraw(number: int, seconds: float) -> int:
    """The same as a coroutine; it alone draws timeouts."""
    say("start")
    await asyncio.sleep(60.0 if ending_of(number).name == "timeout" else seconds)
    answer = end_as_drawn(number)
    say("end")
    return answer


@app.task(backoff=SOON, isolate=True)
def draw_alone(number: int) -> int:
    """The same in a process of its own."""
    say("start")
    return end_as_drawn(number)
