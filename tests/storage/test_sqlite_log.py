"""What the write-ahead log says of commits, beside what was committed; and what an ear saves by asking it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from unstuck.storage.sqlite.ear import SqliteEar
from unstuck.storage.sqlite.files import ring
from unstuck.storage.sqlite.log import FRAMES_MAX, Log, Mark


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
def log(path: Path) -> Log:
    return Log(Path(f"{path}-wal"))


def write(connection: sqlite3.Connection, bytes: int = 10) -> None:
    connection.execute("INSERT INTO some VALUES (zeroblob(?))", [bytes])


def last(log: Log) -> Mark:
    mark = log.last()
    assert mark is not None
    return mark


def test_commits_are_counted_from_a_mark_on(writer: sqlite3.Connection, log: Log) -> None:
    mark = last(log)
    assert log.since(mark) == (0, mark)
    for number in range(1, 4):
        write(writer)
        count, now = log.since(mark)
        assert count == number
        assert now == last(log) != mark


def test_what_is_written_and_not_committed_does_not_count(writer: sqlite3.Connection, log: Log) -> None:
    mark = last(log)
    before = log.path.stat().st_size
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("BEGIN IMMEDIATE")
    for _ in range(8):
        write(writer, 3000)
    assert log.path.stat().st_size > before
    assert log.since(mark) == (0, mark)
    assert last(log) == mark
    writer.execute("COMMIT")
    assert log.since(mark)[0] == 1


def test_more_than_is_read_cannot_be_told(writer: sqlite3.Connection, log: Log) -> None:
    mark = last(log)
    write(writer, 4096 * 2 * FRAMES_MAX)
    assert log.since(mark) == (None, mark)
    assert log.since(last(log)) == (0, last(log))


def test_a_log_that_begins_anew_cannot_be_told(writer: sqlite3.Connection, log: Log) -> None:
    for _ in range(5):
        write(writer)
    mark = last(log)
    writer.execute("PRAGMA wal_checkpoint(RESTART)")
    write(writer)
    assert log.since(mark) == (None, mark)
    again = last(log)
    assert (again.salts == mark.salts, again.number < mark.number) == (False, True)
    write(writer)
    assert log.since(again)[0] == 1


def test_a_frame_that_was_written_over_cannot_be_told(
    writer: sqlite3.Connection, path: Path, log: Log, tmp_path: Path
) -> None:
    """Who is killed in a commit leaves a frame behind that says it is the last, and never was."""
    write(writer)
    copy = tmp_path / "copy.db"
    for ending in ("", "-wal", "-shm"):
        shutil.copy(f"{path}{ending}", f"{copy}{ending}")
    write(writer, 2000)
    mark = last(log)
    # What the next one writes in its place: the same log, another transaction.
    other = sqlite3.connect(copy, isolation_level=None)
    write(other, 1000)
    write(other, 1000)
    written = Path(f"{copy}-wal").read_bytes()
    other.close()
    frame = 24 + 4096
    assert written[16:24] == log.path.read_bytes()[16:24]
    elsewhere = Log(tmp_path / "written-wal")
    elsewhere.path.write_bytes(written)
    assert elsewhere.since(mark) == (None, mark)
    assert (len(written) - 32) // frame > mark.number


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 5000])
def test_what_is_no_log_tells_nothing(
    log: Log, writer: sqlite3.Connection, tmp_path: Path, content: bytes
) -> None:
    mark = last(log)
    elsewhere = Log(tmp_path / "other-wal")
    assert (elsewhere.last(), elsewhere.since(mark)) == (None, (None, mark))
    elsewhere.path.write_bytes(content)
    assert (elsewhere.last(), elsewhere.since(mark)) == (None, (None, mark))


def counted(ear: SqliteEar, monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """What the file answers to this ear, from now on."""
    answers: list[int | None] = []
    asks = ear._ask_version

    def asked() -> int | None:
        answers.append(asks())
        return answers[-1]

    monkeypatch.setattr(ear, "_ask_version", asked)
    return answers


async def marked(ear: SqliteEar) -> None:
    """When this ear knows where the log ends."""
    while ear._mark is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def heard(hints: object) -> None:
    assert await anext(hints) == frozenset()  # type: ignore[call-overload]


def test_an_ear_asks_no_more_when_it_has_seen_the_only_commit(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unstuck.storage.sqlite.ear.FIRST_SECONDS", 0.05)
    monkeypatch.setattr("unstuck.storage.sqlite.ear.DISK_SECONDS", 0.3)

    async def story() -> None:
        ear = SqliteEar(path)
        hints = aiter(ear)
        async with asyncio.timeout(20):
            write(writer)
            await heard(hints)
            following = asyncio.ensure_future(anext(hints))
            await marked(ear)
            answers = counted(ear, monkeypatch)
            for number in range(1, 6):
                write(writer)
                assert await following == frozenset()
                following = asyncio.ensure_future(anext(hints))
                await asyncio.sleep(0.4)
                assert len(answers) == number
            assert len(set(answers)) == 5
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await ear.aclose()

    asyncio.run(story())


def test_an_ear_goes_on_asking_where_the_log_has_two_commits(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of them can be seen, and the disk still has the second before it."""
    monkeypatch.setattr("unstuck.storage.sqlite.ear.FIRST_SECONDS", 0.05)
    monkeypatch.setattr("unstuck.storage.sqlite.ear.DISK_SECONDS", 0.3)

    async def story() -> None:
        ear = SqliteEar(path)
        hints = aiter(ear)
        async with asyncio.timeout(20):
            write(writer)
            await heard(hints)
            following = asyncio.ensure_future(anext(hints))
            await marked(ear)
            monkeypatch.setattr("unstuck.storage.sqlite.ear.DISK_SECONDS", 10.0)
            versions = [1001, 1001, 1002]
            monkeypatch.setattr(ear, "_ask_version", lambda: versions.pop(0) if versions[1:] else versions[0])
            write(writer)
            write(writer)
            assert await following == frozenset()
            await heard(hints)
            assert versions == [1002]
        await ear.aclose()

    asyncio.run(story())


