"""What a terminal, a pipe and a program are given; and that help is quick."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Bench, Shell
from tests.cli.terminal import COMMAND, Terminal
from unstuck.cli.showing import clean, counted
from unstuck.model.states import State


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Zürich ✓", "Zürich ✓"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("\u202eabc", "\\u202eabc"),
        ("\x9b2J", "\\x9b2J"),
        ("\ud800", "\\ud800"),
        ("[bold]", "[bold]"),
    ],
)
def test_a_text_is_shown_as_it_is_or_escaped(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_count_is_read_easily() -> None:
    assert [counted(n, "job") for n in (0, 1, 2000)] == ["0 jobs", "1 job", "2,000 jobs"]


def test_a_terminal_gets_a_table_that_the_store_cannot_repaint(bench: Bench, url: str) -> None:
    bench.enqueue(task="evil\u009b2J[bold]")
    terminal = Terminal("--url", url, "jobs", "list")
    assert terminal.end() == 0
    assert "\u2500" in terminal.seen, "a line of the table"
    assert "\u009b" not in terminal.seen
    flat = "".join(terminal.seen.split())
    assert "[bold]" in flat, "a name is no markup"


@pytest.mark.parametrize(("answer", "code", "state"), [("n\n", 1, State.READY), ("y\n", 0, State.CANCELLED)])
def test_a_change_by_filter_is_asked_about(
    bench: Bench, url: str, answer: str, code: int, state: State
) -> None:
    (id,) = bench.enqueue()
    terminal = Terminal("--url", url, "jobs", "cancel", "--queue", "default")
    terminal.until("cancel 1 job? [y/N]")
    assert "cancel: 1 job (1 ready)" in terminal.seen, "the count comes before the question"
    terminal.type(answer)
    assert terminal.end() == code
    assert bench.job(id).state is state


def test_ctrl_c_at_the_question_changes_nothing(bench: Bench, url: str) -> None:
    (id,) = bench.enqueue()
    terminal = Terminal("--url", url, "jobs", "cancel", "--queue", "default")
    terminal.until("[y/N]")
    # A Ctrl-C between two system calls is only noticed with the next key: people press it again.
    while "unstuck: interrupted" not in terminal.seen:
        terminal.type("\x03")
        terminal.hear(2.0)
    assert terminal.end() == 130
    assert "Traceback" not in terminal.seen
    assert bench.job(id).state is State.READY


def test_a_reader_that_leaves_is_no_error(bench: Bench, url: str) -> None:
    bench.enqueue(2000)
    command = [*COMMAND, "--url", url, "jobs", "list", "--limit", "2000", "--json"]
    # Unbuffered, Python itself takes half a write for a whole one, and there is no error to be quiet about.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 1
    assert errors == ""


def test_a_pipe_gets_plain_aligned_text(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue()
    head, row = shell("--url", url, "jobs", "list").out.splitlines()
    assert head.split() == ["id", "queue", "task", "state", "reason", "attempt", "created", "alarm"]
    assert row.index("default") == head.index("queue")
    assert row == row.rstrip()


def test_what_a_terminal_cannot_write_is_escaped_and_no_error(bench: Bench, url: str) -> None:
    bench.enqueue(task="t\u2713sk")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [*COMMAND, "--url", url, "jobs", "list"], env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"t\\u2713sk" in done.stdout


def test_help_loads_neither_engine_nor_storage_nor_rich(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom unstuck.cli.main import cli\n"
        "try: cli.main(['--help'], prog_name='unstuck')\nexcept SystemExit: pass\n"
        "heavy = ('rich', 'msgspec', 'psycopg', 'asyncio', 'unstuck.engine', 'unstuck.storage', 'unstuck.app')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
    assert "worker" in done.stdout


def test_an_interrupt_is_a_line_and_code_130(bench: Bench, url: str) -> None:
    program = (
        "import os, signal, sys\nfrom unstuck.cli import place\n"
        "place.check = lambda keeper: os.kill(os.getpid(), signal.SIGINT)\n"
        f"sys.argv[1:] = ['--url', {url!r}, 'jobs', 'list']\n"
        "from unstuck.cli.main import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr.strip() == "unstuck: interrupted"
