"""The health of a supervisor over HTTP, from pages that a test writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from unstuck.engine.env import Env
from unstuck.engine.health import Address, HealthServer, address_of
from unstuck.engine.page import Page
from unstuck.model.errors import BadSetting
from unstuck.rules.settings import Settings

LEASE = 10.0
SETTINGS = Settings(lease=LEASE, sweep=2.0, poll=1.0)


class World:
    """A supervisor and one child, at a moment that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pages = {UUID(int=1): Page.private(1), UUID(int=2): Page.private(1)}
        self.supervisor, self.child = self.pages.values()

    def tick(self) -> None:
        for page in self.pages.values():
            page.tick = self.now

    def go_round(self, *names: str) -> None:
        for name in names or ("renewing", "sweeping", "pruning"):
            self.supervisor.loop_succeeded(name, self.now)
        for name in ("looking", "claiming", "settling"):
            self.child.loop_succeeded(name, self.now)
        self.tick()

    def server(self, port: int = 0) -> HealthServer:
        env = Env(now=lambda: self.now)
        return HealthServer(Address("127.0.0.1", port), lambda: self.pages, SETTINGS, env)


def ask(server: HealthServer, *requests: bytes) -> list[tuple[int, Any]]:
    async def talk() -> list[tuple[int, Any]]:
        async with server:
            return [await _ask(server.port, request) for request in requests]

    return asyncio.run(talk())


async def _ask(port: int, request: bytes) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    said = await reader.read()
    writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, json.loads(body) if body else None


LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


def test_all_is_well() -> None:
    world = World()
    world.go_round()
    (live, _), (ready, report) = ask(world.server(), LIVE, READY)
    assert (live, ready) == (200, 200)
    assert [worker["kind"] for worker in report["workers"]] == ["supervisor", "child"]
    assert report["workers"][0]["loops_seconds"] == {"renewing": 0.0, "sweeping": 0.0, "pruning": 0.0}


def _old_loop(world: World) -> None:
    world.go_round()
    world.now += 2 * LEASE + 1
    world.go_round("sweeping")


def _stalled_child(world: World) -> None:
    world.go_round()
    world.now += LEASE + 1
    world.supervisor.tick = world.now


def _lost_child(world: World) -> None:
    world.go_round()
    world.child.lose()


def _no_child(world: World) -> None:
    world.go_round()
    del world.pages[UUID(int=2)]


@pytest.mark.parametrize("ill", [_old_loop, _stalled_child, _lost_child, _no_child])
def test_what_makes_it_not_ready_does_not_ask_for_a_restart(ill: Callable[[World], None]) -> None:
    world = World()
    server = world.server()
    ill(world)
    report = server.report()
    assert (report["live"], report["ready"]) == (True, False)
    (live, _), (ready, _) = ask(server, LIVE, READY)
    assert (live, ready) == (200, 503)


def test_the_loop_that_is_red_is_named() -> None:
    world = World()
    _old_loop(world)
    report = world.server().report()
    assert report["workers"][0]["red"] == ["renewing"]


def test_a_supervisor_that_does_not_tick_is_not_alive() -> None:
    world = World()
    server = world.server()
    world.go_round()
    world.now += LEASE + 1
    assert server.report()["live"] is False


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /readyz?verbose HTTP/1.1\r\n\r\n", 200),
        (b"POST /readyz HTTP/1.1\r\n\r\n", 405),
        (b"HEAD /readyz HTTP/1.1\r\n\r\n", 200),
        (b"\x00\xff\r\n\r\n", 405),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 0),
    ],
)
def test_strange_requests_do_no_harm(request_bytes: bytes, code: int) -> None:
    world = World()
    world.go_round()
    (strange, _), (after, _) = ask(world.server(), request_bytes, READY)
    assert strange == code
    assert after == 200


def test_a_port_that_is_taken_is_one_sentence() -> None:
    async def clash() -> None:
        world = World()
        async with world.server() as first:
            with pytest.raises(BadSetting, match=f"health cannot be served on 127.0.0.1:{first.port}"):
                async with world.server(first.port):
                    pass

    asyncio.run(clash())


def test_addresses() -> None:
    assert address_of("8080") == Address("127.0.0.1", 8080)
    assert address_of("0.0.0.0:80") == Address("0.0.0.0", 80)
    assert address_of("[::1]:80") == Address("::1", 80)
    for wrong in ("", "x", "80x", "70000", "host:", "-1"):
        with pytest.raises(BadSetting):
            address_of(wrong)
