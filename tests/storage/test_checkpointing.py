"""The log is moved into the file by a thread that nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.waiting import until
from unstuck.model.errors import StoreUnavailable
from unstuck.model.ids import uuid7
from unstuck.model.job import NewJob
from unstuck.storage.sqlite.checkpointing import FRAMES_OF_A_COMMIT, Checkpointing
from unstuck.storage.sqlite.connection import SqliteConnection
from unstuck.storage.sqlite.keeper import SqliteKeeper


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteKeeper]:
    """Its connections never do it by themselves."""
    monkeypatch.setattr("unstuck.storage.sqlite.connection.LOG_FRAMES", 0)
    keeper = SqliteKeeper(tmp_path / "jobs.db")
    yield keeper
    keeper.close()


def a_job() -> NewJob:
    return NewJob(uuid7(), "q", "t", "{}")


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "unstuck-sqlite-checkpoint"]


def test_a_log_that_has_grown_begins_anew(keeper: SqliteKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unstuck.storage.sqlite.checkpointing.QUIET_FRAMES", 20 * FRAMES_OF_A_COMMIT)
    log = Path(f"{keeper.path}-wal")

    def salts() -> bytes:
        return log.read_bytes()[16:24]  # each log has its own

    async def add() -> None:
        await keeper.arun(keeper.store.insert([a_job()]))

    asyncio.run(add())
    first = salts()
    for _ in range(30):
        asyncio.run(add())

    def has_begun_anew() -> bool:
        asyncio.run(add())
        return salts() != first

    until(has_begun_anew, 20, "a new log")
    assert len(threads()) == 1
    asyncio.run(keeper.aclose())
    assert not threads()


def test_it_waits_for_a_quiet_moment_and_no_longer_than_so(
    keeper: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unstuck.storage.sqlite.checkpointing.QUIET_FRAMES", 100)
    monkeypatch.setattr("unstuck.storage.sqlite.checkpointing.FRAMES", 200)
    opened = threading.Semaphore(0)

    def open() -> SqliteConnection:
        opened.release()
        raise StoreUnavailable("not now")

    def was_done() -> bool:
        return opened.acquire(timeout=0.2)

    checkpointing = Checkpointing(open)
    checkpointing.wrote(0, is_quiet=True)
    checkpointing.wrote(100, is_quiet=False)
    assert not was_done()
    checkpointing.wrote(0, is_quiet=True)
    assert not was_done(), "nothing was written"
    checkpointing.wrote(1, is_quiet=True)
    assert opened.acquire(timeout=10)
    checkpointing.wrote(100, is_quiet=False)
    assert not was_done()
    checkpointing.wrote(100, is_quiet=False)
    assert opened.acquire(timeout=10), "a failure is not the end of it"
    checkpointing.close()
    assert not threads()