def test_an_ear_asks_at_once_when_somebody_rings(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk took its time for the commit, and the ear is in a long pause."""
    monkeypatch.setattr("unstuck.storage.sqlite.ear.RARER", 10_000)
    monkeypatch.setattr("unstuck.storage.sqlite.ear.PATIENCE_SECONDS", 3600.0)
    versions = [1]

    async def story() -> None:
        ear = SqliteEar(path)
        hints = aiter(ear)
        monkeypatch.setattr(ear, "_ask_version", lambda: versions[-1])
        monkeypatch.setattr(ear, "_version", 1)
        following = asyncio.ensure_future(anext(hints))
        await asyncio.sleep(0.05)
        write(writer)
        await asyncio.sleep(0.2)
        assert not following.done()
        versions.append(2)
        ring(path)
        async with asyncio.timeout(5):
            assert await following == frozenset()
        await ear.aclose()

    asyncio.run(story())


def test_a_ring_for_what_was_seen_is_no_news(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        ear = SqliteEar(path)
        hints = aiter(ear)
        write(writer)
        async with asyncio.timeout(20):
            await heard(hints)
            following = asyncio.ensure_future(anext(hints))
            await marked(ear)
        answers = counted(ear, monkeypatch)
        ring(path)
        await asyncio.sleep(0.3)
        assert not following.done()
        assert len(answers) == 1
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await ear.aclose()

    asyncio.run(story())


def test_to_ring_writes_nothing_and_never_fails(path: Path, log: Log, writer: sqlite3.Connection) -> None:
    write(writer)
    before = log.path.read_bytes(), log.path.stat().st_mtime_ns, last(log)
    ring(path)
    ring(path.with_name("no.db"))
    assert (log.path.read_bytes(), log.path.stat().st_mtime_ns, last(log)) == before


def test_an_ear_counts_anew_when_the_log_is_written_as_its_pause_ends(
    path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first commit was the only one when it was counted; when it is seen there is a second behind it."""
    monkeypatch.setattr("unstuck.storage.sqlite.ear.DISK_SECONDS", 0.3)
    versions: list[int] = []

    async def story() -> None:
        ear = SqliteEar(path)
        hints = aiter(ear)
        write(writer)
        async with asyncio.timeout(20):
            await heard(hints)
            following = asyncio.ensure_future(anext(hints))
            await marked(ear)
            monkeypatch.setattr("unstuck.storage.sqlite.ear.DISK_SECONDS", 60.0)
            versions.extend([1, 2, 2, 3])
            tells, was_late = ear._told, False

            async def late(seconds: float | None = None) -> bool:
                nonlocal was_late
                if seconds is None or was_late:
                    return await tells(seconds)
                was_late = True
                write(writer)
                ear._takes_events()
                return False

            monkeypatch.setattr(ear, "_version", 1)
            monkeypatch.setattr(ear, "_told", late)
            monkeypatch.setattr(ear, "_ask_version", lambda: versions.pop(0) if versions[1:] else versions[0])
            write(writer)
            assert await following == frozenset()
            await heard(hints)
            assert (was_late, versions) == (True, [3])
        await ear.aclose()

    asyncio.run(story())
