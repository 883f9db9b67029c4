"""The store under chaos, and the ways that lead to it. Engines are told apart here only.

A ground says which kinds of fault it can have and why it cannot have the others, does to the store what no
signal to a worker can do, and undoes it. PostgreSQL is a private server with its data in a tablespace of
limited size, reached directly, through two proxies and through PgBouncer in transaction mode. SQLite is a file
on a file system of limited size. That file system is a tmpfs in a mount namespace of this process, which is
gone when the run is, however it ends; where mounting is not allowed, an SQLite run limits the size of the
files that workers may write instead (RLIMIT_FSIZE), and says so.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from tests.chaos.proxy import Mode, Proxy
from tests.processes.stores import HOLDER
from tests.servers import leaks
from tests.servers.pgbouncer import PgBouncerServer
from tests.servers.postgres import PostgresServer
from tests.servers.serving import NotAvailable
from unstuck.engine.framing import die_with_parent

CLONE_NEWNS = 0x00020000
SIZE = "400m"
TABLESPACE = "limited"

Undo = Callable[[], None]
Workers = Callable[[], Iterable[int]]
"""The pids of all that work, as often as it is asked."""


def _nothing() -> None:
    pass


class Disk:
    """A file system of limited size at `folder`, which can be filled; `why_not` says why there is none."""

    def __init__(self, folder: Path, owner: tuple[int, int] | None = None) -> None:
        self.folder = folder
        self.why_not = ""
        folder.mkdir(mode=0o700)
        options = f"size={SIZE},mode=700"
        if owner is not None:
            os.chown(folder, *owner)
            options += f",uid={owner[0]},gid={owner[1]}"
        try:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            self.why_not = f"no tmpfs can be mounted here ({type(error).__name__})"

    def fill(self) -> Undo:
        """Take all that is free; the answer gives it back."""
        filler = self.folder / "filler"
        with filler.open("wb") as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        return lambda: filler.unlink(missing_ok=True)

    def close(self) -> None:
        if not self.why_not:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True)


def own_mounts() -> None:
    """From now on mounts of this process, and of what it starts, are seen by nobody else and end with them.

    To be called before anything is started. Where it is not allowed, mounting is not either.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "unshare") and libc.unshare(CLONE_NEWNS) == 0:
        subprocess.run(["mount", "--make-rprivate", "/"], check=False, capture_output=True)


class Ground(ABC):
    """One store. `url` leads to it directly; `routes` are the ways that workers take, `doors` those of
    clients; `missing` maps the kinds of fault that cannot be had to the reason; `conditions` are for the table."""

    engine: str
    url: str
    routes: dict[str, str]
    doors: list[str]
    missing: dict[str, str]
    conditions: dict[str, str]

    @abstractmethod
    def begin(self, kind: str, choice: float, strength: float, workers: Workers) -> Undo:
        """Do it, now; the answer undoes it."""

    @abstractmethod
    def close(self) -> None: ...


