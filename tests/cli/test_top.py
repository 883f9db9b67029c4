"""unstuck top: figures of one bounded question, live or once, and a store that goes and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Bench, Shell
from tests.cli.terminal import Terminal
from unstuck.cli.top_figures import figures_of, lines_of, percentile
from unstuck.cli.top_view import drawn
from unstuck.model.ids import uuid7
from unstuck.storage.protocol import PULSE_SAMPLE, Depth, Pulse

REPORT = (
    '{"recent":{"seconds":2.0,"started":10,"ended":8,"failed":2},"loops":{"looking":0.4},"sweep":5,"poll":1}'
)


@pytest.fixture
def busy(bench: Bench) -> Bench:
    """Three ready jobs, two running, one of a worker that has gone, and reports."""
    bench.enqueue(6)
    gone = bench.work(["default"])
    (left,) = bench.claim(1)
    bench.keeper.run(bench.keeper.store.end_worker(gone, "died of SIGKILL"))
    worker = bench.work(["default"])
    bench.claim(2)
    bench.keeper.run(bench.keeper.store.renew([worker], 600_000_000, {worker: REPORT}))
    assert left.fence == 1
    return bench


def test_one_document_tells_everything(shell: Shell, busy: Bench, url: str) -> None:
    found = shell("--url", url, "top", "--json").json
    assert found["store"].startswith("sqlite:///")
    rates = found["per_second"]
    assert (rates["started"], rates["ended"], rates["failed"], rates["reporting"]) == (5.0, 4.0, 1.0, 1)
    assert (rates["arrived"], rates["arrived_at_least"]) == (0.6, False)
    (queue,) = found["queues"]
    assert (queue["queue"], queue["ready"], queue["ready_at_least"], queue["is_paused"]) == (
        "default",
        3,
        False,
        False,
    )
    assert found["latency"]["jobs"] == 3
    assert 0 <= found["latency"]["p50_ms"] <= found["latency"]["p95_ms"]
    assert found["recoveries"] == {
        "workers_lost": 0,
        "workers_crashed": 1,
        "late_endings": 0,
        "jobs_to_recover": 1,
    }
    (worker,) = found["workers"]
    assert (worker["running"], worker["status"], worker["per_second"]["ended"]) == (2, "working", 4.0)
    assert worker["loops_seconds"]["looking"] >= 0.4


def test_ready_jobs_are_counted_no_further_than_asked(shell: Shell, busy: Bench, url: str) -> None:
    (queue,) = shell("--url", url, "top", "--json", "--depth", "2").json["queues"]
    assert (queue["ready"], queue["ready_at_least"]) == (2, True)
    assert "queue default: 2+ ready" in shell("--url", url, "top", "--once", "--depth", "2").out


def test_one_picture_as_text(shell: Shell, busy: Bench, url: str) -> None:
    said = shell("--url", url, "top", "--once")
    assert said.code == 0
    assert "per second: 0.6 enqueued, 5.0 started, 4.0 ended, 1.0 failed" in said.out
    assert "1 crashed" in said.out and "1 jobs of theirs are being recovered" in said.out
    assert "solo 1 on here: working, 2 running, 4.0/s, looking" in said.out


def test_an_empty_store_says_so(shell: Shell, bench: Bench, url: str) -> None:
    said = shell("--url", url, "top", "--once").out
    for words in ("no worker reports", "nothing started", "nothing is ready", "no worker is running"):
        assert words in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--interval", "0.1s"), "no shorter than 0.2 s"),
        (("--interval", "soon"), "--interval"),
        (("--depth", "0"), "between 1 and 1,000,000"),
    ],
)
def test_a_wrong_wish_is_one_sentence(
    shell: Shell, bench: Bench, url: str, words: tuple[str, ...], told: str
) -> None:
    said = shell("--url", url, "top", *words)
    assert said.code == 2
    assert told in said.sentence


def test_a_store_that_is_not_there_is_one_sentence(shell: Shell, url: str) -> None:
    said = shell("--url", url, "top")
    assert said.code == 2
    assert "there is no store at" in said.sentence


# Figures


def pulse(**fields: Any) -> Pulse:
    plain: dict[str, Any] = dict.fromkeys(
        ("depths", "arrived_us", "waited_us", "workers", "gone", "notices"), ()
    )
    return Pulse(**{"now_us": 1, "alarms": {}, **plain, **fields})


def test_percentiles_are_values_that_were_seen() -> None:
    hundred = [1000 * each for each in range(1, 101)]
    assert (percentile(hundred, 0.5), percentile(hundred, 0.95)) == (50.0, 95.0)
    assert (percentile([7000], 0.5), percentile([7000], 0.95), percentile([], 0.5)) == (7.0, 7.0, None)


def test_a_burst_that_fills_the_sample_is_at_least_so_many() -> None:
    figures = figures_of(pulse(arrived_us=[10_000] * PULSE_SAMPLE), "x", 10, 0.0)
    assert (figures.rates.arrived, figures.rates.arrived_at_least) == (PULSE_SAMPLE, True)
    steady = pulse(arrived_us=[each * 10_000 for each in range(PULSE_SAMPLE)])
    figures = figures_of(steady, "x", 10, 0.0)
    assert figures.rates.arrived == pytest.approx(100, rel=0.01)
    assert not figures.rates.arrived_at_least


def test_a_worker_whose_lease_is_over_tells_no_rate(busy: Bench) -> None:
    seen = busy.keeper.run(busy.keeper.store.pulse(10))
    silent = replace(seen, workers=[replace(each, lease_left_us=-1) for each in seen.workers])
    assert figures_of(silent, "x", 10, 0.0).rates.reporting == 0


def test_what_does_not_fit_the_screen_is_counted_and_nothing_is_markup(busy: Bench) -> None:
    depths = [Depth(f"[red]q{number}\x1b[2J", number, 1, False) for number in range(100)]
    seen = busy.keeper.run(busy.keeper.store.pulse(10))
    many = [replace(seen.workers[0], id=uuid7()) for _ in range(100)]
    figures = figures_of(replace(seen, depths=depths, workers=many), "x", 10, 0.0)
    from rich.console import Console

    console = Console(width=120, height=30, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(*drawn(figures, 30), sep="\n")
    text = console.export_text()
    assert "more queues" in text and "more workers" in text
    assert "[red]q99\\x1b[2J" in text
    assert len(text.splitlines()) <= 30
    assert any("queue [red]q0" in line for line in lines_of(figures))


# Live


def test_on_a_terminal_it_takes_the_screen_and_gives_it_back(busy: Bench, url: str) -> None:
    terminal = Terminal("--url", url, "top", "--interval", "0.2s")
    try:
        terminal.until("due to start: p50")
        terminal.type("\x03")
        code = terminal.end()
    except BaseException:
        terminal.close()
        raise
    assert code == 0
    assert terminal.seen.index("\x1b[?1049h") < terminal.seen.rindex("\x1b[?1049l")
    assert "Traceback" not in terminal.seen and "interrupted" not in terminal.seen


@pytest.fixture
def live(
    url: str, bench: Bench, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str], str]]]:
    log = tmp_path / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "unstuck", "--url", url, "top", "--interval", "0.2s"],
            stdout=sink,
            stderr=sink,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def saw(words: str) -> str:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            last = (log.read_text().splitlines() or [""])[-1]
            if words in last:
                return last
            time.sleep(0.05)
        raise AssertionError(f"{words!r} is not the last word of\n{log.read_text()}")

    yield process, saw
    process.kill()
    process.wait()


def test_a_store_that_goes_away_is_said_and_one_that_comes_back_is_shown(
    live: tuple[subprocess.Popen[bytes], Callable[[str], str]], bench: Bench, tmp_path: Path
) -> None:
    process, saw = live
    saw("0 ready")
    (tmp_path / "jobs.db").rename(tmp_path / "away")
    saw("the store does not answer for")
    (tmp_path / "away").rename(tmp_path / "jobs.db")
    saw("0 ready")
    bench.enqueue(3)
    saw("3 ready")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
