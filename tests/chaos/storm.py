"""The controller: starts workers and clients, does to them what was planned, replaces who died, heals.

It is one thread, because a child of ours dies with the thread that started it. It never asks the store, which
is often away: whom a fault can hit is read from the process tree. Every act is a line of the fault log, with
what was really done and to whom; `nobody` means that no victim was there at that moment.

What leaves without having been told to is noted too: a supervisor that gave up by itself, once it had been
at work, is a broken promise, not bad luck.
"""

from __future__ import annotations

import heapq
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from tests.chaos.faults import Fault
from tests.chaos.ground import Ground
from tests.chaos.stepping import Stepping
from tests.processes.crew import ROOT, Boss, Crew, is_alive, state_of
from tests.processes.pace import Pace
from tests.processes.stores import Shelf
from tests.servers import leaks
from unstuck.engine.env import boottime
from unstuck.engine.framing import die_with_parent

PLACES = ("--threads", "4", "--concurrency", "8", "--isolated", "2", "--grace", "3s")
QUEUES = ("-q", "default,slow")
CHILDREN = (2, 1)
"""Of the first supervisor, and of each other one: two processors have to carry all of them."""

KILLS = ("child killed", "supervisor killed", "supervisor told to stop")
FEWEST = 2
"""Nobody is killed while fewer supervisors than these have got to work: a storm that only ever meets processes
that are starting tests nothing. The fault waits."""

PATIENCE_SECONDS = 0.5
BREATH = 0.05
AT_WORK = 2.0
"""Seconds: a supervisor with children that long had begun; who leaves earlier found no store."""


@dataclass
class Post:
    """A supervisor's place: which way it takes, and who holds it now."""

    route: str
    prefix: tuple[str, ...]
    children: int
    boss: Boss
    since: float
    is_dismissed: bool = False


@dataclass
class Client:
    """A client's place: the way that it takes to the store, and who holds it now."""

    door: str
    process: subprocess.Popen[bytes]