class PostgresGround(Ground):
    engine = "postgres"

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.missing = {"write lock held": "PostgreSQL has no such lock"}
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise

    def _build(self) -> None:
        self.server = PostgresServer()
        self._stack.callback(self.server.close)
        self.server.start()
        user = self.server.user
        disk = Disk(self.server.folder / TABLESPACE, (user.pw_uid, user.pw_gid) if user else None)
        self._stack.callback(disk.close)
        self.disk = disk
        self.url = self._database()
        self.proxies = [Proxy(self.server.port) for _ in range(3)]
        for proxy in self.proxies:
            self._stack.callback(proxy.close)
        through = [self.url.replace(f":{self.server.port}/", f":{proxy.port}/") for proxy in self.proxies]
        self.routes = {"direct": self.url, "first proxy": through[0], "second proxy": through[1]}
        self.conditions = {"server": f"PostgreSQL {self.server.version}, private"}
        try:
            self.pooler = PgBouncerServer(self.server)
        except NotAvailable as missing:
            self.missing["pooler killed"] = str(missing)
            self.conditions["pooler"] = f"not run here: {missing}"
        else:
            self._stack.callback(self.pooler.close)
            self.pooler.start()
            self.routes["pooler"] = self.pooler.url(self.url.rpartition("/")[2])
            self.conditions["pooler"] = "PgBouncer in transaction mode, for one supervisor and one client"
        self.doors = [through[2], self.routes.get("pooler", self.url)]
        if disk.why_not:
            self.missing["disk full"] = disk.why_not
        else:
            self.conditions["disk"] = f"a tmpfs of {SIZE} under the tablespace"

    def _database(self) -> str:
        if self.disk.why_not:
            return self.server.create_database("chaos")
        with psycopg.connect(self.server.url(), autocommit=True, connect_timeout=30) as connection:
            place = sql.Literal(str(self.disk.folder))
            name = sql.Identifier(TABLESPACE)
            connection.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(name, place))
            connection.execute(sql.SQL("CREATE DATABASE chaos TABLESPACE {}").format(name))
        return self.server.url("chaos")

    def begin(self, kind: str, choice: float, strength: float, workers: Workers) -> Undo:
        proxy = self.proxies[int(choice * len(self.proxies))]
        match kind:
            case "server killed":
                self.server.kill()
                return lambda: bool(self.server.start()) and None
            case "server frozen":
                self.server.pause()
                return self.server.resume
            case "disk full":
                return self.disk.fill()
            case "pooler killed":
                self.pooler.kill()
                self.pooler.start()
                return _nothing
            case "connections cut":
                proxy.cut()
                return _nothing
            case "black hole":
                proxy.set(Mode.BLACKHOLE)
            case "answers swallowed":
                proxy.set(Mode.SWALLOW)
            case "traffic delayed":
                proxy.set(Mode.DELAY, 0.02 + 0.3 * strength)
            case "connections refused":
                proxy.set(Mode.REFUSE)
                proxy.cut()
            case _:
                raise ValueError(kind)
        return lambda: proxy.set(Mode.PASS)

    def close(self) -> None:
        self._stack.close()


class SqliteGround(Ground):
    engine = "sqlite"

    def __init__(self, folder: Path) -> None:
        only = "an SQLite store has no server"
        kinds = ("server killed", "server frozen", "connections cut", "black hole", "answers swallowed")
        kinds += ("traffic delayed", "connections refused", "pooler killed")
        self.missing = dict.fromkeys(kinds, only)
        self.missing["clock stepped"] = "the clock of an SQLite store is that of the process that writes"
        self.disk = Disk(folder / "disk")
        self.file = self.disk.folder / "jobs.db"
        self.url = f"sqlite:///{self.file}"
        self.routes = {"file one": self.url, "file two": self.url, "file three": self.url}
        self.doors = [self.url, self.url]
        self.conditions = {
            "disk": f"a tmpfs of {SIZE} under the file"
            if not self.disk.why_not
            else "RLIMIT_FSIZE of all workers"
        }

    def begin(self, kind: str, choice: float, strength: float, workers: Workers) -> Undo:
        match kind:
            case "write lock held":
                return hold_lock(self.file)
            case "disk full" if not self.disk.why_not:
                return self.disk.fill()
            case "disk full":
                return limit_files(workers)
            case _:
                raise ValueError(kind)

    def close(self) -> None:
        self.disk.close()
        shutil.rmtree(self.disk.folder, ignore_errors=True)


def hold_lock(file: Path) -> Undo:
    """Have a process of its own take the write lock as soon as it can, and keep it; the answer kills it.

    It is not waited for: the lock may be with somebody who is frozen, and whom only we can thaw.
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)],
        env={**os.environ, **leaks.mark()},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )

    def release() -> None:
        holder.kill()
        holder.communicate()

    return release


def limit_files(workers: Workers, size: int = 1) -> Undo:
    """Let none of these processes write a file beyond `size` bytes; the answer lifts it, also for those who were
    started meanwhile and inherited it."""
    for pid in workers():
        with suppress(ProcessLookupError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))

    def lift() -> None:
        for pid in workers():
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

    return lift
