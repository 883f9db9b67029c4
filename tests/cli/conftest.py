"""A shop with a few tasks in a folder of its own, a store, and a shell that remembers neither.

`shell("jobs", "list")` runs a command in this process and answers its code, output and errors. `bench` is
a hand at the store behind the command line: it enqueues, claims and settles through the promises, so that
a test can put a job into any state without a worker.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from unstuck.cli.main import cli
from unstuck.model.ids import uuid7
from unstuck.model.job import ClaimedJob, ErrorInfo, Job, NewJob
from unstuck.model.worker import NewWorker
from unstuck.rules import judging
from unstuck.storage.opening import Keeper, open_keeper

SHOP = """
from unstuck import App

app = App({url!r})
not_an_app = 7

@app.task
def add(a: int, b: int = 1) -> int:
    return a + b

@app.task(queue="mail", tries=1)
def greet(name: str) -> str:
    return f"Hello, {{name}}"
"""

LEASE_US = 600_000_000


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line of an error; fails where there is more, or anything on standard output."""
        assert self.out == "", f"an error must leave standard output alone: {self.out!r}"
        lines = self.err.splitlines()
        assert len(lines) == 1, f"an error is one line, not:\n{self.err}"
        assert lines[0].startswith("unstuck: ")
        return lines[0].removeprefix("unstuck: ")


Shell = Callable[..., Said]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    def run(*args: str, input: str | None = None, env: dict[str, str] | None = None) -> Said:
        before = set(sys.modules)
        done = CliRunner().invoke(cli, args, input=input, env=env, prog_name="unstuck")
        _forget(set(sys.modules) - before, tmp_path)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    return run


def _forget(names: set[str], folder: Path) -> None:
    """Each command meets the application anew, as a process of its own would."""
    for name in names:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("UNSTUCK_APP", "UNSTUCK_URL", "UNSTUCK_PREFIX", "UNSTUCK_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def shop(tmp_path: Path, url: str) -> str:
    """The name of an application whose file is `shop.py` here, on the store `url`."""
    (tmp_path / "shop.py").write_text(SHOP.format(url=url))
    return "shop:app"


@dataclass
class Bench:
    """The store behind the command line."""

    keeper: Keeper
    worker_id: UUID | None = None

    def enqueue(self, number: int = 1, **fields: Any) -> list[UUID]:
        said = {"queue": "default", "task": "shop.add", "args": '{"a":1}', **fields}
        jobs = [NewJob(id=uuid7(), **said) for _ in range(number)]
        return [answer.id for answer in self.keeper.run(self.keeper.store.insert(jobs))]

    def work(
        self, queues: Sequence[str] = ("default",), tasks: Sequence[str] = ("shop.add",), **fields: Any
    ) -> UUID:
        """Register a worker, which stays the one that claims."""
        said = {
            "kind": "solo",
            "supervisor_id": None,
            "host": "here",
            "pid": 1,
            "lease_us": LEASE_US,
            **fields,
        }
        self.worker_id = uuid7()
        worker = NewWorker(id=self.worker_id, queues=tuple(queues), tasks=tuple(tasks), **said)
        self.keeper.run(self.keeper.store.register(worker))
        return self.worker_id

    def claim(self, number: int = 1, queue: str = "default", task: str = "shop.add") -> list[ClaimedJob]:
        worker_id = self.worker_id or self.work([queue], [task])
        claimed = self.keeper.run(self.keeper.store.claim(worker_id, queue, [task], number))
        assert len(claimed) == number
        return claimed

    def fail(self, job: ClaimedJob, error: ErrorInfo | None = None) -> None:
        assert self.worker_id is not None
        said = error or ErrorInfo("ValueError", "out of stock", "Traceback:\n  line 1")
        self.keeper.run(
            self.keeper.store.settle(
                [judging.failed(job, uuid7(), self.worker_id, said, 0.5, may_retry=False)]
            )
        )

    def succeed(self, job: ClaimedJob, result: str = "2") -> None:
        assert self.worker_id is not None
        self.keeper.run(self.keeper.store.settle([judging.succeeded(job, uuid7(), self.worker_id, result)]))

    def job(self, job_id: UUID) -> Job:
        found = self.keeper.run(self.keeper.store.get(job_id))
        assert found is not None
        return found


@pytest.fixture
def bench(url: str) -> Iterator[Bench]:
    """The store at `url`, with its tables."""
    keeper = open_keeper(url)
    keeper.migrator.apply()
    yield Bench(keeper)
    keeper.close()
