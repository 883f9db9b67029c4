"""What the SQLite keeper owes beyond the promises: one clear sentence for a bad file, and no lock held while waiting."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from unstuck.model.errors import (
    BadSetting,
    IdConflict,
    OutcomeUnknown,
    SchemaMismatch,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from unstuck.model.ids import uuid7
from unstuck.model.job import NewJob
from unstuck.storage.migrating import Rung, read_rungs
from unstuck.storage.opening import open_keeper, sqlite_path
from unstuck.storage.plan import Mode, Plan, Requests, Script
from unstuck.storage.protocol import Filter
from unstuck.storage.sqlite.connection import SqliteConnection
from unstuck.storage.sqlite.files import check_place, file_system_of, wal_bytes
from unstuck.storage.sqlite.keeper import SqliteKeeper


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def keeper(path: Path) -> Iterator[SqliteKeeper]:
    keeper = SqliteKeeper(path, busy_seconds=0.2)
    yield keeper
    keeper.close()


def a_job() -> NewJob:
    return NewJob(uuid7(), "q", "t", "{}")


def add(keeper: SqliteKeeper) -> None:
    keeper.run(keeper.store.insert([a_job()]))


def count(keeper: SqliteKeeper) -> int:
    return sum(keeper.run(keeper.store.tally(Filter())).values())


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield other
    finally:
        if other.in_transaction:
            other.execute("ROLLBACK")
        other.close()


# Where the file is


def test_a_relative_path_is_resolved_against_the_folder_that_is_named(tmp_path: Path) -> None:
    assert sqlite_path("sqlite:///jobs.db", tmp_path) == tmp_path / "jobs.db"
    assert sqlite_path("sqlite:////var/lib/jobs.db", tmp_path) == Path("/var/lib/jobs.db")
    assert sqlite_path("sqlite:///with%20space.db", tmp_path) == tmp_path / "with space.db"


def test_the_url_that_is_shown_has_the_absolute_path(tmp_path: Path) -> None:
    keeper = open_keeper("sqlite:///jobs.db", folder=tmp_path)
    assert keeper.url_shown == f"sqlite:///{tmp_path}/jobs.db"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://host/jobs.db"])
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(BadSetting, match="file"):
        open_keeper(url)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"40 22 0:30 / {tmp_path}/far rw shared:1 - {kind} server:/export rw\n"
        f"41 40 8:2 / {tmp_path}/far/near rw - xfs /dev/sdb1 rw\n"
    )
    for name in ("far", "far/near", "farther"):
        (tmp_path / name).mkdir()
    with pytest.raises(BadSetting, match=f"network file system \\({kind}\\)"):
        check_place(tmp_path / "far" / "jobs.db", mounts)
    check_place(tmp_path / "far" / "near" / "jobs.db", mounts)
    check_place(tmp_path / "farther" / "jobs.db", mounts)


def test_without_a_list_of_mounts_nothing_is_refused(tmp_path: Path) -> None:
    assert file_system_of(tmp_path / "jobs.db", tmp_path / "nothing") == ""


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    keeper = SqliteKeeper(tmp_path / "nowhere" / "jobs.db")
    with pytest.raises(StoreUnavailable, match=r"the folder .*nowhere does not exist"):
        count(keeper)


def test_a_folder_in_the_place_of_the_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="it is a folder"):
        count(SqliteKeeper(tmp_path))


# New, old, foreign and damaged files


def test_a_new_file_is_given_its_tables_and_durable_settings(keeper: SqliteKeeper) -> None:
    add(keeper)
    facts = keeper.run(keeper.store.check())
    assert (facts["journal_mode"], facts["synchronous"], facts["wrong"]) == ("wal", "2", [])
    assert keeper.migrator.status().is_current


def test_an_empty_file_is_taken_for_a_new_one(path: Path, keeper: SqliteKeeper) -> None:
    path.touch()
    assert count(keeper) == 0


def test_a_file_with_tables_of_others_is_not_touched(path: Path, keeper: SqliteKeeper) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match="no tables of unstuck yet: run `unstuck migrate apply`"):
        count(keeper)
    assert path.read_bytes() == before
    assert [rung.name for rung in keeper.migrator.apply()] == [rung.name for rung in read_rungs("sqlite")]
    assert count(keeper) == 0


def test_many_processes_may_create_one_file_at_once(path: Path) -> None:
    barrier = threading.Barrier(6)
    found: list[object] = []

    def one() -> None:
        keeper = SqliteKeeper(path)
        barrier.wait()
        try:
            add(keeper)
        except StoreError as error:
            found.append(error)
        keeper.close()

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == []
    keeper = SqliteKeeper(path)
    assert count(keeper) == 6
    keeper.close()


def test_a_newer_schema_is_said(path: Path, keeper: SqliteKeeper) -> None:
    add(keeper)
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO unstuck_migrations VALUES (99, 'later', 'x', 0)")
    other.close()
    newer = SqliteKeeper(path)
    known = len(read_rungs("sqlite"))
    with pytest.raises(
        SchemaMismatch, match=f"at step 99 and this version of unstuck knows {known}: upgrade unstuck"
    ):
        count(newer)
    with pytest.raises(SchemaMismatch, match="upgrade"):
        newer.migrator.apply()


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE unstuck_notices",
        "DELETE FROM unstuck_migrations",
        "DROP TABLE unstuck_migrations",
        "UPDATE unstuck_migrations SET checksum = 'other'",
        "UPDATE unstuck_migrations SET number = 0 WHERE number = 1",
    ],
)
def test_a_half_schema_is_never_taken_for_a_whole_one(path: Path, keeper: SqliteKeeper, damage: str) -> None:
    add(keeper)
    with sqlite3.connect(path) as other:
        other.execute(damage)
    other.close()
    half = SqliteKeeper(path)
    with pytest.raises(SchemaMismatch, match="unstuck migrate status"):
        count(half)
    with pytest.raises(SchemaMismatch, match="unstuck migrate status"):
        half.migrator.apply()


def test_a_step_that_fails_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = read_rungs("sqlite")
    broken = Rung(len(steps) + 1, "broken", "CREATE TABLE half_done (x);\nCREATE TABLE {jobs} (x);\n", "c")
    keeper = SqliteKeeper(path)
    add(keeper)
    monkeypatch.setattr(keeper.migrator, "_rungs", (*steps, broken))
    assert keeper.migrator.status().state == "behind"
    assert "BEGIN;" in keeper.migrator.sql()
    with pytest.raises(sqlite3.OperationalError):
        keeper.migrator.apply()
    assert keeper.migrator.status().state == "behind"
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half_done'").fetchone() == (0,)
    other.close()
    keeper.close()


@pytest.mark.parametrize(
    "content", [b"this is no database, whatever its name says" * 20, b"SQLite format 3\0" + b"\7" * 5000]
)
def test_a_damaged_file_is_said_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="is damaged, or is not an SQLite database"):
        count(SqliteKeeper(path))
    assert path.read_bytes() == content


def test_a_file_that_vanishes_is_an_error_and_not_an_empty_store(path: Path, keeper: SqliteKeeper) -> None:
    add(keeper)
    os.rename(path, path.with_name("elsewhere.db"))
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            count(keeper)
        with pytest.raises(StoreUnavailable):
            add(keeper)
    assert not path.exists()
    os.rename(path.with_name("elsewhere.db"), path)
    assert count(keeper) == 1


def write_under(keeper: SqliteKeeper, pragma: str) -> None:
    """Let the next write meet this."""
    connection = keeper.open()
    connection._raw.execute(f"PRAGMA {pragma}")
    seat = keeper._seats["write"]
    seat.close()
    seat._connection = connection


def test_a_full_disk_is_said_and_loses_nothing(keeper: SqliteKeeper) -> None:
    add(keeper)
    write_under(keeper, "max_page_count = 1")
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        keeper.run(keeper.store.insert([NewJob(uuid7(), "q", "t", f'{{"x": "{"y" * 200_000}"}}')]))
    assert count(keeper) == 1
    add(keeper)
    assert count(keeper) == 2


def test_a_file_that_may_not_be_written_is_said(keeper: SqliteKeeper) -> None:
    add(keeper)
    write_under(keeper, "query_only = ON")
    with pytest.raises(StoreUnavailable, match="is read-only"):
        add(keeper)


# Locks


def test_a_lock_held_by_another_is_waited_for(path: Path) -> None:
    keeper = SqliteKeeper(path, busy_seconds=20)
    add(keeper)
    with locked(path) as other:
        done = threading.Event()

        def enqueue() -> None:
            add(keeper)
            done.set()

        thread = threading.Thread(target=enqueue)
        thread.start()
        assert not done.wait(0.3)
        assert count(keeper) == 1, "reading does not wait"
        other.execute("ROLLBACK")
        assert done.wait(10)
        thread.join()
    assert count(keeper) == 2
    keeper.close()


def test_a_lock_held_too_long_is_said(path: Path, keeper: SqliteKeeper) -> None:
    add(keeper)
    with locked(path), pytest.raises(StoreUnavailable, match=r"locked by another process for 0\.2 s"):
        add(keeper)
    add(keeper)


def test_now_is_read_after_the_lock_was_taken(path: Path) -> None:
    keeper = SqliteKeeper(path, busy_seconds=20)
    add(keeper)
    with locked(path) as other:
        job = a_job()
        thread = threading.Thread(target=lambda: keeper.run(keeper.store.insert([job])))
        thread.start()
        time.sleep(0.2)
        released = time.time_ns() // 1000
        other.execute("ROLLBACK")
        thread.join()
    row = keeper.run(keeper.store.get(job.id))
    assert row is not None
    assert row.line >= released
    keeper.close()


@pytest.mark.timing
def test_a_lane_keeps_its_deadline_and_heals(path: Path, keeper: SqliteKeeper) -> None:
    async def story() -> None:
        lane = keeper.lane("one")
        await lane.run(keeper.store.insert([a_job()]), 5.0)
        with locked(path):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable) as raised:
                await lane.run(keeper.store.insert([a_job()]), 0.3)
            assert 0.25 < time.monotonic() - began < 3
            assert not isinstance(raised.value, OutcomeUnknown), "a lock that was not had leaves no doubt"
            rows = await lane.run(keeper.store.tally(Filter()), 5.0)
            assert sum(rows.values()) == 1
        await lane.run(keeper.store.insert([a_job()]), 5.0)
        await lane.aclose()
        await keeper.aclose()

    asyncio.run(story())
    assert count(keeper) == 2


@pytest.mark.timing
def test_a_statement_that_outlives_its_deadline_is_stopped_and_undone(keeper: SqliteKeeper) -> None:
    def start() -> Requests[None]:
        yield Script("mark", "INSERT INTO unstuck_meta VALUES ('mark', '1');")
        yield Script(
            "long",
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) INSERT INTO unstuck_meta"
            " SELECT 'n', max(x) FROM n;",
        )

    async def story() -> None:
        lane = keeper.lane("one")
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            await lane.run(Plan("long", Mode.TRANSACTION, start), 0.3)
        assert time.monotonic() - began < 3
        facts = await lane.run(keeper.store.meta(), 5.0)
        assert "mark" not in facts
        await lane.run(keeper.store.insert([a_job()]), 5.0)
        await keeper.aclose()

    add(keeper)
    asyncio.run(story())


@pytest.mark.parametrize("colour", ["blocking", "awaiting"])
def test_a_transaction_that_cannot_be_undone_is_not_left_open(
    path: Path, keeper: SqliteKeeper, monkeypatch: pytest.MonkeyPatch, colour: str
) -> None:
    def refuses(action: int, what: str | None, *rest: object) -> int:
        is_rollback = action == sqlite3.SQLITE_TRANSACTION and what == "ROLLBACK"
        return sqlite3.SQLITE_DENY if is_rollback else sqlite3.SQLITE_OK

    def open() -> SqliteConnection:
        connection = SqliteKeeper.open(keeper)
        connection._raw.set_authorizer(refuses)
        return connection

    monkeypatch.setattr(keeper._seats["write"], "_open", open)
    monkeypatch.setattr(keeper, "open", open)
    job = a_job()
    again = keeper.store.insert([replace(job, args='{"other": 1}'), replace(a_job(), queue="other")])
    SqliteKeeper(path).run(keeper.store.insert([job]))

    async def story() -> None:
        with pytest.raises(IdConflict):
            await keeper.arun(again)

    if colour == "awaiting":
        asyncio.run(story())
    else:
        with pytest.raises(IdConflict):
            keeper.run(again)
    with locked(path):
        pass  # everybody else may write


# Ears and forks


def test_an_ear_hears_a_commit_of_another_connection(path: Path, keeper: SqliteKeeper) -> None:
    async def story() -> None:
        ear = keeper.ear()
        assert ear is not None
        assert ear.is_proved
        other = SqliteKeeper(path)
        async with asyncio.timeout(10):
            heard = asyncio.ensure_future(anext(aiter(ear)))
            await asyncio.sleep(0.1)
            assert not heard.done()
            await asyncio.to_thread(add, other)
            assert await heard == frozenset()
        await ear.aclose()
        other.close()

    add(keeper)
    asyncio.run(story())


def test_an_ear_that_asks_ever_more_rarely_hears_of_the_next_commit_at_once(
    path: Path, keeper: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job every 20 ms met an ear in its longest pause: half of them waited for its end."""
    monkeypatch.setattr("unstuck.storage.sqlite.ear.DISK_SECONDS", 3600.0)
    monkeypatch.setattr("unstuck.storage.sqlite.ear.PAUSES", (0.001, 0.1, 1.0, 10.0))

    async def story() -> None:
        ear = keeper.ear()
        assert ear is not None
        other = SqliteKeeper(path)
        hints = aiter(ear)
        async with asyncio.timeout(20):
            for _ in range(3):
                heard = asyncio.ensure_future(anext(hints))
                await asyncio.sleep(0.05)
                await asyncio.to_thread(add, other)
                assert await heard == frozenset()
        await ear.aclose()
        other.close()

    add(keeper)
    asyncio.run(story())


