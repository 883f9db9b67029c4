"""A contender at work: its client agent, its workers, and the page that its handlers stamp.

Everything is started in a session of its own and ended by number, and what a worker said is kept for the message
where something goes wrong. Processes inherit one thread of the environment: where the store is, which mode, which page.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.environments import ROOT, node_modules_of, python_of
from benchmarks.ground import Ground, Place
from benchmarks.peer import Peer
from benchmarks.peers import find
from benchmarks.stamps import PLACE, Stamps

STOP_SECONDS = 15.0


class Failed(Exception):
    """A line could not be measured; the message says what was seen."""


@dataclass(frozen=True)
class Contender:
    """A peer, and for our own the tree that it comes from: `unstuck`, or `unstuck:/another/tree`."""

    label: str
    peer: type[Peer]
    tree: Path

    @classmethod
    def of(cls, text: str) -> Contender:
        """As the command line names it. Raises KeyError."""
        name, _, tree = text.partition(":")
        return cls(text, find(name), Path(tree).resolve() if tree else ROOT)

    @property
    def is_ours(self) -> bool:
        """Whether this is the project itself."""
        return self.peer.name.startswith("unstuck")

    def environment(self, place: Place, mode: str, stamps: Stamps | None) -> dict[str, str]:
        """What its processes find in their environment."""
        mine = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(self.tree / "src")]),
            "UNSTUCK_BENCH_URL": place.url,
            "UNSTUCK_BENCH_MODE": mode,
            "PYTHONUNBUFFERED": "1",
        }
        if self.peer.language == "node":
            mine["NODE_PATH"] = str(node_modules_of(self.peer) / "node_modules")
        if stamps is not None:
            mine[PLACE] = str(stamps.path)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("UNSTUCK_")}
        return kept | mine

    def client_command(self, place: Place, mode: str) -> list[str]:
        """The agent that enqueues."""
        if self.peer.language == "node":
            return self.peer.workers(place.url, "client", 1)[0]
        python = python_of(self.peer)
        return [python, "-m", "benchmarks.agent", "client", self.peer.name, place.url, mode]

    def worker_commands(self, place: Place, mode: str, processes: int) -> list[list[str]]:
        """The workers, by this peer's own interpreter."""
        commands = self.peer.workers(place.url, mode, processes)
        if self.peer.language == "node":
            return commands
        return [[python_of(self.peer), *rest] for _, *rest in commands]


class Agent:
    """A client in the contender's environment; `agent(do="one", …)` sends an order and waits for its answer."""

    def __init__(self, contender: Contender, place: Place, mode: str, log: Path):
        self._log = log
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                contender.client_command(place, mode),
                env=contender.environment(place, mode, None),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,
                preexec_fn=_leave_with_us,
                text=True,
            )

    def __call__(self, **order: Any) -> dict[str, Any]:
        self.send(**order)
        return self.answer()

    def send(self, **order: Any) -> None:
        """Give an order without waiting."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self, seconds: float = 300.0) -> dict[str, Any]:
        """The answer to the oldest order. Raises Failed."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise Failed(f"the client gave no answer; it said: {tail(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(f"the client failed: {answer['error']}")
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        _end([self._process])


class Workers:
    """The worker processes of a contender."""

    def __init__(
        self, contender: Contender, place: Place, mode: str, processes: int, stamps: Stamps, log: Path
    ):
        self._log = log
        self._processes: list[subprocess.Popen[bytes]] = []
        with log.open("ab") as said:
            for command in contender.worker_commands(place, mode, processes):
                self._processes.append(
                    subprocess.Popen(
                        command,
                        env=contender.environment(place, mode, stamps),
                        cwd=ROOT,
                        stdin=subprocess.DEVNULL,
                        stdout=said,
                        stderr=said,
                        start_new_session=True,
                        preexec_fn=_leave_with_us,
                    )
                )

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def wait(self, fact: Callable[[], bool], seconds: float, what: str, every: float = 0.002) -> None:
        """Wait for a fact while the workers live. Raises Failed."""
        deadline = time.monotonic() + seconds
        while not fact():
            if any(process.poll() is not None for process in self._processes):
                raise Failed(f"a worker ended before {what}; it said: {tail(self._log)}")
            if time.monotonic() > deadline:
                raise Failed(f"waited {seconds:.0f} s for {what}; the worker said: {tail(self._log)}")
            time.sleep(every)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        _end(self._processes)


class Stage:
    """A contender on a fresh place, with a client that is connected, a page, and workers when they are called."""

    def __init__(self, ground: Ground, contender: Contender, mode: str, jobs: int):
        self.contender = contender
        self.mode = mode
        self.place = ground.fresh(contender.peer.store)
        self._log = ground.folder / f"log-{contender.peer.name}"
        self.stamps = Stamps(ground.folder / "stamps", jobs)
        self._agents: list[Agent] = []
        self.workers: Workers | None = None

    def client(self) -> Agent:
        """A connected client; the first one makes the tables."""
        agent = Agent(self.contender, self.place, self.mode, self._log)
        self._agents.append(agent)
        agent(do="prepare" if len(self._agents) == 1 else "open")
        return agent

    @contextmanager
    def working(self, processes: int) -> Generator[Workers]:
        """Workers while it lasts."""
        workers = Workers(self.contender, self.place, self.mode, processes, self.stamps, self._log)
        try:
            yield workers
        finally:
            workers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for agent in self._agents:
            agent.close()
        self.stamps.close()
        self.place.close()


def versions_of(contender: Contender) -> dict[str, str]:
    """What is installed in its environment, and for our own which commit."""
    names = [package.partition("[")[0] for package in contender.peer.packages]
    if contender.peer.language == "node":
        modules = node_modules_of(contender.peer) / "node_modules"
        return {name: json.loads((modules / name / "package.json").read_text())["version"] for name in names}
    program = "import importlib.metadata as m, sys, json; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    done = subprocess.run(
        [python_of(contender.peer), "-c", program, *names], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"its packages are not there: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, str] = json.loads(done.stdout)
    if contender.peer.environment == "own":
        command = ["git", "-C", str(contender.tree), "describe", "--always", "--dirty"]
        found["tree"] = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return found


def tail(log: Path) -> str:
    """The last lines somebody said."""
    try:
        return log.read_text(errors="replace")[-1500:].strip() or "(nothing)"
    except OSError:
        return "(nothing)"


def _leave_with_us() -> None:
    """In the new process: end when the harness is killed, where the kernel can arrange that."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _end(processes: list[subprocess.Popen[Any]]) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(process.pid, signal.SIGKILL)  # whoever is left of its session
        except ProcessLookupError:
            pass
        process.wait()
