"""The proxy does to a connection what its mode says, and keeps the order of what it lets through."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.chaos.proxy import Mode, Proxy
from tests.processes.waiting import until

SECONDS = 10.0


class Echo:
    """A server that remembers what it was sent and sends it back."""

    def __init__(self) -> None:
        self.heard = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Closing alone would leave the thread in its call, and the kernel listening.
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(4096):
                    self.heard += piece
                    connection.sendall(piece)
            except OSError:
                return


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    proxy = Proxy(echo.port)
    yield proxy
    proxy.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS) as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        yield client


def test_it_passes_everything_in_order(client: socket.socket) -> None:
    text = bytes(range(256)) * 4000
    threading.Thread(target=client.sendall, args=(text,), daemon=True).start()
    heard = b""
    while len(heard) < len(text):
        heard += client.recv(65536)
    assert heard == text


def test_a_cut_resets_who_is_connected_and_nobody_later(proxy: Proxy, client: socket.socket) -> None:
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS) as again:
        again.sendall(b"again")
        assert again.recv(5) == b"again"


def test_a_black_hole_delivers_when_it_ends_what_it_was_given(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    proxy.set(Mode.BLACKHOLE)
    client.sendall(b" late")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert echo.heard == b"hello"
    proxy.set(Mode.PASS)
    until(lambda: echo.heard == b"hello late", SECONDS, "the server hears it")
    client.settimeout(SECONDS)
    assert client.recv(5) == b" late"


def test_a_statement_from_a_black_hole_arrives_though_its_sender_has_gone(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    proxy.set(Mode.BLACKHOLE)
    client.sendall(b" farewell")
    client.close()
    proxy.set(Mode.PASS)
    until(lambda: echo.heard == b"hello farewell", SECONDS, "the server hears it")


def test_swallowed_answers_never_come_and_their_connection_is_reset(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    proxy.set(Mode.SWALLOW)
    client.sendall(b" done")
    until(lambda: echo.heard == b"hello done", SECONDS, "the server does what it is told")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)
    proxy.set(Mode.PASS)
    client.settimeout(SECONDS)
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_delay_delays(proxy: Proxy, client: socket.socket) -> None:
    proxy.set(Mode.DELAY, 0.1)
    began = time.monotonic()
    client.sendall(b"slow")
    assert client.recv(4) == b"slow"
    assert time.monotonic() - began >= 0.2


def test_who_comes_while_it_refuses_is_reset(proxy: Proxy) -> None:
    proxy.set(Mode.REFUSE)
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS) as client,
    ):
        client.recv(1)


def test_a_server_that_is_away_resets_the_client(proxy: Proxy, echo: Echo) -> None:
    echo.close()
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS) as client,
    ):
        client.recv(1)
