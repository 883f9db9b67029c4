"""Turning the event log on: who must know of it (nobody), what it costs when it is off (nothing)."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conformance.trying import new_job, new_worker
from unstuck.model.errors import SchemaMismatch
from unstuck.model.happening import LoggedEvent
from unstuck.rules import judging
from unstuck.storage.memory.recording import JOB, POLICY, WORKER
from unstuck.storage.opening import Keeper, open_keeper
from unstuck.storage.plan import Mode, Plan, Requests, Script
from unstuck.storage.postgres.dialect import PostgresDialect
from unstuck.storage.sqlite.dialect import SqliteDialect


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def keepers() -> Iterator[list[Keeper]]:
    """Those that a test opened."""
    opened: list[Keeper] = []
    yield opened
    for keeper in opened:
        keeper.close()


def opened(keepers: list[Keeper], url: str, **options: bool) -> Keeper:
    keepers.append(open_keeper(url, **options))  # type: ignore[arg-type]
    return keepers[-1]


def names(keeper: Keeper) -> list[str]:
    return [str(line.name) for line in keeper.run(keeper.store.events())]


def test_who_knows_nothing_of_the_log_writes_it_too(url: str, keepers: list[Keeper]) -> None:
    asks = opened(keepers, url, event_log=True)
    asks.migrator.apply()
    other = opened(keepers, url)
    job, worker = new_job(), new_worker()
    other.run(other.store.insert([job]))
    other.run(other.store.register(worker))
    (claimed,) = other.run(other.store.claim(worker.id, "q", ["t"], 1))
    other.run(other.store.settle([judging.succeeded(claimed, new_job().id, worker.id, None)]))
    lines = [line for line in asks.run(asks.store.events()) if line.record == str(job.id)]
    assert [line.name for line in lines] == ["inserted", "claimed", "settled"]
    assert all(line.at is not None for line in lines)


def test_a_store_without_the_log_is_refused_to_who_asks_for_it(url: str, keepers: list[Keeper]) -> None:
    plain = opened(keepers, url)
    plain.migrator.apply()
    asks = opened(keepers, url, event_log=True)
    assert asks.migrator.status().state == "behind"
    with pytest.raises(SchemaMismatch, match="keeps no event log, and the app asks for one"):
        asks.run(asks.store.meta())
    assert "log_job" in asks.migrator.sql()
    assert [rung.name for rung in asks.migrator.apply()] == ["event_log"]
    assert asks.migrator.apply() == []
    assert asks.migrator.status().is_current
    assert names(asks) == []


def test_triggers_of_another_version_are_renewed_by_the_next_migration(
    url: str, keepers: list[Keeper]
) -> None:
    keeper = opened(keepers, url, event_log=True)
    keeper.migrator.apply()
    by_hand(keeper, "UPDATE {meta} SET value = 'of an older version' WHERE name = 'event_log'")
    plain = opened(keepers, url)
    assert [rung.name for rung in plain.migrator.apply()] == ["event_log"]
    assert plain.migrator.apply() == []


def test_a_log_that_is_renewed_goes_on_behind_its_documents(url: str, keepers: list[Keeper]) -> None:
    keeper = opened(keepers, url, event_log=True)
    keeper.migrator.apply()
    job, worker = new_job(), new_worker()
    keeper.run(keeper.store.insert([job]))
    if keeper.engine == "postgres":
        by_hand(keeper, """UPDATE {events} SET state = NULL, facts = '{"state":"ready"}'""")
    by_hand(keeper, "UPDATE {meta} SET value = 'of an older version' WHERE name = 'event_log'")
    assert [rung.name for rung in keeper.migrator.apply()] == ["event_log"]
    keeper.run(keeper.store.register(worker))
    keeper.run(keeper.store.claim(worker.id, "q", ["t"], 1))
    told = [line for line in keeper.run(keeper.store.events()) if line.record == str(job.id)]
    assert [(line.number, line.name) for line in told] == [(1, "inserted"), (2, "found"), (3, "claimed")]
    assert [line.facts["state"] for line in told] == ["ready", "ready", "running"]


def test_a_job_whose_lines_were_taken_away_is_told_from_one_again(url: str, keepers: list[Keeper]) -> None:
    keeper = opened(keepers, url, event_log=True)
    keeper.migrator.apply()
    job, worker = new_job(), new_worker()
    keeper.run(keeper.store.insert([job]))
    keeper.run(keeper.store.register(worker))
    by_hand(keeper, "DELETE FROM {events}")
    (claimed,) = keeper.run(keeper.store.claim(worker.id, "q", ["t"], 1))
    keeper.run(keeper.store.settle([judging.succeeded(claimed, new_job().id, worker.id, None)]))
    told = keeper.run(keeper.store.events())
    assert [(line.number, line.facts["state"]) for line in told] == [(1, "running"), (2, "succeeded")]
    assert told[1].name == "settled"


def test_a_change_that_is_rolled_back_leaves_no_line(url: str, keepers: list[Keeper]) -> None:
    keeper = opened(keepers, url, event_log=True)
    keeper.migrator.apply()
    job = new_job()
    keeper.run(keeper.store.insert([job]))
    with pytest.raises(Exception, match="there_is_no_such_table"):
        by_hand(keeper, "DELETE FROM {jobs};\nDELETE FROM there_is_no_such_table")
    assert names(keeper) == ["inserted"]


def test_a_store_without_the_log_has_nothing_of_it(tmp_path: Path, keepers: list[Keeper]) -> None:
    """Off costs nothing: there is no table, no trigger and no statement that asks."""
    keeper = opened(keepers, f"sqlite:///{tmp_path / 'jobs.db'}")
    keeper.run(keeper.store.insert([new_job()]))
    with sqlite3.connect(tmp_path / "jobs.db") as raw:
        (triggers,) = raw.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone()
        tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    raw.close()
    assert triggers == 0
    assert "unstuck_events" not in tables


def test_the_script_for_people_makes_what_apply_makes(tmp_path: Path, keepers: list[Keeper]) -> None:
    by_apply, by_script = tmp_path / "apply.db", tmp_path / "script.db"
    opened(keepers, f"sqlite:///{by_apply}", event_log=True).migrator.apply()
    plain = opened(keepers, f"sqlite:///{by_script}")
    plain.run(plain.store.meta())
    text = opened(keepers, f"sqlite:///{by_script}", event_log=True).migrator.sql()
    with sqlite3.connect(by_script) as raw:
        raw.executescript(text)
    raw.close()
    assert schema(by_script) == schema(by_apply)
    assert opened(keepers, f"sqlite:///{by_script}", event_log=True).migrator.status().is_current


def schema(file: Path) -> set[str]:
    with sqlite3.connect(file) as raw:
        found = {text for (text,) in raw.execute("SELECT sql FROM sqlite_master") if text}
    raw.close()
    return found


@pytest.mark.parametrize("dialect", [SqliteDialect(), PostgresDialect()], ids=lambda each: each.engine)
def test_both_write_down_the_same_columns(dialect: SqliteDialect | PostgresDialect) -> None:
    facts = {
        kind: list(dialect.blocks[f"part {kind}_facts"].text.split("'")[1::2]) for kind in ("job", "worker")
    }
    assert sorted(facts["job"]) == sorted((*JOB, *POLICY))
    assert sorted(facts["worker"]) == sorted(WORKER)
    watched = dialect.blocks["part job_columns"].text.replace("\n", " ").split(", ")
    assert set(watched) == set(JOB) - {"created_at", "timeout_us"}


def by_hand(keeper: Keeper, text: str) -> None:
    def start() -> Requests[None]:
        assert keeper.dialect is not None
        yield Script("by hand", keeper.dialect.resolve(text) + ";")

    keeper.run(Plan("by_hand", Mode.TRANSACTION, start))


def test_facts_are_json_that_anybody_can_read(url: str, keepers: list[Keeper]) -> None:
    keeper = opened(keepers, url, event_log=True)
    keeper.migrator.apply()
    keeper.run(keeper.store.insert([new_job(labels={"a": "b"})]))
    (line,) = keeper.run(keeper.store.events())
    assert json.loads(json.dumps(dict(line.facts))) == line.facts
    assert "args" not in line.facts


CREATOR = """
import sys, time
from unstuck import App

