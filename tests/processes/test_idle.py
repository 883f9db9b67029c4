"""What an idle worker costs its store: statements, counted by the store itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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


@contextmanager
def talkative_postgres() -> Iterator[PostgresServer | None]:
    """A server that writes down every statement; None where this machine has no server."""
    try:
        server = PostgresServer(log_statement="all")
    except NotAvailable:
        yield None
        return
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


def rates_of(counts: dict[str, Count]) -> dict[str, float]:
    """Statements per second of each process on each engine, over one lease that all have together."""
    before, began = {engine: count() for engine, count in counts.items()}, boottime()
    until(lambda: boottime() - began >= SECONDS, SECONDS + 5, "a lease has passed", pause=0.5)
    took = boottime() - began
    rates: dict[str, float] = {}
    for engine, count in counts.items():
        for text, number in (count() - before[engine]).most_common():
            name = f"{text.partition(' ')[0]} on {engine}"
            rates[name] = rates.get(name, 0.0) + number / took
            if number > 1:
                print(f"{number / took:6.2f}/s  {engine}: {text}")
    print(f"statements per second by process, over {took:.1f} s: {rates}")
    return rates


@contextmanager
def idle_worker(url: str, folder: Path, witness: Witness) -> Iterator[None]:
    """A worker at default settings, with nothing to do."""
    shelf = Shelf(url)
    folder.mkdir()
    crew = Crew(url, witness, folder, app=APP, program=PROGRAM, times=())
    try:
        crew.started(shelf, "-q", "mail,default")
        yield
    finally:
        crew.end()
        shelf.close()


def test_an_idle_worker(tmp_path: Path, witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    """One on each engine, beside each other: what is counted are statements, which no neighbour makes more."""
    trace = tmp_path / "trace"
    monkeypatch.setenv(VARIABLE, str(trace))
    counts = {"sqlite": sqlite_statements(trace)}
    with talkative_postgres() as server, ExitStack() as workers:
        workers.enter_context(idle_worker(f"sqlite:///{tmp_path / 'jobs.db'}", tmp_path / "sqlite", witness))
        if server is not None:
            workers.enter_context(idle_worker(server.create_database(), tmp_path / "postgres", witness))
            counts["postgres"] = postgres_statements(server)
        rates = rates_of(counts)
    for engine in counts:
        mine = [rate for name, rate in rates.items() if name.endswith(engine)]
        assert len(mine) >= 2, f"a supervisor and a child have asked something of {engine}: {rates}"
        assert max(mine) <= PER_SECOND
    if server is None:
        pytest.skip("not run here: an idle worker on PostgreSQL, for there is no server")
