"""What worlds stand on: a server and files, one of each per test process, made by the first world that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.serving import NotAvailable
from tests.simulation.postgres_ground import Stand, leave_stand, stand
from tests.simulation.sqlite_ground import leave_stands


@pytest.fixture(scope="session")
def postgres_stand() -> Iterator[Stand]:
    try:
        ready = stand()
    except NotAvailable as missing:
        pytest.skip(f"not run here: {missing}")
    yield ready
    leave_stand()


@pytest.fixture(scope="session", autouse=True)
def sqlite_stands() -> Iterator[None]:
    """The files under the worlds on SQLite: made by the first world that needs them."""
    yield
    leave_stands()
