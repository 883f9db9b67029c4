"""A job in a process of its own: for `isolate=True`, and for suspects.

The process is a fresh interpreter that imports the application, runs this one attempt and sends its
verdict back in a frame. Its death is certainly its own. It is killed, with everything it started, at the
timeout and at a cancel; when this worker goes, the kernel kills the process itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec

from unstuck.engine.run import Run, died
from unstuck.model.job import ClaimedJob
from unstuck.model.verdict import Verdict

LAST_WORDS = 0.5
"""Seconds to read what a process had written when it died, where something keeps its pipe open."""


class Order(msgspec.Struct):
    """What the isolated process is to do."""

    application: str
    url: str | None
    path: list[str]
    job: ClaimedJob
    verdict_id: UUID
    worker_id: UUID
    dice: float
    parent_pid: int


class Word(msgspec.Struct):
    """What it says back: a line, a progress, or at the end the verdict."""

    line: str | None = None
    progress: tuple[float, float | None, str] | None = None
    verdict: Verdict | None = None


class Isolating:
    """Runs attempts in processes of their own for one worker; `url` is where its application's store is."""

    def __init__(self, application: str, worker_id: UUID, dice: Any, url: str | None = None):
        self._application = application
        self._url = url
        self._worker_id = worker_id
        self._dice = dice

    async def run(self, run: Run) -> Verdict:
        """The attempt's verdict: its own, or `crashed` where its process died without one."""
        order = Order(
            self._application,
            self._url,
            sys.path,
            run.job,
            run.verdict_id,
            self._worker_id,
            self._dice.random(),
            os.getpid(),
        )
        ours: set[int] = set()
        try:
            theirs_in, ours_out = _pipe(ours)
            ours_in, theirs_out = _pipe(ours)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "unstuck.engine.isolated", str(theirs_in), str(theirs_out)),
                pass_fds=(theirs_in, theirs_out),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                _close(ours, theirs_in, theirs_out)
                ours.discard(ours_in)
                pipe = os.fdopen(ours_in, "rb", 0)
                reader = asyncio.StreamReader()
                transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                    lambda: asyncio.StreamReaderProtocol(reader), pipe
                )
                try:
                    ours.discard(ours_out)
                    await asyncio.to_thread(_send, ours_out, order)
                    verdict = await self._until_dead(process, self._listen(reader, run))
                    status = await process.wait()
                finally:
                    transport.close()
            finally:
                _kill(process)
                await asyncio.shield(process.wait())
        finally:
            _close(ours, *ours)
        return verdict or died(run, self._worker_id, exit_detail(status))

    async def _until_dead(
        self, process: Process, listening: Coroutine[Any, Any, Verdict | None]
    ) -> Verdict | None:
        """What it said. A child of its own may hold the pipe open for ever, so its death counts, not the end of file.

        Stopped, it is killed first and heard second: a worker that stood still may learn of an ending and of the
        timeout after it in one moment, and what had been said by then counts.
        """
        heard, died = asyncio.ensure_future(listening), asyncio.ensure_future(process.wait())
        try:
            try:
                await asyncio.wait({heard, died}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                _kill(process)
                await asyncio.wait({heard}, timeout=LAST_WORDS)
                if heard.done() and (verdict := heard.result()) is not None:
                    return verdict
                raise
            if not heard.done():
                # What it wrote before it died is in the pipe, and is read within this.
                await asyncio.wait({heard}, timeout=LAST_WORDS)
            return heard.result() if heard.done() else None
        finally:
            heard.cancel()
            died.cancel()

    async def _listen(self, reader: asyncio.StreamReader, run: Run) -> Verdict | None:
        while True:
            try:
                size = int.from_bytes(await reader.readexactly(4), "big")
                word = msgspec.msgpack.decode(await reader.readexactly(size), type=Word)
            except (asyncio.IncompleteReadError, msgspec.DecodeError):
                return None
            if word.line is not None:
                run.context.log(word.line)
            if word.progress is not None:
                run.context.progress(*word.progress)
            if word.verdict is not None:
                return word.verdict


def _kill(process: Process) -> None:
    """It, and everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def exit_detail(status: int) -> dict[str, Any]:
    """How a process ended, in words for `attempts`: a signal's name or an exit code."""
    if status < 0:
        try:
            return {"signal": signal.Signals(-status).name}
        except ValueError:
            return {"signal": -status}
    return {"exit_code": status}


def _pipe(ours: set[int]) -> tuple[int, int]:
    """A pipe whose ends are noted as ours to close."""
    ends = os.pipe()
    ours.update(ends)
    return ends


def _close(ours: set[int], *descriptors: int) -> None:
    for descriptor in descriptors:
        ours.discard(descriptor)
        os.close(descriptor)


def _send(descriptor: int, order: Order) -> None:
    body = msgspec.msgpack.encode(order)
    # What is still buffered goes out when the pipe closes, so that may break too.
    with suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:
        pipe.write(len(body).to_bytes(4, "big") + body)
