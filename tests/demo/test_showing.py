"""The demo itself, as a user starts it: real processes, real kills, on both engines."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(150)]

FILES = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 real sources, and a few files that are hard to look at."""
    folder = tmp_path_factory.mktemp("sources")
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    for number in range(FILES - 4):
        source = library[number % len(library)]
        (folder / f"{number:03} {source.name}").write_bytes(source.read_bytes())
    (folder / "no syntax.py").write_text("def (")
    (folder / "no text.py").write_bytes(b"\xff\x00")
    (folder / "empty").write_bytes(b"")
    (folder / os.fsdecode(b"\xff\xfe name")).write_text("x")
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Temporary folders go below one of ours, which must be empty afterwards."""
    place = tmp_path / "temporary"
    place.mkdir()
    yield {**os.environ, "TMPDIR": str(place)}
    assert list(place.iterdir()) == []


def demo(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "unstuck", "demo", *arguments]


def check(run: subprocess.CompletedProcess[str]) -> None:
    said = run.stdout + run.stderr
    assert run.returncode == 0, said
    for line in (rf"files +{FILES}\b", rf"results +{FILES}\b", r"lost +0$", r"doubled +0$", r"wrong +0$"):
        assert re.search(f"^{line}", run.stdout, re.MULTILINE), f"no line {line!r} in:\n{said}"
    again = re.search(r"^ran again +(\d+); attempts lost by the kills: (\d+)$", run.stdout, re.MULTILINE)
    assert again is not None and int(again[1]) == int(again[2]) > 0, said
    # A child may be killed in a moment in which it owns nothing; the supervisor goes with a load on.
    assert len(re.findall(r"^time to recover  (?:child|supervisor) ", run.stdout, re.MULTILINE)) == 2, said
    assert re.search(r"^time to recover  supervisor .* s until the last of", run.stdout, re.MULTILINE), said


def test_nothing_is_lost_on_sqlite(folder: Path, environment: dict[str, str]) -> None:
    check(subprocess.run(demo(str(folder)), env=environment, capture_output=True, text=True, check=False))


def test_nothing_is_lost_on_postgres_and_no_table_is_left(
    folder: Path, environment: dict[str, str], postgres_url: str
) -> None:
    command = demo(str(folder), "--url", postgres_url)
    check(subprocess.run(command, env=environment, capture_output=True, text=True, check=False))
    with psycopg.connect(postgres_url) as connection:
        left = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'unstuck%'").fetchall()
    assert left == []


def test_an_interrupt_leaves_no_process_and_no_folder(folder: Path, environment: dict[str, str]) -> None:
    command = demo(str(folder))
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "SIGKILL for a child" in line:
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait() == 130
        # Whoever was started is in a session of its own; what is left is found by the mark of this test run.


def test_an_empty_folder_is_refused_in_one_line(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "empty").mkdir()
    command = demo(str(tmp_path / "empty"))
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1 and "there is no file" in run.stderr