def test_an_ear_does_not_speak_before_the_commit_can_be_seen(path: Path, keeper: SqliteKeeper) -> None:
    """The log is written first; whoever looked then would see nothing, and wait for his poll."""

    async def story() -> None:
        ear = keeper.ear()
        assert ear is not None
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("PRAGMA cache_size = 1")
        async with asyncio.timeout(10):
            heard = asyncio.ensure_future(anext(aiter(ear)))
            await asyncio.sleep(0)
            before = wal_bytes(path)
            other.execute("BEGIN IMMEDIATE")
            other.execute(
                "CREATE TABLE large AS SELECT hex(zeroblob(3000)) AS x FROM json_each(?)", [str([1] * 500)]
            )
            assert wal_bytes(path) > before
            await asyncio.sleep(0.1)
            assert not heard.done()
            other.execute("COMMIT")
            assert await heard == frozenset()
        await ear.aclose()
        other.close()

    add(keeper)
    asyncio.run(story())


def test_an_ear_without_inotify_looks_at_the_log(
    path: Path, keeper: SqliteKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unstuck.storage.sqlite.ear._inotify", lambda folder: None)
    test_an_ear_hears_a_commit_of_another_connection(path, keeper)


def test_a_fork_goes_on_with_connections_of_its_own(keeper: SqliteKeeper) -> None:
    add(keeper)
    child = os.fork()
    if child == 0:
        try:
            add(keeper)
            asyncio.run(keeper.lane("x").run(keeper.store.insert([a_job()]), 5.0))
            os._exit(0 if count(keeper) == 3 else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    add(keeper)
    assert count(keeper) == 4
