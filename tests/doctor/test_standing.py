"""What a store stands on: each thing that breaks systems in practice, made so, and found by its name."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from tests.doctor.patient import HOUR, LIMITS, Patient, PostgresPatient, SqlitePatient, check, troubles
from unstuck.doctor.examining import diagnose, examine
from unstuck.doctor.finding import Diagnosis, Status
from unstuck.doctor.looking import Limits, Looking
from unstuck.model.notice import Finding, Kind
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.protocol import HolderLimits
from unstuck.storage.sqlite.store import SqliteStore

EAGER = replace(LIMITS, holders=HolderLimits(seconds=0.0, bytes=-1, transactions=10**9))
"""Everybody who holds anything is worth a word."""


def until(found: Callable[[], Diagnosis], name: str) -> Diagnosis:
    """What the doctor says once it sees what statistics tell a little later."""
    end = time.monotonic() + 30
    while True:
        seen = found()
        if check(seen, name).status is Status.WRONG or time.monotonic() > end:
            return seen
        time.sleep(0.2)


def test_a_missing_index_is_named(patient: Patient) -> None:
    patient.sql("DROP INDEX unstuck_jobs_wake")
    found = patient.diagnose()
    assert troubles(found) == {"indexes": Status.WRONG}
    assert check(found, "indexes").ids == ["unstuck_jobs_wake"]


def test_a_missing_constraint_is_named(postgres_url: str) -> None:
    patient = PostgresPatient(PostgresKeeper(postgres_url))
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute("ALTER TABLE unstuck_jobs DROP CONSTRAINT unstuck_jobs_state")
    assert check(patient.diagnose(), "indexes").ids == ["unstuck_jobs_state"]
    patient.close()


def test_a_store_that_is_a_step_behind_is_said_and_nothing_else_is_asked(patient: Patient) -> None:
    patient.sql("DELETE FROM unstuck_migrations WHERE number > 1")
    found = patient.diagnose()
    assert troubles(found) == {"schema": Status.WRONG}
    assert "unstuck migrate apply" in found.checks[0].sentence


def test_a_check_that_does_not_finish_in_its_time_says_so_and_is_not_fine(patient: Patient) -> None:
    found = patient.diagnose(replace(LIMITS, scan=0.0))
    assert set(troubles(found).values()) == {Status.UNFINISHED}
    assert "did not finish" in check(found, "invariant.unreadable").sentence
    assert not found.is_fine


def test_an_examination_ends_whatever_it_has_to_leave_out(patient: Patient) -> None:
    found = patient.diagnose(replace(LIMITS, whole=0.0))
    assert Status.WRONG not in troubles(found).values()
    assert "survey" in troubles(found)


def test_a_clock_that_is_off_is_told_here_and_of_a_worker(patient: Patient) -> None:
    async def look(wall: Callable[[], float]) -> Diagnosis:
        lane = patient.keeper.lane("doctor")
        try:
            return await examine(Looking(patient.keeper, lane, LIMITS, wall=wall))
        finally:
            await lane.aclose()

    assert check(asyncio.run(look(time.time)), "clock").status is Status.OK
    found = asyncio.run(look(lambda: time.time() - 3600))
    assert "3600." in check(found, "clock").sentence
    assert "ahead of this machine's" in check(found, "clock").sentence
    patient.run(patient.store.renew([patient.worker], HOUR // 6, {patient.worker: '{"clock_off": -9.5}'}))
    found = patient.diagnose()
    assert troubles(found) == {"clock": Status.WRONG}
    assert "9.5 s behind that of worker" in check(found, "clock").sentence


def test_an_old_snapshot_is_told_with_its_session(postgres_url: str) -> None:
    patient = PostgresPatient(PostgresKeeper(postgres_url))
    assert check(patient.diagnose(EAGER), "snapshots").status is Status.OK
    with psycopg.connect(postgres_url, application_name="the report") as raw:
        raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        raw.execute("SELECT count(*) FROM unstuck_jobs")
        found = check(patient.diagnose(EAGER), "snapshots")
        assert "(the report) has held a snapshot open" in found.sentence
        assert check(patient.diagnose(), "snapshots").status is Status.OK, "a young one is nobody's concern"
    patient.close()


def test_a_replication_slot_that_holds_back_the_log_is_told(postgres_url: str) -> None:
    patient = PostgresPatient(PostgresKeeper(postgres_url))
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        try:
            found = check(patient.diagnose(EAGER), "snapshots")
        finally:
            raw.execute("SELECT pg_drop_replication_slot('forgotten')")
    assert "the replication slot forgotten (nobody reads it)" in found.sentence
    patient.close()


def test_a_reader_that_holds_back_the_log_is_told_with_its_process(patient: Patient) -> None:
    if not isinstance(patient, SqlitePatient):
        pytest.skip("SQLite alone has a log that a reader holds back")
    reader = sqlite3.connect(patient.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM unstuck_jobs").fetchall()
    for _ in range(3):
        patient.add()
    limits = replace(LIMITS, holders=HolderLimits(bytes=4096))
    found = check(patient.diagnose(limits), "snapshots")
    reader.close()
    assert "keeps a reading transaction open" in found.sentence
    assert "process " in found.sentence or "somebody" in found.sentence


def test_weak_durability_is_told(postgres_url: str) -> None:
    patient = PostgresPatient(PostgresKeeper(postgres_url))
    name = postgres_url.rpartition("/")[2]
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    weak = PostgresKeeper(postgres_url)
    found = check(diagnose(weak, LIMITS), "durability")
    assert "acknowledged jobs can be lost" in found.sentence
    weak.close()
    patient.close()


def test_weak_settings_of_a_file_are_judged() -> None:
    store = SqliteStore()
    assert store.judge({"journal_mode": "wal", "synchronous": "2"}) == []
    assert "not wal" in store.judge({"journal_mode": "delete", "synchronous": "2"})[0]
    assert "can be lost with the power" in store.judge({"journal_mode": "wal", "synchronous": "1"})[0]


def test_a_pooler_is_recognised_and_is_fine(postgres_url: str, pgbouncer_url: str) -> None:
    patient = PostgresPatient(PostgresKeeper(postgres_url))
    assert check(patient.diagnose(), "pooler").sentence == "direct"
    through = PostgresKeeper(pgbouncer_url)
    found = diagnose(through, LIMITS)
    assert "transaction mode" in check(found, "pooler").sentence
    assert check(found, "pooler").status is Status.OK
    through.close()
    patient.close()


def test_a_table_full_of_dead_rows_is_told(postgres_url: str) -> None:
    patient = PostgresPatient(PostgresKeeper(postgres_url))
    ids = [patient.add() for _ in range(50)]
    patient.sql("DELETE FROM unstuck_jobs")
    assert ids
    eager = replace(LIMITS, dead_rows=10, unvacuumed=0.0)
    found = check(until(lambda: patient.diagnose(eager), "tables"), "tables")
    assert "unstuck_jobs has" in found.sentence
    assert "dead rows" in found.sentence
    patient.close()


def test_a_damaged_file_is_told(patient: Patient) -> None:
    if not isinstance(patient, SqlitePatient):
        pytest.skip("the pages of a server are its own business")
    patient.keeper.close()
    with sqlite3.connect(patient.path) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        # An index that lost its entries, as after a page that was not written.
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute(
            "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'unstuck_jobs_keep')"
            " WHERE name = 'unstuck_jobs_worker'"
        )
    raw.close()
    found = patient.diagnose()
    assert not found.is_fine
    assert any("damaged" in one.sentence for one in found.checks), troubles(found)


def test_a_stalled_child_a_silent_loop_and_a_notice_are_told_once_each(patient: Patient) -> None:
    child = patient.work(kind="child")
    patient.run(patient.store.mark_stalled(child, True))
    patient.run(
        patient.store.renew(
            [patient.worker], HOUR // 6, {patient.worker: '{"loops": {"looking": 5000.0, "settling": 1.0}}'}
        )
    )
    said = [
        Finding(Kind.STALLED, str(child), "worker does not tick"),
        Finding(Kind.LOCK_HELD, "store", "the store took no write for 20 s"),
    ]
    patient.run(patient.store.keep_notices(said, [one.kind.value for one in said]))
    found = patient.diagnose()
    assert set(troubles(found)) == {"stalled", "loops", "notices"}
    assert check(found, "stalled").ids == [str(child)]
    assert "looking" in check(found, "loops").sentence
    assert check(found, "notices").ids == ["store"]


def test_a_queue_without_a_worker_and_a_task_that_only_others_know(patient: Patient) -> None:
    patient.add(queue="mail")
    patient.work(queues=("other",), tasks=("rare",))
    patient.add(task="rare")
    patient.add(task="new")
    found = patient.diagnose()
    assert set(troubles(found)) == {"queues", "tasks"}
    assert check(found, "queues").ids == ["mail"]
    assert sorted(check(found, "tasks").ids) == ["new", "rare"]
    patient.run(patient.store.set_queue("mail", paused=True))
    assert "queues" not in troubles(patient.diagnose())


def test_jobs_that_are_due_where_nobody_lives_are_told(patient: Patient) -> None:
    patient.run(patient.store.end_worker(patient.worker, "stopped"))
    patient.sql("DELETE FROM unstuck_jobs WHERE state = 'ready'")
    patient.sql(f"UPDATE unstuck_jobs SET wake_at = {patient.past(HOUR)} WHERE state = 'scheduled'")
    found = patient.diagnose()
    assert "no worker lives to promote" in check(found, "queues").sentence
    assert "no worker lives that could recover it" in check(found, "orphans").sentence


def test_r_is_counted_from_the_leases_that_there_are(patient: Patient) -> None:
    report = '{"sweep": 20.0, "poll": 3.0}'
    patient.run(patient.store.renew([patient.worker], 10 * 60 * 1_000_000, {patient.worker: report}))
    found = patient.diagnose()
    assert found.facts["recovery_bound_seconds"] == 600 + 2 * 20 + 3


def test_the_usual_limits_end_within_half_a_minute() -> None:
    assert Limits().whole < 30
