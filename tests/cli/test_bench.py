"""unstuck bench: figures with their conditions, and nothing left behind."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import Bench, Shell
from tests.cli.terminal import COMMAND, Terminal
from unstuck.bench.measuring import of
from unstuck.model.errors import BadSetting
from unstuck.storage.opening import open_keeper

FIGURES = {
    "enqueue_one": "jobs/s",
    "enqueue_one_p50": "ms",
    "enqueue_one_p99": "ms",
    "enqueue_concurrent": "jobs/s",
    "enqueue_many": "jobs/s",
    "drain_async": "jobs/s",
    "drain_plain": "jobs/s",
    "latency_p50": "ms",
    "latency_p95": "ms",
    "latency_p99": "ms",
}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, timeout=150)


def checked(document: dict[str, Any], engine: str) -> None:
    figures, conditions = document["figures"], document["conditions"]
    assert {name: each["unit"] for name, each in figures.items()} == FIGURES
    assert all(each["value"] > 0 and each["jobs"] > 0 for each in figures.values())
    assert (
        figures["latency_p50"]["value"] <= figures["latency_p95"]["value"] <= figures["latency_p99"]["value"]
    )
    assert figures["enqueue_many"]["jobs"] % 10_000 == 0
    assert (conditions["engine"], conditions["processes"]) == (engine, 1)
    assert conditions["commit_p50_ms"] > 0
    for name in ("cores", "python", "version", "load_before", "load_after", "machine", "store"):
        assert conditions[name] not in ("", None), name


@pytest.mark.processes
def test_on_sqlite_in_a_file_of_its_own_beside_the_store(bench: Bench, url: str, tmp_path: Path) -> None:
    bench.enqueue(3)
    before = sorted(tmp_path.iterdir())
    done = run("--url", url, "bench", "--seconds", "2", "--processes", "1", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    checked(document, "sqlite")
    assert document["conditions"]["settings"]["synchronous"] == "full"
    assert str(tmp_path) in document["conditions"]["store"]
    assert sorted(tmp_path.iterdir()) == before
    assert len([job for job in bench.keeper.run(bench.keeper.store.queues()) if job.counts]) == 1


@pytest.mark.processes
def test_on_postgresql_in_tables_of_its_own(postgres_url: str) -> None:
    keeper = open_keeper(postgres_url)
    keeper.migrator.apply()

    def tables() -> list[Any]:
        with psycopg.connect(postgres_url) as connection:
            return connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY 1"
            ).fetchall()

    before = tables()
    done = run("bench", "--url", postgres_url, "--seconds", "2", "--processes", "1")
    assert done.returncode == 0, done.stderr
    for words in (
        "fsync",
        "synchronous_commit",
        "one commit",
        "cores",
        "load",
        "enqueue_many, 10,000 at once",
    ):
        assert words in done.stdout
    assert tables() == before
    keeper.close()


@pytest.mark.processes
def test_ctrl_c_leaves_nothing_behind(bench: Bench, url: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    terminal = Terminal("--url", url, "bench", "--seconds", "15", "--processes", "1")
    try:
        terminal.until("draining coroutines")
        terminal.type("\x03")
        code = terminal.end()
    except BaseException:
        os.kill(terminal.pid, signal.SIGINT)
        raise
    assert code == 130
    assert "unstuck: interrupted" in terminal.seen and "Traceback" not in terminal.seen
    assert sorted(tmp_path.iterdir()) == before
    listing = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in listing


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--seconds", "1"), "between 2 and 600"),
        (("--processes", "0"), "between 1 and 64"),
        (("--url", "memory://"), "lives in one process only"),
    ],
)
def test_a_wrong_wish_is_one_sentence(shell: Shell, url: str, words: tuple[str, ...], told: str) -> None:
    said = shell("--url", url, "bench", *words)
    assert (said.code, told in said.sentence) == (2, True)


def test_without_a_store_it_says_how_to_name_one(shell: Shell) -> None:
    assert "which store?" in shell("bench").sentence


def test_a_folder_that_is_not_there_is_one_sentence(shell: Shell, tmp_path: Path) -> None:
    said = shell("--url", f"sqlite:///{tmp_path}/nowhere/jobs.db", "bench")
    assert said.code == 1
    assert "there is no folder" in said.sentence


def test_percentiles_are_values_that_were_seen() -> None:
    assert [of([3.0, 1.0, 2.0], share) for share in (0.5, 0.95, 0.99)] == [2.0, 3.0, 3.0]
    assert of([], 0.5) == 0.0


def test_only_tables_that_were_drawn_for_a_run_are_ever_dropped(tmp_path: Path) -> None:
    from unstuck.demo.clearing import drop_tables

    keeper = open_keeper(f"sqlite:///{tmp_path}/jobs.db")
    for prefix in ("unstuck_", "unstuck_bench_", "shop_"):
        with pytest.raises(BadSetting):
            drop_tables(keeper, prefix)
    keeper.close()


def test_what_it_silences_speaks_again_afterwards(shell: Shell, tmp_path: Path) -> None:
    log = logging.getLogger("unstuck")
    before = log.level
    shell("--url", f"sqlite:///{tmp_path}/nowhere/jobs.db", "bench")
    assert log.level == before
