"""The first step of the ladder says what model and design say; and no step is ever edited."""

from __future__ import annotations

import re
import sqlite3

import pytest

from unstuck.model.states import CHECK_JOBS, CHECK_STATE, CHECK_WORKERS
from unstuck.storage.migrating import read_rungs, script_of
from unstuck.storage.postgres.dialect import PostgresDialect
from unstuck.storage.sql.library import TABLES, Dialect, Style
from unstuck.storage.sqlite.dialect import SqliteDialect

ENGINES: dict[str, Dialect] = {"sqlite": SqliteDialect(), "postgres": PostgresDialect()}

# A step that has been released is history: change the schema by another step. New steps are added here.
CHECKSUMS = {
    "sqlite": ["577f31458a4e9526", "8263daeaed8a061e", "765a5e0b7ad9084e"],
    "postgres": ["fe3e90efaa6bcbf5", "579589c0e90298da"],
}


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def whole(engine: str) -> str:
    return "\n".join(ENGINES[engine].resolve(rung.text) for rung in read_rungs(engine))


def test_no_step_was_edited(engine: str) -> None:
    assert [rung.checksum[:16] for rung in read_rungs(engine)] == CHECKSUMS[engine]


def tables(engine: str) -> dict[str, str]:
    """What stands within the parentheses of each table, as the last step that makes it says."""
    made = re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", whole(engine), re.DOTALL)
    return {name.removesuffix("_anew"): body for name, body in made}


def spelled_out(check: str) -> str:
    """Each state of a list by itself."""

    def chain(match: re.Match[str]) -> str:
        return "(" + " OR ".join(f"state = {state}" for state in match[1].split(", ")) + ")"

    return re.sub(r"state IN \(([^)]*)\)", chain, check)


def test_the_checks_are_those_of_the_table_of_states(engine: str) -> None:
    jobs, workers = tables(engine)["unstuck_jobs"], tables(engine)["unstuck_workers"]
    for check in (CHECK_STATE, CHECK_JOBS):
        assert f"CHECK ({spelled_out(check) if engine == 'sqlite' else check})" in jobs
    assert f"CHECK ({CHECK_WORKERS})" in workers


def test_no_row_of_sqlite_pays_for_a_list() -> None:
    dialect = ENGINES["sqlite"]
    connection = sqlite3.connect(":memory:")
    for rung in read_rungs("sqlite"):
        connection.executescript(dialect.resolve(rung.text))
    text = "UPDATE unstuck_jobs SET state = 'ready', wake_at = 1, worker_id = '' WHERE rowid = 1"
    opcodes = [row[1] for row in connection.execute(f"EXPLAIN {text}")]
    connection.close()
    assert "Halt" in opcodes  # the checks are there …
    assert "OpenEphemeral" not in opcodes  # … and make no table of their own, row by row


def test_all_tables_are_made(engine: str) -> None:
    assert sorted(tables(engine)) == sorted(f"unstuck_{table}" for table in TABLES)


def test_jobs_have_exactly_five_indexes(engine: str) -> None:
    made = re.findall(r"CREATE INDEX (\w+) ON unstuck_jobs (\([^)]*\)) WHERE ([^;]+);", whole(engine))
    assert len(made) == (
        8 if engine == "sqlite" else 4
    )  # a table that is made anew gets all of its own again
    assert {name.removeprefix("unstuck_jobs_"): (columns, where) for name, columns, where in made} == {
        "claim": ("(queue, line, id)", "state = 'ready'"),
        "wake": ("(wake_at)", "wake_at IS NOT NULL"),
        "worker": ("(worker_id)", "worker_id IS NOT NULL"),
        "keep": ("(keep_until)", "keep_until IS NOT NULL"),
    }
    jobs = tables(engine)["unstuck_jobs"]
    assert jobs.count("PRIMARY KEY") == 1
    assert "UNIQUE" not in jobs


def test_both_engines_have_the_same_columns() -> None:
    def columns(engine: str) -> dict[str, list[str]]:
        return {
            name: re.findall(r"^    ([a-z_]+) ", body, re.MULTILINE) for name, body in tables(engine).items()
        }

    assert columns("sqlite") == columns("postgres")


def test_the_script_for_people_makes_the_same_schema_as_the_ladder() -> None:
    dialect = ENGINES["sqlite"]
    by_hand = sqlite3.connect(":memory:", isolation_level=None)
    for rung in read_rungs("sqlite"):
        by_hand.executescript(script_of(dialect, rung))
    number, checksum, applied_at = by_hand.execute(
        "SELECT number, checksum, applied_at FROM unstuck_migrations"
    ).fetchone()
    assert (number, checksum) == (1, read_rungs("sqlite")[0].checksum)
    (now,) = by_hand.execute("SELECT CAST(strftime('%s', 'now') AS integer) * 1000000").fetchone()
    assert abs(applied_at - now) < 60_000_000
    by_hand.close()


@pytest.mark.parametrize(
    ("block", "index"),
    [
        ("claim", "unstuck_jobs_claim (queue=? AND (line,id)>(?,?) AND (line,id)<(?,?))"),
        ("look", "unstuck_jobs_claim (queue=? AND line>?)"),
        ("promote", "unstuck_jobs_wake (wake_at<?)"),
        ("expired", "unstuck_jobs_wake (wake_at<?)"),
        ("settle", "sqlite_autoindex_unstuck_jobs_1 (id=?)"),
        ("owned", "unstuck_jobs_worker (worker_id=?)"),
        ("orphans", "unstuck_jobs_worker (worker_id=?)"),
        ("prune_jobs", "unstuck_jobs_keep (keep_until<?)"),
        ("head", "unstuck_jobs_claim (queue=? AND line>?)"),
        ("reach", "unstuck_jobs_claim (queue=? AND (line,id)>(?,?))"),
        ("ready_queues", "unstuck_jobs_claim (queue>?)"),
    ],
)
def test_sqlite_walks_the_index_that_is_meant(block: str, index: str) -> None:
    dialect = ENGINES["sqlite"]
    connection = sqlite3.connect(":memory:")
    for rung in read_rungs("sqlite"):
        connection.executescript(dialect.resolve(rung.text))
    text, names = dialect.spelling(block, Style.NAMED)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", dict.fromkeys(names)).fetchall()
    assert any(index in row[3] for row in plan), "\n".join(row[3] for row in plan)
    connection.close()
