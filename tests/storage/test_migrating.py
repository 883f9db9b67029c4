"""A step of the schema and its record are one transaction, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from unstuck.storage.migrating import Ladder
from unstuck.storage.postgres.keeper import PostgresKeeper
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
