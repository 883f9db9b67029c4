"""What an idle worker costs its store: statements, counted by the store itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.crew import Crew
from tests.processes.stores import Shelf
from tests.processes.tracing import VARIABLE
from tests.processes.waiting import until
from tests.processes.witness import Witness
from tests.servers.postgres import PostgresServer
from tests.servers.serving import NotAvailable
from unstuck.engine.env import boottime

SECONDS = 30.0
"""One lease at default settings, so that what happens once per lease is counted too."""

PER_SECOND = 2.0
"""Statements of each process: a supervisor sweeps and renews, a child looks."""

APP = "tests.processes.idle_tasks:app"
PROGRAM = "tests.processes.tracing"

Count = Callable[[], Counter[str]]


@pytest.fixture
def talkative_postgres() -> Iterator[PostgresServer]:
    """A server that writes down every statement."""
    try:
        server = PostgresServer(log_statement="all")
    except NotAvailable as missing:
        pytest.skip(f"not run here: {missing}")
    with server:
        yield server


def postgres_statements(server: PostgresServer) -> Count:
    """Statements by kind of process, as the server logs them."""
    line = re.compile(r"\[\d+\] test_\d+/(.*?) LOG:  (?:statement|execute [^:]*): (.*)")

    def count() -> Counter[str]:
        said = server.log.read_text(errors="replace").splitlines()
        return Counter(
            f"{found[1].replace(' ', '_')} {found[2][:60]}" for text in said if (found := line.search(text))
        )

    return count


def sqlite_statements(trace: Path) -> Count:
    """Statements by process, as SQLite itself reports them."""
    return lambda: Counter(line.replace("\t", " ") for line in trace.read_text().splitlines())


def rates_of(count: Count) -> dict[str, float]:
    """Statements per second of each process over one lease; says what they were."""
    before, began = count(), boottime()
    until(lambda: boottime() - began >= SECONDS, SECONDS + 5, "a lease has passed", pause=0.5)
    counted, took = count() - before, boottime() - began
    rates: dict[str, float] = {}
    for text, number in counted.most_common():
        name = text.partition(" ")[0]
        rates[name] = rates.get(name, 0.0) + number / took
        if number > 1:
            print(f"{number / took:6.2f}/s  {text}")
    print(f"statements per second by process, over {took:.1f} s: {rates}")
    return rates


def test_an_idle_worker_on_sqlite(tmp_path: Path, witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "trace"
    monkeypatch.setenv(VARIABLE, str(trace))
    shelf = Shelf(f"sqlite:///{tmp_path / 'jobs.db'}")
    crew = Crew(shelf.url, witness, tmp_path, app=APP, program=PROGRAM, times=())
    try:
        crew.started(shelf, "-q", "mail,default")
        assert max(rates_of(sqlite_statements(trace)).values()) <= PER_SECOND
    finally:
        crew.end()
        shelf.close()


def test_an_idle_worker_on_postgres(
    talkative_postgres: PostgresServer, tmp_path: Path, witness: Witness
) -> None:
    shelf = Shelf(talkative_postgres.create_database())
    crew = Crew(shelf.url, witness, tmp_path, app=APP, program=PROGRAM, times=())
    try:
        crew.started(shelf, "-q", "mail,default")
        assert max(rates_of(postgres_statements(talkative_postgres)).values()) <= PER_SECOND
    finally:
        crew.end()
        shelf.close()
