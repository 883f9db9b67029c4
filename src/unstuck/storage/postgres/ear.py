"""Hearing hints: LISTEN on a connection of its own, believed only while an echo comes back.

A pooler in transaction mode takes a LISTEN and delivers nothing, a fail-over leaves a connection that
looks well. So a word is sent from another connection, once at the start and then every minute, and must
be heard; until it is, `is_proved` says no and polling is all there is. What breaks is opened again, with
growing pauses. Nothing depends on it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql

from unstuck.storage.postgres.address import Address
from unstuck.storage.postgres.hinting import ECHO, QUEUE

PROVE_SECONDS = 60.0
ECHO_SECONDS = 3.0
PAUSE_SECONDS = (0.5, 60.0)
SOMETHING: frozenset[str] = frozenset()


class PostgresEar:
    """Hears the hints of all processes on this database. Made inside the loop that listens."""

    def __init__(self, address: Address, channel: str):
        self._address = address
        self._channel = channel
        self._heard: set[str] = set()
        self._is_closed = False
        self._listener: asyncio.Future[None] | None = None
        self._echo = asyncio.Event()
        self._token = ""
        self._is_proved = False
        self._task = asyncio.get_running_loop().create_task(self._keep_listening(), name="unstuck-ear")

    @property
    def is_proved(self) -> bool:
        """Whether an echo came back within the last minute."""
        return self._is_proved

    def __aiter__(self) -> AsyncIterator[frozenset[str]]:
        return self._hear()

    async def aclose(self) -> None:
        """Stop listening; whoever iterates is let go."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._is_closed = True
        self._call()

    async def _hear(self) -> AsyncIterator[frozenset[str]]:
        while True:
            while not (self._heard or self._is_closed):
                self._listener = asyncio.get_running_loop().create_future()
                await self._listener
            if self._is_closed:
                return
            heard, self._heard = self._heard, set()
            # An empty name stands for a gap in which anything may have been said.
            yield SOMETHING if "" in heard else frozenset(heard)

    def _note(self, queue: str) -> None:
        self._heard.add(queue)
        self._call()

    def _call(self) -> None:
        if self._listener is not None and not self._listener.done():
            self._listener.set_result(None)

    async def _keep_listening(self) -> None:
        shortest, longest = PAUSE_SECONDS
        pause = shortest
        while True:
            try:
                await self._listen()
                pause = longest
            except (psycopg.Error, OSError):
                pause = min(pause * 2, longest)
            finally:
                was_proved, self._is_proved = self._is_proved, False
            await asyncio.sleep(shortest if was_proved else pause)

    async def _listen(self) -> None:
        """Listen until an echo fails to come back."""
        connection = await psycopg.AsyncConnection.connect(
            self._address.conninfo, autocommit=True, prepare_threshold=None
        )
        try:
            await connection.execute(
                sql.SQL("/* unstuck:listen */ LISTEN {}").format(sql.Identifier(self._channel))
            )
            reading = asyncio.get_running_loop().create_task(self._read(connection))
            try:
                while await self._prove(reading):
                    if not self._is_proved:
                        self._is_proved = True
                        self._note("")
                    await asyncio.wait({reading}, timeout=PROVE_SECONDS)
                if reading.done():
                    reading.result()
            finally:
                reading.cancel()
                with suppress(asyncio.CancelledError, psycopg.Error, OSError):
                    await reading
        finally:
            await connection.close()

    async def _read(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Take what is said in the very step in which the socket has it; ends with the error of a lost connection."""
        loop, pgconn = asyncio.get_running_loop(), connection.pgconn
        lost = loop.create_future()

        def take() -> None:
            try:
                pgconn.consume_input()
                while said := pgconn.notifies():
                    self._take(said.extra.decode())
            except (psycopg.Error, OSError, ValueError) as error:
                loop.remove_reader(descriptor)
                if not lost.done():
                    lost.set_exception(error)

        descriptor = pgconn.socket
        loop.add_reader(descriptor, take)
        try:
            take()  # what came with the answer to LISTEN
            await lost
        finally:
            loop.remove_reader(descriptor)

    def _take(self, said: str) -> None:
        if said.startswith(QUEUE):
            self._note(said.removeprefix(QUEUE))
        elif said == ECHO + self._token:
            self._echo.set()

    async def _prove(self, reading: asyncio.Task[None]) -> bool:
        """Say a word elsewhere and hear it here."""
        if reading.done():
            return False
        self._token = secrets.token_hex(8)
        self._echo.clear()
        async with await psycopg.AsyncConnection.connect(
            self._address.conninfo, autocommit=True, prepare_threshold=None
        ) as elsewhere:
            await elsewhere.execute(
                "/* unstuck:echo */ SELECT pg_notify(%s, %s)", (self._channel, ECHO + self._token)
            )
        try:
            async with asyncio.timeout(ECHO_SECONDS):
                await self._echo.wait()
        except TimeoutError:
            return False
        return True