@dataclass
class Storm:
    """One storm; `rage` to its end, `heal`, and read what happened from `log`."""

    ground: Ground
    crew: Crew
    pace: Pace
    seed: int
    rate: float
    folder: Path
    stepping: Stepping
    deserters: list[str] = field(default_factory=list)
    done: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._seen: set[int] = set()
        self._at_work: set[int] = set()
        self._stepped: set[int] = set()
        self._log = (self.folder / "faults.jsonl").open("ab", buffering=0)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._healing: dict[int, Callable[[], None]] = {}
        self._numbers = count()
        self._names = count(1)
        self._began = boottime()
        self.posts: list[Post] = []
        self.clients: list[Client] = []
        for number, route in enumerate(self.ground.routes):
            self._post(route, (), CHILDREN[min(number, 1)])
        if not self.stepping.why_not:
            self._post("direct", self.stepping.prefix)
        for door in self.ground.doors:
            self.clients.append(Client(door, self._client(door)))

    def is_at_work(self, shelf: Shelf) -> bool:
        """Whether every supervisor has registered all its children."""
        registered = {worker.pid for worker in shelf.children()}
        return all(
            len(post.boss.children()) == post.children and registered >= set(post.boss.children())
            for post in self.posts
        )

    def rage(self, plan: Sequence[Fault], seconds: float) -> None:
        """Do what was planned; returns when the storm is over."""
        self._began = boottime()
        for fault in plan:
            self._later(fault.at, partial(self._begin, fault))
        end = self._began + seconds
        while boottime() < end:
            self.tend()
            time.sleep(BREATH)

    def heal(self) -> float:
        """Undo whatever still lasts; answers the moment from which everything is well."""
        for number in list(self._healing):
            self._heal(number)
        self._tend()
        self._due.clear()
        for post in self.posts:
            if post.is_dismissed:
                self._replace(post)
        self._signal(self.family(), signal.SIGCONT)
        self._post(next(iter(self.ground.routes)), ())
        self._say({"what": "healed"})
        return boottime()

    def dismiss_clients(self, within: float) -> list[str]:
        """Let the clients finish what they began; answers what went wrong."""
        for client in self.clients:
            assert client.process.stdin is not None
            client.process.stdin.close()
        until, wrong = boottime() + within, []
        for client in self.clients:
            with suppress(subprocess.TimeoutExpired):
                client.process.wait(max(0.1, until - boottime()))
            if client.process.returncode != 0:
                wrong.append(
                    f"client: process {client.process.pid} was never told that all its jobs are there"
                )
        return wrong

    def tend(self) -> None:
        """Replace who has left, of itself or at our hands."""
        while self._due and self._due[0][0] <= boottime():
            heapq.heappop(self._due)[2]()
        self._tend()

    def end(self) -> None:
        """Kill what is left of clients; the crew ends its workers."""
        for client in self.clients:
            client.process.kill()
            client.process.wait()
        for number in list(self._healing):
            with suppress(Exception):
                self._healing.pop(number)()
        for pid in self._stepped:
            self.stepping.clear_up(pid)
        self._log.close()

    def family(self) -> list[int]:
        """Every supervisor and child that is there."""
        bosses = [boss for boss in self.crew.bosses if boss.process.poll() is None]
        return [pid for boss in bosses for pid in (boss.pid, *boss.children())]

    # What befalls them

    def _begin(self, fault: Fault) -> None:
        if fault.kind in KILLS and len(self._working()) < FEWEST:
            self._later(boottime() - self._began + PATIENCE_SECONDS, partial(self._begin, fault))
            return
        told: dict[str, Any] = {}
        undo = self._act(fault, told)
        self._say({"what": "begin", "number": fault.number, "kind": fault.kind, "planned": fault.at, **told})
        if undo is not None:
            self._healing[fault.number] = partial(self._undone, fault, undo)
            self._later(boottime() - self._began + fault.seconds, partial(self._heal, fault.number))

    def _heal(self, number: int) -> None:
        undo = self._healing.pop(number, None)
        if undo is not None:
            undo()

    def _undone(self, fault: Fault, undo: Callable[[], None]) -> None:
        undo()
        self._say({"what": "end", "number": fault.number, "kind": fault.kind})

    def _act(self, fault: Fault, told: dict[str, Any]) -> Callable[[], None] | None:
        match fault.kind:
            case "client killed":
                client = self.clients[int(fault.choice * len(self.clients))]
                client.process.kill()
                client.process.wait()
                told["pids"] = [client.process.pid]
                return None
            case "clock stepped":
                told["seconds"] = self.stepping.step(fault.strength)
                told["pids"] = [p for post in self.posts if post.prefix for p in self._pids_of(post)]
                return self.stepping.back
            case _ if fault.lane != "workers":
                told["lasts"] = fault.seconds
                return self.ground.begin(fault.kind, fault.choice, fault.strength, self.family)
            case _:
                return self._befall(fault, told)

    def _befall(self, fault: Fault, told: dict[str, Any]) -> Callable[[], None] | None:
        up = [post for post in self.posts if self._is_up(post)]
        # Who is frozen is mostly left alone, for it is the return after a lease that is hard.
        awake = [post for post in self._working() if state_of(post.boss.pid) != "T"]
        post = self._drawn(awake or up, fault.choice)
        if post is None:
            told["pids"] = []
            return None
        children = post.boss.children()
        told |= {"route": post.route, "supervisor": post.boss.pid, "lasts": fault.seconds}
        match fault.kind:
            case "child killed" | "child frozen":
                victims = [self._drawn(children, fault.strength)] if children else []
            case "supervisor killed":
                # The kernel takes the children along.
                victims = [post.boss.pid, *children]
            case "supervisor told to stop" | "supervisor frozen":
                victims = [post.boss.pid]
            case _:
                victims = [post.boss.pid, *children]
        pids = told["pids"] = [pid for pid in victims if pid is not None]
        match fault.kind:
            case "child killed":
                self._signal(pids, signal.SIGKILL)
            case "supervisor killed":
                post.is_dismissed = True
                post.boss.kill()
            case "supervisor told to stop":
                post.is_dismissed = True
                self._signal(pids, signal.SIGTERM)
            case _:
                self._signal(pids, signal.SIGSTOP)
                return partial(self._thaw, pids)
        if post.is_dismissed:
            self._later(
                boottime() - self._began + fault.strength * self.pace(3.0), partial(self._replace, post)
            )
        return None

    def _signal(self, pids: Sequence[int], number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _thaw(self, pids: Sequence[int]) -> None:
        self._signal([pid for pid in pids if state_of(pid) == "T"], signal.SIGCONT)

    # Who is there

    def _tend(self) -> None:
        for post in self.posts:
            code = post.boss.process.poll()
            if code is None or post.is_dismissed:
                continue
            post.is_dismissed = True
            lived = boottime() - post.since
            if post.boss.pid in self._at_work:
                self.deserters.append(f"the supervisor at {post.route} left by itself with {code}")
            self._say(
                {"what": "left", "pid": post.boss.pid, "code": code, "route": post.route, "lived": lived}
            )
            self._later(boottime() - self._began + 1.0, partial(self._replace, post))
        for client in self.clients:
            if client.process.poll() is not None and not self._is_closed(client):
                client.process = self._client(client.door)
        for post in self.posts:
            if post.boss.pid not in self._at_work and boottime() - post.since > AT_WORK and self._is_up(post):
                self._at_work.add(post.boss.pid)

    @staticmethod
    def _is_closed(client: Client) -> bool:
        return client.process.stdin is None or client.process.stdin.closed

    def _replace(self, post: Post) -> None:
        post.boss = self._boss(post.route, post.prefix, post.children)
        post.since, post.is_dismissed = boottime(), False

    def _post(self, route: str, prefix: tuple[str, ...], children: int = 1) -> None:
        boss = self._boss(route, prefix, children)
        self.posts.append(Post(route, prefix, children, boss, boottime()))

    def _boss(self, route: str, prefix: tuple[str, ...], children: int) -> Boss:
        way = ("env", f"UNSTUCK_URL={self.ground.routes[route]}", *prefix)
        boss = self.crew.start("--processes", str(children), *PLACES, *QUEUES, prefix=way)
        if prefix:
            self._stepped.add(boss.pid)
        self._say({"what": "started", "pid": boss.pid, "route": route, "log": len(self.crew.bosses) - 1})
        return boss

    def _client(self, door: str) -> subprocess.Popen[bytes]:
        name = f"client{next(self._names)}"
        command = [sys.executable, "-m", "tests.chaos.clients", name, str(self.seed)]
        command += [str(self.folder / "client.jsonl"), str(self.rate), str(self.pace.lease)]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **leaks.mark(), "UNSTUCK_URL": door},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        self._say({"what": "started", "pid": process.pid, "client": name})
        return process

    def _working(self) -> list[Post]:
        """Supervisors of which a living child has run a handler."""
        self._seen |= {word.pid for word in self.crew.witness.fresh()}
        return [post for post in self.posts if self._is_up(post) and self._seen & set(post.boss.children())]

    def _is_up(self, post: Post) -> bool:
        return not post.is_dismissed and is_alive(post.boss.pid) and bool(post.boss.children())

    def _pids_of(self, post: Post) -> Iterator[int]:
        if is_alive(post.boss.pid):
            yield from (post.boss.pid, *post.boss.children())

    @staticmethod
    def _drawn(among: Sequence[Any], choice: float) -> Any:
        return among[int(choice * len(among))] if among else None

    def _later(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self._began + at, next(self._numbers), act))

    def _say(self, line: dict[str, Any]) -> None:
        line = {**line, "at": boottime(), "wall": time.time()}
        self.done.append(line)
        self._log.write(json.dumps(line).encode() + b"\n")
