"""`unstuck worker` and `unstuck dev` as real processes: started, asked, stopped, begun again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Bench, Shell
from unstuck.model.states import State
from unstuck.storage.opening import open_keeper

pytestmark = pytest.mark.processes

PATIENCE_SECONDS = 45.0

SHOP = """
import os, pathlib, time
from unstuck import App

with open("imported", "a") as file:
    file.write(f"{{os.getpid()}}\\n")

app = App({url!r})
VERSION = 1

@app.task
def add(a: int, b: int = 1) -> int:
    return a + b

@app.task
def version() -> int:
    return VERSION

@app.task
def wait_for(name: str) -> str:
    pathlib.Path(name + ".started").touch()
    while not pathlib.Path(name).exists():
        time.sleep(0.02)
    return name
"""


def until(fact: Callable[[], Any], what: str, log: Path) -> Any:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = fact()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true; the log says:\n{log.read_text()}")


class Running:
    """A command in the background, its log in a file."""

    def __init__(self, folder: Path, *words: str, env: dict[str, str] | None = None):
        self.log = folder / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "unstuck", *words],
                cwd=folder,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


Start = Callable[..., Running]


@pytest.fixture
def shop(tmp_path: Path, url: str) -> str:
    (tmp_path / "shop.py").write_text(SHOP.format(url=url))
    return "shop:app"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def run(*words: str, env: dict[str, str] | None = None) -> Running:
        started.append(Running(tmp_path, *words, env=env))
        return started[-1]

    yield run
    for one in started:
        one.close()


def has_ended(bench: Bench, id: Any) -> Callable[[], bool]:
    return lambda: bench.job(id).is_final


def test_a_worker_makes_its_store_works_tells_its_health_and_leaves_clean(
    shell: Shell, start: Start, shop: str, url: str, tmp_path: Path
) -> None:
    worker = start("--app", shop, "worker", "--lease", "5s", "--sweep", "1s", "--health-port", "0")
    port = until(lambda: _port(worker.log), "the port of health", worker.log)
    assert until(lambda: _asked(port, "/readyz")[0] == 200, "readiness", worker.log)
    code, report = _asked(port, "/livez")
    assert (code, report["live"], len(report["workers"])) == (200, True, 2)
    assert _asked(port, "/")[0] == 404
    bench = Bench(open_keeper(url))
    (id,) = bench.enqueue(args='{"a":41}')
    until(has_ended(bench, id), "the end of the job", worker.log)
    assert bench.job(id).result == "42"
    assert shell("--url", url, "doctor").code == 0
    imported = (tmp_path / "imported").read_text().split()
    assert str(worker.process.pid) not in imported, "the supervisor never imports the app"
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    ended = shell("--url", url, "workers", "list", "--all", "--json").json["workers"]
    assert {row["reason"] for row in ended} == {"stopped"}
    bench.keeper.close()


def test_the_url_reaches_the_children(shell: Shell, start: Start, shop: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    worker = start("--app", shop, "--url", "sqlite:///other.db", "worker", "--lease", "5s")
    until(lambda: "worker of shop:app" in worker.log.read_text(), "the banner", worker.log)
    bench = Bench(open_keeper(other))
    (id,) = bench.enqueue()
    until(has_ended(bench, id), "the end of the job", worker.log)
    assert not (tmp_path / "jobs.db").exists()
    bench.keeper.close()


def test_workers_that_start_at_once_share_a_new_store(start: Start, shop: str, url: str) -> None:
    workers = [start("--app", shop, "worker", "--lease", "5s") for _ in range(3)]
    bench: Bench | None = None
    log = workers[0].log

    def all_are_there() -> bool:
        nonlocal bench
        bench = bench or Bench(open_keeper(url))
        kinds = [worker.kind for worker in bench.keeper.run(bench.keeper.store.workers())]
        return kinds.count("child") == 3

    until(lambda: log.read_text().count("worker of shop:app") == 3, "three banners", log)
    until(all_are_there, "three children", log)
    for worker in workers:
        worker.signal(signal.SIGTERM)
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert bench is not None
    bench.keeper.close()


def test_a_second_signal_hands_back_what_runs(start: Start, shop: str, bench: Bench, tmp_path: Path) -> None:
    worker = start("--app", shop, "worker", "--lease", "5s")
    (id,) = bench.enqueue(task="shop.wait_for", args='{"name":"go"}')
    until((tmp_path / "go.started").exists, "the start of the job", worker.log)
    worker.signal(signal.SIGINT)
    until(lambda: _drains(bench), "draining", worker.log)
    worker.signal(signal.SIGINT)
    assert worker.wait() == 0
    job = bench.job(id)
    assert (job.state, job.attempt, job.handbacks) == (State.READY, 1, 1)
    assert "Traceback" not in worker.log.read_text()


def test_a_worker_leaves_when_an_operator_says_so(
    shell: Shell, start: Start, shop: str, bench: Bench, url: str
) -> None:
    worker = start("--app", shop, "worker", "--lease", "5s", "--sweep", "1s")
    (id,) = bench.enqueue()
    until(has_ended(bench, id), "the end of the job", worker.log)
    assert shell("--url", url, "workers", "stop", "--all").code == 0
    assert worker.wait() == 0
    assert shell("--url", url, "workers", "list", "--json").json["workers"] == []


def test_a_quiet_worker_finishes_what_it_runs_and_stays(
    shell: Shell, start: Start, shop: str, bench: Bench, url: str, tmp_path: Path
) -> None:
    worker = start("--app", shop, "worker", "--lease", "5s", "--sweep", "500ms")
    (running,) = bench.enqueue(task="shop.wait_for", args='{"name":"go"}')
    until((tmp_path / "go.started").exists, "the start of the job", worker.log)
    assert shell("--url", url, "workers", "quiet", "--all").code == 0
    until(lambda: set(_statuses(shell, url)) == {"quiet"}, "everybody is quiet", worker.log)
    (later,) = bench.enqueue()
    (tmp_path / "go").touch()
    until(has_ended(bench, running), "the end of the job", worker.log)
    assert bench.job(running).state is State.SUCCEEDED
    assert worker.process.poll() is None
    assert _statuses(shell, url) == ["quiet", "quiet"]
    said = shell("--url", url, "jobs", "explain", str(later)).out
    assert "quiet or leaving" in said
    assert shell("--url", url, "workers", "stop", "--all").code == 0
    assert worker.wait() == 0
    assert bench.job(later).state is State.READY
    assert bench.job(later).fence == 0


def test_dev_begins_again_when_the_code_changes(
    start: Start, shop: str, bench: Bench, tmp_path: Path
) -> None:
    source = tmp_path / "shop.py"
    dev = start("--app", shop, "dev", "--lease", "5s")

    def result_of_version() -> Any:
        (id,) = bench.enqueue(task="shop.version", args="{}")
        until(has_ended(bench, id), "the end of the job", dev.log)
        return json.loads(bench.job(id).result or "null")

    assert result_of_version() == 1
    source.write_text(source.read_text().replace("VERSION = 1", "VERSION = 1 +"))
    until(lambda: "waiting for the next change" in dev.log.read_text(), "the sentence", dev.log)
    assert "unstuck: the app 'shop:app' does not import: SyntaxError" in dev.log.read_text()
    source.write_text(source.read_text().replace("VERSION = 1 +", "VERSION = 22"))
    assert result_of_version() == 22
    imported = set((tmp_path / "imported").read_text().split())
    assert imported == {str(dev.process.pid)}, "one process, before and after"
    dev.signal(signal.SIGINT)
    assert dev.wait() == 0
    assert "Traceback" not in dev.log.read_text()


def test_dev_on_memory_is_allowed(start: Start, shop: str, tmp_path: Path) -> None:
    dev = start("--app", shop, "--url", "memory://", "dev", "--lease", "5s")
    until(lambda: "dev worker of shop:app on memory://" in dev.log.read_text(), "the banner", dev.log)
    dev.signal(signal.SIGTERM)
    assert dev.wait() == 0


def test_a_worker_on_postgres(start: Start, shop: str, shell: Shell, postgres_url: str) -> None:
    refused = start("--app", shop, "--url", postgres_url, "worker", "--lease", "5s")
    assert refused.wait() == 2
    assert "unstuck migrate apply" in refused.log.read_text()
    assert shell("--url", postgres_url, "migrate", "apply").code == 0
    worker = start("--app", shop, "--url", postgres_url, "worker", "--lease", "5s")
    bench = Bench(open_keeper(postgres_url))
    (id,) = bench.enqueue(args='{"a":41}')
    until(has_ended(bench, id), "the end of the job", worker.log)
    assert bench.job(id).result == "42"
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    bench.keeper.close()


def _statuses(shell: Shell, url: str) -> list[str]:
    return [worker["status"] for worker in shell("--url", url, "workers", "list", "--json").json["workers"]]


def _drains(bench: Bench) -> bool:
    workers = bench.keeper.run(bench.keeper.store.workers())
    return any(worker.draining_at for worker in workers)


def _port(log: Path) -> int | None:
    _, found, rest = log.read_text().partition("health is served on http://127.0.0.1:")
    return int(rest.partition("/")[0]) if found else None


def _asked(port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
