"""The servers keep what they promise: private, exact to disturb, and gone without a trace."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.servers import leaks, watching
from tests.servers.pgbouncer import PgBouncerServer
from tests.servers.postgres import PostgresServer, find_binaries
from tests.servers.serving import NotAvailable


def ask(url: str, question: str = "SELECT 1") -> object:
    with psycopg.connect(url, autocommit=True, connect_timeout=5, prepare_threshold=None) as connection:
        row = connection.execute(question).fetchone()
    return row[0] if row else None


def until(fact: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_each_test_has_an_empty_database_with_settings_of_one_in_service(postgres_url: str) -> None:
    assert ask(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert ask(postgres_url, "SELECT current_setting('fsync')") == "on"


def test_a_database_can_be_dropped_while_somebody_is_connected(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    with psycopg.connect(url):
        postgres_server.drop_database(url)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        ask(url)


def test_the_server_never_runs_as_root(postgres_server: PostgresServer) -> None:
    owners = set[int]()
    for pid in watching.residents(postgres_server.folder):
        with suppress(FileNotFoundError):  # who served somebody may have ended since
            owners.add(os.stat(f"/proc/{pid}").st_uid)
    assert owners and 0 not in owners


def test_what_was_committed_survives_kill_and_the_address_stays(private_postgres: PostgresServer) -> None:
    url = private_postgres.create_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        private_postgres.kill()
        assert not watching.residents(private_postgres.folder)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert not is_listening(private_postgres.port)
    private_postgres.start()
    assert ask(url, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_the_server_stops_and_comes_back(private_postgres: PostgresServer, number: int) -> None:
    private_postgres.stop(number)
    assert not private_postgres.running()
    private_postgres.start()
    assert ask(private_postgres.url()) == 1


def test_a_paused_server_answers_nobody_until_it_is_resumed(private_postgres: PostgresServer) -> None:
    with psycopg.connect(private_postgres.url(), autocommit=True) as connection:
        private_postgres.pause()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(private_postgres.url(), connect_timeout=2)
        private_postgres.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_port_taken_in_the_meantime_is_exchanged_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.servers import serving

    with socket.create_server(("127.0.0.1", 0)) as taken:
        offers = [taken.getsockname()[1], serving._free_port()]
        monkeypatch.setattr(serving, "_free_port", lambda: offers.pop(0))
        with PostgresServer() as server:
            assert not offers
            assert ask(server.url()) == 1


def test_close_leaves_no_process_port_or_folder() -> None:
    with PostgresServer() as server:
        assert is_listening(server.port)
        segment = int((server.data / "postmaster.pid").read_text().splitlines()[6].split()[1])
    assert not watching.residents(server.folder)
    assert not is_listening(server.port)
    assert not server.folder.exists()
    assert segment not in shared_memory()


@pytest.mark.processes
@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_nothing_is_left_when_the_tests_are_killed(paused: bool) -> None:
    program = (
        "import sys, tests.servers.postgres as p; s = p.PostgresServer().start();"
        f"{'s.pause();' if paused else ''} print(s.folder, s.port, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with owner:
        assert owner.stdout is not None
        folder, port = owner.stdout.readline().split()
        assert watching.residents(Path(folder))
        segment = int((Path(folder) / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1])
        assert segment in shared_memory()
        os.killpg(owner.pid, signal.SIGKILL)
    assert until(lambda: not Path(folder).exists()), "the folder is still there"
    assert not watching.residents(Path(folder))
    assert not is_listening(int(port))
    assert segment not in shared_memory()


def test_the_binaries_of_the_wheel_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSTUCK_TEST_POSTGRES", "wheel")
    find_binaries.cache_clear()
    try:
        with PostgresServer() as server:
            assert ask(server.url()) == 1
    except NotAvailable as missing:
        pytest.skip(f"not run here: {missing}")
    finally:
        find_binaries.cache_clear()


def test_a_machine_without_binaries_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSTUCK_TEST_POSTGRES", "/nowhere")
    find_binaries.cache_clear()
    with pytest.raises(NotAvailable, match=r"no PostgreSQL 13 or newer was found \(/nowhere\)"):
        PostgresServer()
    find_binaries.cache_clear()


def test_the_pooler_gives_each_transaction_any_connection(pgbouncer_server: PgBouncerServer) -> None:
    url = pgbouncer_server.url(pgbouncer_server.postgres.create_database().rpartition("/")[2])
    with psycopg.connect(url, prepare_threshold=None) as one, psycopg.connect(url) as other:
        first = one.execute("SELECT pg_backend_pid()").fetchone()
        one.commit()
        assert other.execute("SELECT pg_backend_pid()").fetchone() == first
        other.commit()
    pgbouncer_server.postgres.drop_database(url)


def test_a_test_has_the_same_database_through_the_pooler(postgres_url: str, pgbouncer_url: str) -> None:
    assert postgres_url != pgbouncer_url
    assert ask(pgbouncer_url, "SELECT current_database()") == postgres_url.rpartition("/")[2]


def test_the_pooler_refuses_unknown_startup_parameters(pgbouncer_url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"):
        psycopg.connect(pgbouncer_url, options="-c geqo=off")


def test_what_a_test_leaves_behind_is_found_by_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    run = secrets.token_hex(4)
    monkeypatch.setenv(leaks.VARIABLE, run)
    folder = leaks.folder("example")
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        assert until(lambda: leaks.processes_left(run) == [process.pid])
        assert leaks.folders_left(run) == [folder]
        leaks._remove(run)
    assert not leaks.processes_left(run)
    assert not folder.exists()


def shared_memory() -> set[int]:
    listing = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {int(line.split()[1]) for line in listing}
