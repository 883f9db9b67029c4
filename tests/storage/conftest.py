"""The keeper that most tests of this part speak to: PostgreSQL's. Those of SQLite make one of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from unstuck.storage.postgres.keeper import PostgresKeeper


@pytest.fixture
def keeper(postgres_url: str) -> Iterator[PostgresKeeper]:
    """On a migrated, empty database."""
    keeper = PostgresKeeper(postgres_url)
    keeper.migrator.apply()
    yield keeper
    keeper.close()