def greet() -> None: ...

for line in sys.stdin:
    url, moment = line.split()
    with App(url, event_log=True) as app:
        task = app.task(greet, name="greet")
        while time.time() < float(moment):
            pass
        try:
            print("enqueued", task.enqueue().id, flush=True)
        except Exception as error:
            print("failed", repr(error), flush=True)
"""
"""Who is told of a file enqueues one job there, at that moment: its first connection creates the file."""


def test_two_processes_may_create_one_file_at_once_and_it_has_its_log_from_the_first_job_on(
    tmp_path: Path, keepers: list[Keeper]
) -> None:
    creators = [
        subprocess.Popen(
            [sys.executable, "-c", CREATOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        for number in range(30):
            url = f"sqlite:///{tmp_path / f'jobs{number}.db'}"
            for creator in creators:
                print(url, time.time() + 0.02, file=creator.stdin, flush=True)
            said = [creator.stdout.readline().split(maxsplit=1) for creator in creators if creator.stdout]
            assert [each[0] for each in said] == ["enqueued"] * 2, said
            log = {line.record: line.name for line in reversed(list(events_of(keepers, url)))}
            assert [log.get(each[1].strip()) for each in said] == ["inserted"] * 2
    finally:
        for creator in creators:
            creator.communicate()


def events_of(keepers: list[Keeper], url: str) -> Sequence[LoggedEvent]:
    keeper = opened(keepers, url)
    return keeper.run(keeper.store.events())
