"""A connection whose answers are taken in the very step of the loop in which the socket has them.

psycopg wakes the task that waits each time the socket has something, which takes another turn of the loop, and an
answer of hundreds of rows comes in a dozen pieces. Where threads are at work beside the loop, each of its turns waits
for the interpreter, up to the switch interval (5 ms): a claim took longer in coming and going than at the server, and
what had been claimed ahead was used up meanwhile. So here the pieces are taken by the callback of the socket itself,
and the task is woken once, with the answer.

Only for lanes: where whoever waits is cancelled, the connection, which is in the middle of an answer, is closed.
psycopg would ask the server to cancel, and wait for that.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait

R = TypeVar("R")

AsyncKind = type[psycopg.AsyncConnection[Any]]

READING, WRITING = int(Wait.R), int(Wait.W)


class PromptConnection(psycopg.AsyncConnection[Any]):
    """See the essay above."""

    async def wait(self, gen: PQGen[R], interval: float = 0.0, timeout: float | None = None) -> R:
        """What the generator returns, which asks and reads. `interval` is psycopg's; `timeout`, in seconds, is left
        to it."""
        if timeout is not None:
            return await super().wait(gen, interval or 0.1, timeout)
        answer: R
        try:
            wanted = next(gen)
        except StopIteration as done:
            answer = done.value
            return answer
        taking = _Taking(gen, self.pgconn.socket, wanted)
        try:
            answer = await taking.answered
        except asyncio.CancelledError:
            taking.forget()
            self.pgconn.finish()
            raise
        return answer


class _Taking:
    """One question under way: the callbacks of its socket, and what comes of them."""

    def __init__(self, gen: PQGen[Any], descriptor: int, wanted: int):
        self._gen = gen
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._heeded = 0
        self.answered: asyncio.Future[Any] = self._loop.create_future()
        self._heed(wanted)

    def stop(self) -> None:
        """Heed the socket no more."""
        self._heed(0)

    def forget(self) -> None:
        """Nobody waits for it any more."""
        self.stop()
        if self.answered.done() and not self.answered.cancelled():
            self.answered.exception()  # seen, or the loop would say that nobody has

    def _heed(self, wanted: int) -> None:
        was, self._heeded = self._heeded, wanted
        if wanted & ~was & READING:
            self._loop.add_reader(self._descriptor, self._go_on, Ready.R)
        elif was & ~wanted & READING:
            self._loop.remove_reader(self._descriptor)
        if wanted & ~was & WRITING:
            self._loop.add_writer(self._descriptor, self._go_on, Ready.W)
        elif was & ~wanted & WRITING:
            self._loop.remove_writer(self._descriptor)

    def _go_on(self, ready: Ready) -> None:
        if self.answered.done():
            return  # whoever asked was cancelled, and has not come to say so
        try:
            wanted = self._gen.send(ready)
        except StopIteration as done:
            self.stop()
            self.answered.set_result(done.value)
        except OSError as error:
            self.stop()
            closed = psycopg.OperationalError("connection socket closed")
            closed.__cause__ = error
            self.answered.set_exception(closed)
        except BaseException as error:
            self.stop()
            self.answered.set_exception(error)
        else:
            self._heed(wanted)
