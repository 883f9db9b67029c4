"""The servers that everybody runs on, and a fresh place on them for every line.

PostgreSQL is private, the one that the tests start, tuned alike for all: durable in every respect, with memory
and log space that do not decide the race. Redis is the system's program on a port of its own, appending to its file
and syncing every second, as its manual advises; where there is none, its peers are reported as not run here.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from benchmarks.environments import NotHere
from tests.servers.postgres import PostgresServer
from tests.servers.serving import NotAvailable, Server, unprivileged

POSTGRES = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
}
STATEMENTS = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "none"}


class RedisServer(Server):
    """A private Redis, from the system's program."""

    kind = "redis"

    def __init__(self) -> None:
        found = shutil.which("redis-server")
        if found is None:
            raise NotAvailable("there is no redis-server (apt-get install redis-server)")
        self._program = found
        self.user = unprivileged("redis")
        super().__init__()

    def command(self) -> list[str]:
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [self._program, *where, "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]

    def ready(self) -> bool:
        return b"Ready to accept connections" in self.log.read_bytes()

    def ask(self, *words: str) -> str:
        """One command; the raw answer."""
        import socket

        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall((" ".join(words) + "\r\n").encode())
            connection.settimeout(0.2)
            said = b""
            try:
                while part := connection.recv(65536):
                    said += part
            except TimeoutError:
                pass
            return said.decode()


class Place:
    """One store for one line: a database, an empty Redis, or a file; closed, it is gone."""

    def __init__(self, url: str, server: Server | None, leave: Callable[[], None]):
        self.url = url
        self.server = server
        self._leave = leave

    @property
    def server_pid(self) -> list[int]:
        """The first process of the server, none for SQLite."""
        return [self.server.process.pid] if self.server and self.server.process else []

    def freshen(self) -> None:
        """Give everybody the same start: statistics that are true, no dead rows, nothing left to be written."""
        if isinstance(self.server, PostgresServer):
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
                connection.execute("CHECKPOINT")

    def statements(self) -> int | None:
        """How many statements were counted so far: PostgreSQL's while they are counted, Redis's commands."""
        if isinstance(self.server, PostgresServer):
            with psycopg.connect(self.url, autocommit=True) as connection:
                row = connection.execute(
                    "SELECT sum(calls) FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'"
                ).fetchone()
                return int(row[0] or 0) if row else 0
        if isinstance(self.server, RedisServer):
            said = self.server.ask("INFO", "stats")
            return int(said.partition("total_commands_processed:")[2].split()[0])
        return None

    def count_statements(self) -> bool:
        """Count the statements of connections made from now on; False where it cannot be done."""
        if not isinstance(self.server, PostgresServer):
            return self.server is not None
        with psycopg.connect(self.url, autocommit=True) as connection:
            try:
                connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
                name = connection.info.dbname
                connection.execute(f'ALTER DATABASE "{name}" SET pg_stat_statements.track = "all"'.encode())
            except psycopg.Error:
                return False
        return True

    def close(self) -> None:
        self._leave()


class Ground:
    """All servers of a run, each started when first needed."""

    def __init__(self, **settings: str) -> None:
        self._settings = POSTGRES | settings
        self._servers: dict[str, Server] = {}
        self._numbers = count(1)
        self.folder = Path(tempfile.mkdtemp(prefix="unstuck-bench-"))

    def server(self, store: str) -> Server:
        """The server of this kind, running. Raises NotHere."""
        if store not in self._servers:
            try:
                made = RedisServer() if store == "redis" else self._postgres()
            except NotAvailable as why:
                raise NotHere(str(why)) from None
            self._servers[store] = made if made.running() else made.start()
        return self._servers[store]

    def _postgres(self) -> PostgresServer:
        server = PostgresServer(**self._settings, **STATEMENTS)
        try:
            return server.start()
        except RuntimeError:  # its binaries come without the extension
            server.close()
            return PostgresServer(**self._settings).start()

    def fresh(self, store: str) -> Place:
        """An empty place. Raises NotHere."""
        number = next(self._numbers)
        if store == "sqlite":
            folder = self.folder / f"sqlite-{number}"
            folder.mkdir()
            return Place(
                f"sqlite:///{folder}/jobs.db", None, lambda: shutil.rmtree(folder, ignore_errors=True)
            )
        server = self.server(store)
        if isinstance(server, PostgresServer):
            url = server.create_database(f"bench_{number}")
            return Place(url, server, lambda: server.drop_database(url))
        assert isinstance(server, RedisServer)
        server.ask("FLUSHALL")
        return Place(f"redis://127.0.0.1:{server.port}/0", server, lambda: None)

    def versions(self) -> dict[str, str]:
        """What the servers that ran say they are."""
        found: dict[str, str] = {}
        for store, server in self._servers.items():
            if isinstance(server, PostgresServer):
                with psycopg.connect(server.url(), autocommit=True) as connection:
                    row = connection.execute("SHOW server_version").fetchone()
                    found[store] = str(row[0]) if row else "?"
            elif isinstance(server, RedisServer):
                found[store] = server.ask("INFO", "server").partition("redis_version:")[2].split()[0]
        return found

    def fsync_ms(self, times: int = 50) -> float:
        """The median milliseconds of writing and syncing 8 kB where SQLite's files and PostgreSQL's are."""
        import os

        taken: list[float] = []
        with (self.folder / "sync").open("wb") as file:
            for _ in range(times):
                file.write(b"x" * 8192)
                file.flush()
                began = time.perf_counter()
                os.fdatasync(file.fileno())
                taken.append(time.perf_counter() - began)
        return sorted(taken)[times // 2] * 1000

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        for server in self._servers.values():
            server.close()
        shutil.rmtree(self.folder, ignore_errors=True)
