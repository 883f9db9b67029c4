"""The servers as fixtures. One PostgreSQL serves a whole test process; each test has its own database.

    def test_a_promise(postgres_url): ...           a new, empty database
    def test_through_a_pooler(pgbouncer_url): ...   the same, through PgBouncer in transaction mode
    def test_an_outage(private_postgres): ...       a server of the test's own: stop, kill, pause it

The shared server is not to be disturbed. Where a machine cannot have a server, the test is skipped with
a reason that begins with "not run here:", and the end of the run lists it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.servers.pgbouncer import PgBouncerServer
from tests.servers.postgres import PostgresServer
from tests.servers.serving import NotAvailable, Server


def _started(make: Callable[[], Server]) -> Server:
    try:
        server = make()
    except NotAvailable as missing:
        pytest.skip(f"not run here: {missing}")
    try:
        return server.start()
    except BaseException:
        server.close()
        raise


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    # A clock that is a function with a table behind it makes a trigger of the event log look dear to the planner, and
    # to compile it took 20 ms each time: twenty times what all of the statement takes.
    server = _started(lambda: PostgresServer(jit="off"))
    assert isinstance(server, PostgresServer)
    yield server
    server.close()


@pytest.fixture(scope="session")
def pgbouncer_server(postgres_server: PostgresServer) -> Iterator[PgBouncerServer]:
    server = _started(lambda: PgBouncerServer(postgres_server))
    assert isinstance(server, PgBouncerServer)
    yield server
    server.close()


@pytest.fixture
def private_postgres() -> Iterator[PostgresServer]:
    server = _started(PostgresServer)
    assert isinstance(server, PostgresServer)
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def pgbouncer_url(pgbouncer_server: PgBouncerServer, postgres_url: str) -> str:
    return pgbouncer_server.url(postgres_url.rpartition("/")[2])
