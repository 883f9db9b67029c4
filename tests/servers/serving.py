"""What all private servers have in common: a folder, a port, a user, and the ways to disturb them.

A server lives in one temporary folder, from which everything about it follows: its processes are those
that live there, and to clear up is to kill them and remove it (`watching.py`). Signals therefore reach
the whole server and not only its first process, including children that the server forked a moment ago.

Disturbing is exact, because tests build on it: `kill` returns when no process is left, `pause` when every
process is stopped, `start` when the server says that it accepts connections. The port stays the same
from the first start to `close`, so that clients come back to the same address.
"""

from __future__ import annotations

import atexit
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from tests.servers import leaks, watching

PORT_TRIES = 10
START_SECONDS = 60.0
STOP_SECONDS = 60.0


class NotAvailable(Exception):
    """This machine has no binaries for the server; the message says which."""


class Server:
    """One private server; subclasses say how it is prepared, run, and known to be ready."""

    kind = "server"
    user: pwd.struct_passwd | None = None
    """Whom the server runs as; None is whoever runs the tests."""

    def __init__(self) -> None:
        self.folder = _folder(self.kind, self.user)
        self.log = self.folder / "log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", watching.__file__, str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.close)

    def command(self) -> list[str]:
        raise NotImplementedError

    def prepare(self) -> None:
        """Write what the server needs, once `port` is known; repeated with another port if it was taken."""

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> Self:
        """Start and wait until connections are accepted; a port that was just taken is tried again."""
        if self.running():
            return self
        keep_port = self.port != 0
        for _ in range(PORT_TRIES):
            self.port = self.port if keep_port else _free_port()
            self.prepare()
            self.log.write_bytes(b"")
            with self.log.open("ab") as log:
                self.process = self.spawn(self.command(), stdout=log)
            if self._came_up():
                return self
            if "in use" not in self.said():
                break
            time.sleep(0.5 if keep_port else 0)
        raise RuntimeError(f"{self.kind} did not start; it said:\n{self.said()}")

    def _came_up(self) -> bool:
        process = self.process
        assert process is not None
        _wait(lambda: self.ready() or process.poll() is not None, START_SECONDS, f"{self.kind} to be ready")
        return process.poll() is None

    def spawn(
        self, command: list[str], stdout: object, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Run `command` in the folder, as the server's user, out of reach of a Ctrl-C to the tests."""
        environment = {"PATH": os.defpath, "HOME": str(self.folder), "LC_ALL": "C", "TZ": "UTC"}
        identity = {}
        if self.user is not None:
            identity = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment | leaks.mark(),
            stdin=stdin,
            stdout=stdout,  # type: ignore[arg-type]
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **identity,
        )

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def said(self) -> str:
        """The end of the server's log."""
        try:
            return self.log.read_text(errors="replace")[-4000:]
        except OSError:
            return "(nothing)"

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask the server to end and wait until all of it has."""
        if self.process is None:
            return
        if self.running():
            self.resume()
            self.process.send_signal(number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{self.kind} did not stop; it said:\n{self.said()}") from None
        _wait(lambda: not watching.residents(self.folder), STOP_SECONDS, f"{self.kind} to be gone")
        self.process = None

    def kill(self) -> None:
        """SIGKILL every process of the server at once, as a power cut would end it."""
        watching.signal_residents(self.folder, signal.SIGSTOP)
        watching.kill_residents(self.folder)
        if self.process is not None:
            self.process.wait()
        self.process = None

    def pause(self) -> None:
        """Stop every process; connections stay open, new ones are accepted by the kernel, nobody answers."""

        def all_stopped() -> bool:
            watching.signal_residents(self.folder, signal.SIGSTOP)
            return all(_stopped(pid) for pid in watching.residents(self.folder))

        _wait(all_stopped, STOP_SECONDS, f"{self.kind} to be paused")

    def resume(self) -> None:
        watching.signal_residents(self.folder, signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """End the server and remove every trace of it; allowed at any moment, and more than once."""
        if os.getpid() != self._owner:
            return  # a fork of the tests that ends must not take the server along
        atexit.unregister(self.close)
        watching.clear(self.folder)
        if self.process is not None:
            self.process.wait()
            self.process = None
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()
        self._watcher.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


def unprivileged(*names: str) -> pwd.struct_passwd | None:
    """The first of these users that exists, when the tests run as root; None, nobody else, otherwise."""
    if os.geteuid() != 0:
        return None
    for name in (*names, "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NotAvailable("the tests run as root, and there is no unprivileged user to run a server as")


def reachable(path: Path, user: pwd.struct_passwd | None) -> bool:
    """Whether `user` can walk down to `path`; a home of root's, for one, is closed to everybody else."""
    if user is None:
        return True
    return all(_open_to(step, user) for step in [*path.parents])


def _open_to(folder: Path, user: pwd.struct_passwd) -> bool:
    facts = folder.stat()
    if facts.st_uid == user.pw_uid:
        return bool(facts.st_mode & 0o100)
    return bool(facts.st_mode & (0o010 if facts.st_gid == user.pw_gid else 0o001))


def _folder(kind: str, user: pwd.struct_passwd | None) -> Path:
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        # A socket's path may have some hundred characters; a folder deep in another would not do.
        if len(place) < 40 and reachable(Path(place) / kind, user):
            folder = leaks.folder(kind, Path(place))
            if user is not None:
                os.chown(folder, user.pw_uid, user.pw_gid)
            return folder
    raise NotAvailable("no temporary folder can be reached by the user that the server runs as")


def _free_port() -> int:
    """A port below those that the kernel hands to outgoing connections.

    From among those a client that reconnects while the server is down can be given the server's own port
    as its source, and then it is connected to itself, and the server cannot come back.
    """
    for port in _candidates():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port was found on 127.0.0.1")


def _candidates() -> Iterator[int]:
    try:
        first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first_outgoing = 32768
    dice = random.SystemRandom()
    low, high = (10240, first_outgoing) if first_outgoing > 12000 else (20000, 60000)
    for _ in range(200):
        yield dice.randrange(low, high)


def _stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TZX"
    except OSError:
        return True


def _wait(fact: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.01)
