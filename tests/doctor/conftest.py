"""A patient on each engine, with a store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.patient import Patient, PostgresPatient, SqlitePatient
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.sqlite.keeper import SqliteKeeper


@pytest.fixture(params=["sqlite", "postgres"])
def patient(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Patient]:
    """A store with a little of everything in it, all of it sound."""
    one: Patient
    if request.param == "sqlite":
        one = SqlitePatient(SqliteKeeper(tmp_path / "jobs.db"))
    else:
        one = PostgresPatient(PostgresKeeper(request.getfixturevalue("postgres_url")))
    try:
        one.people()
        yield one
    finally:
        one.close()
