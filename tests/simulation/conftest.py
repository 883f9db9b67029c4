"""The server under the worlds on PostgreSQL: one per test process, started by the first world that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.serving import NotAvailable
from tests.simulation.postgres_ground import Stand, leave_stand, stand


@pytest.fixture(scope="session")
def postgres_stand() -> Iterator[Stand]:
    try:
        ready = stand()
    except NotAvailable as missing:
        pytest.skip(f"not run here: {missing}")
    yield ready
    leave_stand()
