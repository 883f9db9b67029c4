"""Health over HTTP: `/livez` and `/readyz`, for whoever must decide about a worker from outside.

Both answer one JSON document: each process with the age of every loop's last good round, read from the
pages, so an answer costs the store nothing and a stopped store cannot hang it. A loop is red when it has
made no good round for a lease on top of its usual pause.

`/livez` says whether a restart would help: it is red only when the supervisor's own watch does not go
round. `/readyz` says whether work gets done: red when a loop of the supervisor or of a child is red, or no
child works. An outage of the store is therefore not a reason to be killed, only not to be counted on.
The server reads one short request per connection, within seconds, and knows no other paths.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import UUID

import msgspec

from unstuck.engine.env import Env
from unstuck.engine.page import Page
from unstuck.model.errors import BadSetting
from unstuck.rules.pausing import is_silent
from unstuck.rules.settings import Settings

log = logging.getLogger("unstuck.engine")

REQUEST_SECONDS = 5.0
REQUEST_BYTES = 8192


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def address_of(text: str) -> Address:
    """`8080` or `0.0.0.0:8080`; without a host only this machine. Raises BadSetting."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise BadSetting(f"health port {text!r} is not a port: write 8080 or 0.0.0.0:8080")
    return Address(host.strip("[]") or "127.0.0.1", int(port))


class HealthServer:
    """An async context: answers while it is entered. `pages` are those of a supervisor, its own first."""

    def __init__(
        self,
        address: Address,
        pages: Callable[[], Mapping[UUID, Page]],
        settings: Settings,
        env: Env | None = None,
    ):
        self._address = address
        self._pages = pages
        self._settings = settings
        self._env = env or Env()
        self._began = self._env.now()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on; chosen by the system where 0 was asked for."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(
                self._answer, self._address.host, self._address.port, limit=REQUEST_BYTES
            )
        except OSError as error:
            raise BadSetting(
                f"health cannot be served on {self._address.host}:{self._address.port}: {error.strerror or error}"
            ) from None
        log.info("health is served on http://%s:%d/readyz", self._address.host, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    def report(self) -> dict[str, Any]:
        """What both paths answer."""
        now, lease = self._env.now(), self._settings.lease
        workers: list[dict[str, Any]] = []
        for number, (worker_id, page) in enumerate(self._pages().items()):
            ages = {name: round(now - at, 1) for name, at in page.loops().items()}
            red = [
                name
                for name, age in ages.items()
                if is_silent(name, age, lease, self._settings.sweep, self._settings.poll)
            ]
            is_ticking = now - max(page.tick, self._began) <= lease
            workers.append(
                {
                    "id": str(worker_id),
                    "kind": "child" if number else "supervisor",
                    "ok": is_ticking and not red and not page.is_lost,
                    "tick_seconds": round(now - page.tick, 1) if page.tick else None,
                    "loops_seconds": ages,
                    "red": red,
                }
            )
        alive = now - max(self._own_tick(), self._began) <= lease
        ready = alive and len(workers) > 1 and all(worker["ok"] for worker in workers)
        return {"live": alive, "ready": ready, "lease_seconds": lease, "workers": workers}

    def _own_tick(self) -> float:
        return next((page.tick for page in self._pages().values()), 0.0)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            status, document = "405 Method Not Allowed", {"error": "GET only"}
        elif path in (b"/livez", b"/readyz"):
            document = self.report()
            is_fine = document["live" if path == b"/livez" else "ready"]
            status = "200 OK" if is_fine else "503 Service Unavailable"
        else:
            status, document = "404 Not Found", {"error": "/livez and /readyz are all there is"}
        body = msgspec.json.encode(document)
        lines = [
            f"HTTP/1.1 {status}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        text = ("\r\n".join(lines) + "\r\n\r\n").encode()
        return text if method == b"HEAD" else text + body
