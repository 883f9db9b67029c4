"""A small TCP proxy between workers and server, which does on demand what networks do on bad days.

It listens on a free port of 127.0.0.1 and forwards to another; what befalls the traffic is its *mode*:
`pass`; `delay`, every piece later by so many seconds; `blackhole`, nothing moves and nothing is lost, so that
a statement may arrive long after its sender gave up; `swallow`, requests arrive and answers are dropped, and
a connection that missed a byte is reset afterwards; `refuse`, whoever comes is reset. `cut` resets all there
are. Order within a connection is always kept. It runs on a thread and a loop of its own.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from enum import StrEnum

PIECE = 65536


class Mode(StrEnum):
    PASS = "pass"
    DELAY = "delay"
    BLACKHOLE = "blackhole"
    SWALLOW = "swallow"
    REFUSE = "refuse"


class Link:
    """One connection through the proxy; `is_torn` once an answer was dropped from it."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.is_torn = False

    def reset(self) -> None:
        reset(self.near)
        reset(self.far)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, not with a polite end of file."""
    endpoint: socket.socket | None = writer.get_extra_info("socket")
    if endpoint is not None and endpoint.fileno() >= 0:
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Proxy:
    """`Proxy(5432).port` leads to port 5432 of this machine; close it in the end."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.mode = Mode.PASS
        self.seconds = 0.0
        self.passed = 0
        self.links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self._thread = threading.Thread(target=self._run, name=f"proxy to {target}", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def set(self, mode: Mode, seconds: float = 0.0) -> None:
        """From now on this befalls all traffic; `seconds` is for `delay`."""
        self._do(lambda: self._set(mode, seconds))

    def cut(self) -> None:
        """Reset every connection."""
        self._do(self._cut)

    def close(self) -> None:
        """End everything; allowed more than once."""
        if self._loop.is_closed():
            return
        self._do(self._cut)
        self._do(self._server.close)
        asyncio.run_coroutine_threadsafe(self._settle(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, act: Callable[[], None]) -> None:
        async def done() -> None:
            act()

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    async def _settle(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0)

    def _set(self, mode: Mode, seconds: float) -> None:
        self.mode, self.seconds = mode, seconds
        if mode is Mode.BLACKHOLE:
            self._flows.clear()
        else:
            self._flows.set()
        if mode is not Mode.SWALLOW:
            for link in [link for link in self.links if link.is_torn]:
                link.reset()

    def _cut(self) -> None:
        for link in list(self.links):
            link.reset()

    async def _accept(self, source: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        try:
            if self.mode is Mode.REFUSE:
                raise ConnectionRefusedError
            answers, far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            reset(near)
            return
        link = Link(near, far)
        self.links.add(link)
        try:
            requests = asyncio.create_task(self._forward(source, far, link, answers=False))
            await self._forward(answers, near, link, answers=True)
            requests.cancel()
        except OSError:
            link.reset()
        finally:
            self.links.discard(link)
            near.close()
            far.close()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, link: Link, *, answers: bool
    ) -> None:
        try:
            while piece := await source.read(PIECE):
                if self.mode is Mode.DELAY:
                    await asyncio.sleep(self.seconds)
                await self._flows.wait()
                if answers and (self.mode is Mode.SWALLOW or link.is_torn):
                    link.is_torn = True
                    continue
                target.write(piece)
                self.passed += len(piece)
                await target.drain()
            if not answers and target.can_write_eof():
                target.write_eof()
        except OSError:
            link.reset()
