"""What an ear asks of the file for each commit that it hears of, and that none is lost behind another."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from unstuck.storage.sqlite import ear as hearing
from unstuck.storage.sqlite.ear import SqliteEar
from unstuck.storage.sqlite.files import ring

NEVER = 3600.0

Hints = AsyncIterator[frozenset[str]]
Story = Callable[[SqliteEar, Hints], Awaitable[None]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.db"


@pytest.fixture
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE some (x)")
    yield connection
    connection.close()


@pytest.fixture
def tell(path: Path, writer: sqlite3.Connection) -> Callable[[Story], None]:
    """Live through a story with an ear that has nothing to hear at its beginning."""

    async def lived(story: Story) -> None:
        ear = SqliteEar(path)
        try:
            async with asyncio.timeout(20):
                await story(ear, aiter(ear))
        finally:
            await ear.aclose()

    return lambda story: asyncio.run(lived(story))


def write(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO some VALUES (1)")


def answering(
    ear: SqliteEar, monkeypatch: pytest.MonkeyPatch, *versions: int, first: int = 1
) -> Callable[[], int]:
    """The file answers these, the last of them for ever, to one that knows `first`; how often it was asked."""
    left, asked = list(versions), 0

    def answer() -> int:
        nonlocal asked
        asked += 1
        return left.pop(0) if left[1:] else left[0]

    monkeypatch.setattr(ear, "_version", first)
    monkeypatch.setattr(ear, "_ask_version", answer)
    return lambda: asked


def pausing(monkeypatch: pytest.MonkeyPatch, *pauses: float, disk: float) -> None:
    monkeypatch.setattr(hearing, "PAUSES", pauses)
    monkeypatch.setattr(hearing, "DISK_SECONDS", disk)


async def is_silent(hint: asyncio.Future[frozenset[str]], seconds: float = 0.3) -> bool:
    await asyncio.wait({hint}, timeout=seconds)
    return not hint.done()


def test_a_commit_that_nothing_follows_costs_two_questions(
    writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, tell: Callable[[Story], None]
) -> None:
    pausing(monkeypatch, 0.03, 0.05, disk=0.05)

    async def story(ear: SqliteEar, hints: Hints) -> None:
        answers: list[int | None] = []
        asks = ear._ask_version
        monkeypatch.setattr(ear, "_ask_version", lambda: answers.append(asks()) or answers[-1])
        hint = asyncio.ensure_future(anext(hints))
        for number in range(1, 5):
            write(writer)
            assert await hint == frozenset()
            hint = asyncio.ensure_future(anext(hints))
            assert await is_silent(hint)
            assert len(answers) == 2 * number
        assert len(set(answers)) == 4
        hint.cancel()

    tell(story)


def test_one_that_could_not_be_seen_yet_is_the_one_and_nothing_is_asked_behind_it(
    writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, tell: Callable[[Story], None]
) -> None:
    pausing(monkeypatch, 0.01, 0.01, 0.01, 0.01, disk=0.01)

    async def story(ear: SqliteEar, hints: Hints) -> None:
        asked = answering(ear, monkeypatch, 1, 1, 2, 3)
        write(writer)
        assert await anext(hints) == frozenset()
        assert asked() == 3
        hint = asyncio.ensure_future(anext(hints))
        assert await is_silent(hint)
        assert asked() == 3
        hint.cancel()

    tell(story)


def test_one_that_is_seen_may_be_the_one_before_and_the_file_is_asked_once_more(
    writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, tell: Callable[[Story], None]
) -> None:
    pausing(monkeypatch, 0.01, disk=0.1)

    async def story(ear: SqliteEar, hints: Hints) -> None:
        asked = answering(ear, monkeypatch, 2, 3)
        write(writer)
        write(writer)
        assert await anext(hints) == frozenset()
        assert asked() == 1
        assert await anext(hints) == frozenset()
        assert asked() == 2

    tell(story)


def test_it_is_asked_ever_more_rarely_and_then_no_more(
    writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, tell: Callable[[Story], None]
) -> None:
    pausing(monkeypatch, 0.01, 0.02, 0.03, disk=NEVER)

    async def story(ear: SqliteEar, hints: Hints) -> None:
        asked = answering(ear, monkeypatch, 1)
        write(writer)
        hint = asyncio.ensure_future(anext(hints))
        assert await is_silent(hint)
        assert asked() == 3
        hint.cancel()

    tell(story)


def test_what_is_written_meanwhile_puts_no_question_off(
    writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, tell: Callable[[Story], None]
) -> None:
    pausing(monkeypatch, 0.2, disk=NEVER)

    async def story(ear: SqliteEar, hints: Hints) -> None:
        hint = asyncio.ensure_future(anext(hints))
        while not hint.done():
            write(writer)
            await asyncio.sleep(0.01)
        assert await hint == frozenset()

    tell(story)


def test_it_is_asked_at_once_when_somebody_rings(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, tell: Callable[[Story], None]
) -> None:
    """The disk took its time for the commit, and the ear is in a long pause."""
    pausing(monkeypatch, 0.01, NEVER, disk=NEVER)

    async def story(ear: SqliteEar, hints: Hints) -> None:
        answering(ear, monkeypatch, 1, 2)
        hint = asyncio.ensure_future(anext(hints))
        await asyncio.sleep(0.05)
        write(writer)
        assert await is_silent(hint)
        ring(path)
        assert await hint == frozenset()

    tell(story)


def test_a_ring_for_what_was_seen_is_no_news_and_the_one_behind_it_is_asked_for_in_its_time(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, tell: Callable[[Story], None]
) -> None:
    pausing(monkeypatch, 0.01, disk=0.5)

    async def story(ear: SqliteEar, hints: Hints) -> None:
        asked = answering(ear, monkeypatch, 2, 2, 3)
        write(writer)
        write(writer)
        assert await anext(hints) == frozenset()
        hint = asyncio.ensure_future(anext(hints))
        await asyncio.sleep(0.05)
        ring(path)
        assert await is_silent(hint, 0.2)
        assert asked() == 2
        assert await hint == frozenset()
        assert asked() == 3

    tell(story)


def test_to_ring_writes_nothing_and_never_fails(path: Path, writer: sqlite3.Connection) -> None:
    write(writer)
    log = Path(f"{path}-wal")
    before = log.read_bytes(), log.stat().st_mtime_ns
    ring(path)
    ring(path.with_name("no.db"))
    assert (log.read_bytes(), log.stat().st_mtime_ns) == before
