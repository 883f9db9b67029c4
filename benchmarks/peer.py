"""What a peer must say of itself: one small class in a file of its own under benchmarks/peers/.

The class is imported in two places. The harness reads only its constants, in an environment that has none of
the peers installed, so the peer's packages are imported inside the methods. Its methods run in the peer's own
environment, in an agent: a client that enqueues and counts, or a worker.

Settings are those that the peer's documentation recommends for production and throughput, and `settings` says
them in one line, because a comparison without them is worth nothing. Durable means: `enqueue` returns after
the commit, and `unfinished` asks the peer's own storage, not the harness's page.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import ClassVar


class Peer:
    """One contender; a variant with other settings is a subclass with another name."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    """What to install by name; versions of the first are shown."""
    settings: ClassVar[str]
    store: ClassVar[str] = "postgres"
    """Where its jobs are: "postgres", "redis" or "sqlite"."""
    modes: ClassVar[tuple[str, ...]] = ("async",)
    """Kinds of handlers it runs: "async" functions, "sync" (plain) ones, or both."""
    expected: ClassVar[int] = 1000
    """About how many empty jobs one worker process ends per second: the size of the first round."""
    environment: ClassVar[str] = ""
    """Variants share an environment under this name; "own" is that of the tree being measured."""
    language: ClassVar[str] = "python"
    can_enqueue_concurrently: ClassVar[bool] = False
    can_enqueue_many: ClassVar[bool] = False

    def __init__(self, url: str, mode: str = "async"):
        self.url = url
        self.mode = mode

    def prepare(self) -> None:
        """Make tables, or whatever an empty store needs."""

    async def open(self) -> None:
        """Connect as a client."""

    async def close(self) -> None:
        """Disconnect."""

    async def enqueue(self, n: int) -> None:
        """Enqueue job number `n`, durable on return; a blocking client simply blocks."""
        raise NotImplementedError

    async def aenqueue(self, n: int) -> None:
        """The same, called by many coroutines at once."""
        raise NotImplementedError

    async def enqueue_many(self, numbers: Sequence[int]) -> None:
        """Enqueue all of them, the quickest way the peer has."""
        for n in numbers:
            await self.enqueue(n)

    async def unfinished(self) -> int:
        """How many jobs the peer's storage has not recorded as ended (any number above 0 will do)."""
        raise NotImplementedError

    def work(self, processes: int) -> None:
        """Be a worker until SIGTERM."""
        raise NotImplementedError

    @classmethod
    def workers(cls, url: str, mode: str, processes: int) -> list[list[str]]:
        """The commands that start the workers, run in the peer's environment: one each unless said otherwise."""
        return [worker_command(cls, url, mode, 1)] * processes


def worker_command(peer: type[Peer], url: str, mode: str, processes: int) -> list[str]:
    """The command of an agent that is a worker."""
    return [sys.executable, "-m", "benchmarks.agent", "work", peer.name, url, mode, str(processes)]


def place() -> tuple[str, str]:
    """URL and mode for modules that a peer's own command line imports, and that take no arguments."""
    return os.environ["UNSTUCK_BENCH_URL"], os.environ["UNSTUCK_BENCH_MODE"]
