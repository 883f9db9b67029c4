"""Child processes as their supervisor sees them: started, watched by their page, waited for, buried.

A child is spawned from the supervisor's main thread, because the kernel's signal at a parent's death
belongs to the parent *thread*. Its end is seen at once by a thread that waits for nothing else, with the
exit status and the peak of its memory.

Who starts children is an argument of the supervisor (`Spawner`), and of a process it touches only what
`Body` names; so the simulator can give it processes that are not the operating system's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from unstuck.engine.child import ChildOrder
from unstuck.engine.framing import write_frame
from unstuck.engine.isolating import exit_detail
from unstuck.engine.page import Page
from unstuck.engine.shift import Key
from unstuck.engine.worker import slots_of
from unstuck.rules.settings import Settings


class Body(Protocol):
    """The process of a child, as far as its supervisor lays hands on it."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None:
        """SIGKILL; nothing happens where it is gone already."""
        ...

    def release(self) -> None:
        """It is dead and buried: let go of what still led to it."""
        ...


class Spawner(Protocol):
    """Starts the process of a child; called on the main thread, inside the running loop. Raises OSError.

    `worker_id` is the child's to register under, `now` the moment of its start.
    """

    def __call__(
        self, ordinal: int, worker_id: UUID, supervisor_id: UUID, settings: Settings, now: float
    ) -> Child: ...


@dataclass(eq=False)
class Child:
    """One child process. `killed_for` says why we killed it, if we did."""

    ordinal: int
    worker_id: UUID
    page: Page
    process: Body
    spawned_at: float
    killed_for: str | None = None
    is_stalled: bool = False
    is_quiet: bool = False
    leaving_since: float | None = None
    swept_at: float = 0.0
    errand: asyncio.Task[None] | None = None
    verdict_ids: dict[Key, UUID] = field(default_factory=dict[Key, UUID])
    ended: asyncio.Future[dict[str, Any]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def has_registered(self) -> bool:
        """Whether its row exists, so that it can be renewed."""
        return self.page.renewed_at > 0

    def has_ended(self, detail: dict[str, Any]) -> None:
        """Its process was reaped."""
        if not self.ended.done():
            self.ended.set_result(detail)

    def kill(self, why: str) -> None:
        """SIGKILL, for this reason."""
        if self.killed_for is None and not self.ended.done():
            self.killed_for = why
            self.process.kill()


class Subprocess:
    """A child process of the operating system, with the pipe at whose end it dies."""

    def __init__(self, popen: subprocess.Popen[bytes]):
        self._popen = popen

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def kill(self) -> None:
        """SIGKILL; nothing happens where it is gone already."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def release(self) -> None:
        """Close the pipe."""
        if self._popen.stdin is not None:
            self._popen.stdin.close()


class Subprocesses:
    """The spawner of production: children are subprocesses that import `application` anew."""

    def __init__(self, application: str, url: str | None = None):
        self._application = application
        self._url = url

    def __call__(
        self, ordinal: int, worker_id: UUID, supervisor_id: UUID, settings: Settings, now: float
    ) -> Child:
        """Start one."""
        page, descriptor = Page.create(slots_of(settings))
        # A child inherits the blocked signal, so a Ctrl-C cannot hit it before it has learned to ignore it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            popen = subprocess.Popen(
                [sys.executable, "-m", "unstuck.engine.child"], stdin=subprocess.PIPE, pass_fds=(descriptor,)
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            os.close(descriptor)
        child = Child(ordinal, worker_id, page, Subprocess(popen), now)
        order = ChildOrder(
            application=self._application,
            path=[os.getcwd(), *sys.path],
            worker_id=worker_id,
            supervisor_id=supervisor_id,
            settings=settings,
            slots=slots_of(settings),
            page_descriptor=descriptor,
            parent_pid=os.getpid(),
            log_level=logging.getLogger().getEffectiveLevel(),
            url=self._url,
        )
        assert popen.stdin is not None
        with suppress(BrokenPipeError):
            write_frame(popen.stdin, order)  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=_wait, args=(child, popen, loop), name=f"unstuck-wait-{popen.pid}", daemon=True
        ).start()
        return child


def _wait(child: Child, popen: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
    try:
        _, status, usage = os.wait4(popen.pid, 0)
        code, peak_kib = os.waitstatus_to_exitcode(status), usage.ru_maxrss
    except ChildProcessError:
        code, peak_kib = 0, 0
    popen.returncode = code
    detail = {**exit_detail(code), "peak_memory_kib": peak_kib}
    with suppress(RuntimeError):  # the loop is closed: the supervisor itself is leaving
        loop.call_soon_threadsafe(child.has_ended, detail)
