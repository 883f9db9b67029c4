"""Lanes on PostgreSQL: a plan wakes its task with the answer, and a deadline holds whoever does not see it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from typing import Any

import psycopg
import pytest

from tests.storage.test_postgres import scripted
from unstuck.model.errors import OutcomeUnknown, StoreUnavailable
from unstuck.storage.plan import Mode, Request
from unstuck.storage.postgres.lane import BREAK_SECONDS, PostgresLane
from unstuck.storage.postgres.waiting import PromptConnection

LONG = b"SELECT repeat('x', 1000) FROM generate_series(1, 5000)"
"""Its answer comes in dozens of pieces."""


class Stepped:
    """Awaits a coroutine and counts how often that has let go of its task."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]):
        self._coroutine = coroutine
        self.rests = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        while True:
            try:
                waits_for = next(inner)
            except StopIteration as done:
                return done.value
            self.rests += 1
            yield waits_for


def opened(url: str, kind: type[psycopg.AsyncConnection[Any]]) -> Any:
    return kind.connect(url, autocommit=True, prepare_threshold=None)


def test_an_answer_in_many_pieces_wakes_its_task_once(postgres_url: str) -> None:
    async def rests(kind: type[psycopg.AsyncConnection[Any]]) -> int:
        async with await opened(postgres_url, kind) as raw:
            asking = Stepped(raw.execute(LONG))
            cursor = await asking
            assert len(await cursor.fetchall()) == 5000
            return asking.rests

    assert asyncio.run(rests(PromptConnection)) == 1
    assert asyncio.run(rests(psycopg.AsyncConnection)) > 1


def test_errors_of_the_server_and_of_the_socket_come_out_as_they_are(postgres_url: str) -> None:
    async def story() -> None:
        async with await opened(postgres_url, PromptConnection) as raw:
            with pytest.raises(psycopg.errors.DivisionByZero):
                await raw.execute("SELECT 1 / 0")
            assert await (await raw.execute("SELECT 1")).fetchone() == (1,)
            with pytest.raises(psycopg.OperationalError):
                await raw.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            assert raw.closed

    asyncio.run(story())


def test_who_is_cancelled_asks_the_server_nothing_more(postgres_url: str) -> None:
    async def story() -> None:
        raw = await opened(postgres_url, PromptConnection)
        asking = asyncio.ensure_future(raw.execute("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.1)
        asking.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert raw.closed and time.monotonic() - began < 2

    asyncio.run(story())


class Deaf:
    """A connection that does not see that it was broken."""

    opened = float("inf")
    is_dead = is_spent = False
    is_idle = True

    def __init__(self) -> None:
        self.was_cut = self.was_closed = False

    def cut(self) -> None:
        self.was_cut = True

    async def begin(self, mode: Mode) -> None:
        """Nothing is begun."""

    async def execute(self, request: Request) -> Any:
        await asyncio.sleep(60)

    async def commit(self, mode: Mode) -> None:
        """Nothing is there to commit."""

    async def rollback(self, mode: Mode) -> None:
        self.is_idle = False

    async def aclose(self) -> None:
        self.was_closed = True


@pytest.mark.parametrize(("mode", "said"), [(Mode.WRITE, OutcomeUnknown), (Mode.READ, StoreUnavailable)])
def test_who_does_not_see_that_its_connection_was_broken_is_given_up(
    mode: Mode, said: type[Exception]
) -> None:
    async def story() -> None:
        deaf = Deaf()

        async def open() -> Any:
            return deaf

        lane = PostgresLane("one", open)
        began = time.monotonic()
        with pytest.raises(said):
            await lane.run(scripted(mode, "SELECT 1"), 0.05)
        assert time.monotonic() - began < BREAK_SECONDS + 2
        assert deaf.was_cut and deaf.was_closed
        task = asyncio.current_task()
        assert task is not None and not task.cancelling()

    asyncio.run(story())


def test_who_has_no_connection_in_time_has_done_nothing() -> None:
    async def story() -> None:
        async def open() -> Any:
            await asyncio.sleep(60)

        with pytest.raises(StoreUnavailable):
            await PostgresLane("one", open).run(scripted(Mode.WRITE, "SELECT 1"), 0.05)

    asyncio.run(story())
