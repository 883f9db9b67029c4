"""SQL as named blocks: what fails to load, what the words in braces become, what no text may say."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from unstuck.model.errors import BadSetting
from unstuck.model.states import State
from unstuck.storage.plan import Statement
from unstuck.storage.postgres.dialect import PostgresDialect
from unstuck.storage.sql.library import (
    Block,
    BrokenLibrary,
    Dialect,
    Style,
    asked_for,
    check_prefix,
    join_blocks,
    read_blocks,
)
from unstuck.storage.sqlite.dialect import SqliteDialect

DIALECTS = {"sqlite": SqliteDialect, "postgres": PostgresDialect}


@pytest.fixture(params=list(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    make: Callable[[], Dialect] = DIALECTS[request.param]
    return make()


def a_block(name: str, text: str = "SELECT 1") -> dict[str, Block]:
    return {name: Block(name, "says why", text)}


def test_every_block_that_the_code_asks_for_is_there_and_no_other(dialect: Dialect) -> None:
    statements = {name for name in dialect.blocks if not name.startswith("part ")}
    assert statements == asked_for()
    assert len(statements) > 50


def test_every_block_can_be_spelled_in_every_style(dialect: Dialect) -> None:
    for name in asked_for():
        for style in Style:
            text, names = dialect.spelling(name, style)
            assert text.startswith(f"/* unstuck:{name} */ ")
            assert "{" not in text.replace("'{}'", "")
            assert len(names) == len(set(names))


def test_a_missing_block_fails() -> None:
    with pytest.raises(BrokenLibrary, match="no block for settle"):
        join_blocks("sqlite", a_block("claim"), {}, ["claim", "settle"])


def test_a_block_that_nobody_asks_for_fails() -> None:
    with pytest.raises(BrokenLibrary, match="nobody asks for reap"):
        join_blocks("sqlite", a_block("claim"), a_block("reap"), ["claim"])


def test_a_part_that_no_block_mentions_fails() -> None:
    with pytest.raises(BrokenLibrary, match="nobody asks for part job"):
        join_blocks("sqlite", {**a_block("claim"), **a_block("part job")}, {}, ["claim"])


def test_a_part_that_is_missing_fails() -> None:
    with pytest.raises(BrokenLibrary, match="no block for part job"):
        join_blocks("sqlite", a_block("claim", "SELECT {part job}"), {}, ["claim"])


def test_an_override_that_says_the_same_fails() -> None:
    with pytest.raises(BrokenLibrary, match="the same as common"):
        join_blocks("sqlite", a_block("claim"), a_block("claim"), ["claim"])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: claim\nSELECT 1", "needs a line of purpose"),
        ("-- name: claim\n-- Takes.\n", "needs a line of purpose"),
        ("-- name: claim\n-- Takes.\nSELECT 1;", "semicolon"),
        ("-- name: claim\n-- Takes.\nSELECT 1\n-- name: claim\n-- Takes.\nSELECT 2", "twice"),
        ("SELECT 1", "outside a block"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(text: str, complaint: str) -> None:
    with pytest.raises(BrokenLibrary, match=complaint):
        read_blocks(text, "test.sql")


def test_a_word_that_no_engine_knows_fails(dialect: Dialect) -> None:
    with pytest.raises(BrokenLibrary, match="no engine knows"):
        dialect.resolve("SELECT {yesterday}")


def test_sql_never_spells_a_state(dialect: Dialect) -> None:
    spelled = re.compile("'(" + "|".join(state.value for state in State) + ")'")
    for name, block in dialect.blocks.items():
        assert not spelled.search(block.text), f"block {name} spells a state"


def test_only_the_claims_index_may_be_implied_by_a_settle(dialect: Dialect) -> None:
    """A settle that named its source state could be planned onto a partial index, full of dead entries."""
    guard = dialect.blocks["settle"].text.rpartition("WHERE")[2]
    assert "{state." not in guard
    assert "j.state = v.source" in guard


def test_the_prefix_stands_before_every_table() -> None:
    assert (
        SqliteDialect("x_").resolve("{jobs} {workers} {name jobs_claim}") == "x_jobs x_workers x_jobs_claim"
    )


@pytest.mark.parametrize("prefix", ["Big_", "a-b", "1st_", "x" * 32, "a b", 'a"', "a;"])
def test_a_prefix_that_is_no_name_is_refused(prefix: str) -> None:
    with pytest.raises(BadSetting, match="cannot begin a table name"):
        check_prefix(prefix)


def test_parameters_take_the_shape_that_a_driver_wants() -> None:
    dialect = PostgresDialect()
    named, _ = dialect.spelling("end_worker", Style.NAMED)
    assert ":worker_id" in named
    pyformat, _ = dialect.spelling("end_worker", Style.PYFORMAT)
    assert "%(worker_id)s" in pyformat
    dollar, names = dialect.spelling("end_worker", Style.DOLLAR)
    assert f"w.id = ${names.index('worker_id') + 1}" in dollar


def test_casts_of_postgres_are_no_parameters() -> None:
    _, names = PostgresDialect().spelling("find", Style.PYFORMAT)
    assert "text" not in names
    assert "uuid" not in names


def test_many_rows_are_one_statement_of_arrays_or_one_statement_each() -> None:
    rows = [{"worker_id": 1, "report": "a"}, {"worker_id": 2, "report": None}]
    statement = Statement("renew", {"lease_us": 5}, rows)
    (once,) = PostgresDialect().spell(statement, Style.PYFORMAT)
    assert once.values == {"lease_us": 5, "worker_id": [1, 2], "report": ["a", None]}
    each = list(SqliteDialect(clock=lambda: 7).spell(statement, Style.NAMED))
    assert [spelled.values["worker_id"] for spelled in each] == [1, 2]
    assert {spelled.values["now"] for spelled in each} == {7}


def test_sqlites_now_is_read_when_the_statement_is_spelled_and_is_one_for_all_its_rows() -> None:
    ticks = iter(range(100))
    dialect = SqliteDialect(clock=lambda: next(ticks))
    rows = [{"worker_id": number, "report": None} for number in range(3)]
    waiting = dialect.spell(Statement("renew", {"lease_us": 5}, rows), Style.NAMED)
    assert next(ticks) == 0
    assert {spelled.values["now"] for spelled in waiting} == {1}
