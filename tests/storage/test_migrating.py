"""A step of the schema and its record are one transaction, on every engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from unstuck.storage.migrating import Ladder, read_rungs, script_of
from unstuck.storage.plan import run
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.sql.facts import lacking
from unstuck.storage.sqlite.dialect import SqliteDialect
from unstuck.storage.sqlite.keeper import SqliteKeeper

OPEN: dict[str, Callable[[pytest.FixtureRequest], Any]] = {
    "sqlite": lambda request: SqliteKeeper(cast(Path, request.getfixturevalue("tmp_path")) / "jobs.db"),
    "postgres": lambda request: PostgresKeeper(request.getfixturevalue("postgres_url")),
}


@pytest.mark.parametrize("engine", list(OPEN))
def test_a_step_whose_record_cannot_be_written_leaves_nothing(
    engine: str, request: pytest.FixtureRequest
) -> None:
    keeper = OPEN[engine](request)
    ladder: Ladder = keeper.migrator
    whole, nothing = ladder._rungs, cast(str, None)
    ladder._rungs = (replace(whole[0], checksum=nothing),)
    with pytest.raises(Exception, match=r"(?i)not.null"):
        ladder.apply()
    ladder._rungs = whole
    assert ladder.status().state == "empty"
    assert ladder.apply() == list(whole)
    keeper.close()


def test_a_table_of_sqlite_that_is_made_anew_keeps_its_rows_its_indexes_and_its_triggers(
    tmp_path: Path,
) -> None:
    path, dialect, rungs = tmp_path / "jobs.db", SqliteDialect(), read_rungs("sqlite")
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("PRAGMA journal_mode = WAL")
    for rung in rungs[:2]:
        old.executescript(script_of(dialect, rung))
    columns = old.execute("SELECT name, type FROM pragma_table_info('unstuck_jobs')").fetchall()
    values = ", ".join(f":{name}" for name, _ in columns)
    for number in range(100):
        row = {name: f"{name} {number}" if kind == "TEXT" else number for name, kind in columns}
        plain = {"state": "running", "options": f'{{"tries": {number}}}', "labels": "{}"}
        old.execute(f"INSERT INTO unstuck_jobs VALUES ({values})", row | plain)
    rows = old.execute("SELECT * FROM unstuck_jobs ORDER BY id").fetchall()

    keeper = SqliteKeeper(path, event_log=True)
    assert [rung.name for rung in keeper.migrator.apply()] == ["checks", "event_log"]
    assert keeper.migrator.status().is_current
    assert old.execute("SELECT * FROM unstuck_jobs ORDER BY id").fetchall() == rows
    with keeper._connected() as connection:
        assert run(connection, lacking("sqlite", "unstuck_")) == []
    old.execute("UPDATE unstuck_jobs SET state = 'ready' WHERE id = 'id 7'")
    assert old.execute("SELECT record FROM unstuck_events WHERE number > 1").fetchall() == [("id 7",)]
    for damage in (
        "state = 'gone'",
        "state = 'running', worker_id = NULL",
        "state = 'waiting', wake_at = NULL",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            old.execute(f"UPDATE unstuck_jobs SET {damage} WHERE id = 'id 8'")
    old.close()
    keeper.close()
