"""A real PgBouncer in transaction mode before a private PostgreSQL, where the machine has one.

Transaction mode is the setting that takes most from a client: each transaction may run on another
server connection, so nothing of a session may be relied on. No startup parameter is waved through
(`ignore_startup_parameters` stays empty), which is how a client that sends one is caught.
"""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from tests.servers.postgres import USER, PostgresServer
from tests.servers.serving import NotAvailable, Server, unprivileged


class PgBouncerServer(Server):
    """One private pooler; every database of `postgres` can be reached through it by its name."""

    kind = "pgbouncer"

    def __init__(self, postgres: PostgresServer, pool_size: int = 20) -> None:
        self.user = unprivileged("postgres")
        self.binary = find_binary()
        self.postgres = postgres
        self.pool_size = pool_size
        super().__init__()

    def prepare(self) -> None:
        accounts = self.folder / "accounts"
        accounts.write_text(f'"{USER}" "{self.postgres.password}"\n')
        (self.folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={self.postgres.port}\n"
            "[pgbouncer]\n"
            "pool_mode = transaction\n"
            "listen_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\n"
            f"unix_socket_dir = {self.folder}\n"
            "auth_type = scram-sha-256\n"
            f"auth_file = {accounts}\n"
            f"default_pool_size = {self.pool_size}\n"
            "max_client_conn = 500\n"
        )
        for file in (accounts, self.folder / "pgbouncer.ini"):
            file.chmod(0o644)  # the folder itself is closed to others

    def command(self) -> list[str]:
        return [str(self.binary), str(self.folder / "pgbouncer.ini")]

    def ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.folder / f".s.PGSQL.{self.port}")) == 0

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{self.postgres.password}@127.0.0.1:{self.port}/{database}"


def find_binary() -> Path:
    for found in (shutil.which("pgbouncer"), "/usr/sbin/pgbouncer"):
        if found and Path(found).exists():
            return Path(found)
    raise NotAvailable("pgbouncer is not installed")
