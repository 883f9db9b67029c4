"""Bad input gets one clear sentence, a code, and nothing written."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Bench, Shell
from tests.servers import leaks
from unstuck.cli.refusing import line_of, without_password
from unstuck.model.errors import StoreUnavailable

BAD_CALLS = [
    # words, exit code, what the sentence must hold
    ((), "no command", 2, "Usage"),
    (("--url", "ftp://host/x", "jobs", "list"), "unknown scheme", 2, "ftp:// is no store"),
    (("--url", "jobs.db", "jobs", "list"), "no scheme", 2, "is no store"),
    (("--url", "sqlite://jobs.db", "jobs", "list"), "two slashes", 2, "does not name a file"),
    (("jobs", "list"), "no store", 2, "no store"),
    (("--url", "sqlite:///none.db", "jobs", "list"), "missing file", 2, "does not exist"),
    (("--url", "sqlite:///none.db", "doctor"), "missing file, doctor", 2, "does not exist"),
    (("--app", "nowhere:app", "worker"), "no such module", 2, "no module 'nowhere'"),
    (("--app", "shop", "worker"), "no colon", 2, "write package.module:app"),
    (("--app", "shop:nothing", "worker"), "no such name", 2, "has no 'nothing'"),
    (("--app", "shop:not_an_app", "worker"), "not an app", 2, "is a int, not an App"),
    (("--app", "broken:app", "worker"), "does not import", 2, "ZeroDivisionError"),
    (("--app", "broken:app", "dev"), "does not import, dev", 2, "ZeroDivisionError"),
    (("--app", "broken:app", "jobs", "list"), "does not import, list", 2, "ZeroDivisionError"),
    (("worker",), "worker without app", 2, "needs the app"),
    (("enqueue", "shop.add", "1"), "enqueue without app", 2, "needs the app"),
    (("--app", "shop:app", "worker", "--lease", "2s", "--poll", "1s"), "short lease", 2, "three polls"),
    (
        ("--app", "shop:app", "worker", "--lease", "soon"),
        "bad duration",
        2,
        "--lease='soon' is not a duration",
    ),
    (("--app", "shop:app", "worker", "--grace", "-1s"), "negative duration", 2, "--grace"),
    (("--app", "shop:app", "worker", "--processes", "0"), "no processes", 2, "processes must be 1"),
    (("--app", "shop:app", "worker", "-q", "mail:x"), "bad limit", 2, "after the colon"),
    (("--app", "shop:app", "worker", "-q", "mail:0"), "limit of nothing", 2, "after the colon"),
    (("--app", "shop:app", "worker", "-q", "a,a"), "queue twice", 2, "named twice"),
    (("--app", "shop:app", "worker", "-q", "a,,b"), "empty queue name", 2, "cannot name a queue"),
    (("--app", "shop:app", "worker", "--health-port", "high"), "bad port", 2, "is not a port"),
    (("--app", "shop:app", "--url", "memory://", "worker"), "memory for many", 2, "one process only"),
    (("--app", "shop:app", "--url", "sqlite:////nowhere/at/all/x.db", "worker"), "no folder", 1, "no folder"),
    (("--app", "shop:app", "enqueue", "shop.ad", "1"), "unknown task", 2, "did you mean shop.add?"),
    (("--app", "shop:app", "enqueue", "shop.add", "{"), "bad JSON", 2, "argument 1 is not JSON"),
    (("--app", "shop:app", "enqueue", "shop.greet", "Ada"), "bare text", 2, "write '\"Ada\"'"),
    (("--app", "shop:app", "enqueue", "shop.add", "NaN"), "NaN", 2, "not JSON"),
    (("--app", "shop:app", "enqueue", "shop.add", '"x"'), "wrong type", 2, "'a'"),
    (("--app", "shop:app", "enqueue", "shop.add"), "missing argument", 2, "'a'"),
    (
        ("--app", "shop:app", "enqueue", "shop.add", "a=1", "2"),
        "position after name",
        2,
        "positions come first",
    ),
    (("--app", "shop:app", "enqueue", "shop.add", "a=1", "a=2"), "twice", 2, "given twice"),
    (("--app", "shop:app", "enqueue", "shop.add", "1", "--delay", "later"), "bad delay", 2, "delay='later'"),
    (
        ("--app", "shop:app", "enqueue", "shop.add", "1", "--priority", "101"),
        "bad priority",
        2,
        "priority=101",
    ),
    (("--app", "shop:app", "enqueue", "shop.add", "1", "--label", "x"), "bad label", 2, "KEY=VALUE"),
    (("--app", "shop:app", "enqueue", "shop.greet", '"a\\u0000b"'), "NUL", 2, "'name'"),
    (("nonsense",), "unknown command", 2, "nonsense"),
    (("jobs", "list", "--nonsense"), "unknown option", 2, "--nonsense"),
]


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [pytest.param(words, code, text, id=name) for words, name, code, text in BAD_CALLS if words],
)
def test_a_bad_call_is_refused_in_one_sentence_and_writes_nothing(
    shell: Shell, shop: str, tmp_path: Path, words: tuple[str, ...], code: int, fragment: str
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    said = shell(*words)
    assert fragment in said.sentence
    assert said.code == code
    assert not list(tmp_path.glob("*.db*")), "a refused command must not create a store"


BAD_CHOICES = [
    (("jobs", "list", "--state", "lost"), 2, "is not a state"),
    (("jobs", "list", "--reason", "mood"), 2, "is not a reason"),
    (("jobs", "list", "--label", "x"), 2, "KEY=VALUE"),
    (("jobs", "list", "--limit", "0"), 2, "--limit"),
    (("jobs", "show", "nobody"), 1, "there is no job 'nobody'"),
    (("jobs", "explain", "nobody"), 1, "there is no job 'nobody'"),
    (("jobs", "cancel"), 2, "say which jobs"),
    (("jobs", "retry"), 2, "say which jobs"),
    (("jobs", "delete", "--yes"), 2, "say which jobs"),
    (("workers", "stop"), 2, "say which workers"),
    (("queues", "pause", "two words"), 2, "cannot name a queue"),
]


@pytest.mark.parametrize(("words", "code", "fragment"), BAD_CHOICES, ids=lambda part: str(part)[:40])
def test_a_bad_choice_is_refused_in_one_sentence(
    shell: Shell, bench: Bench, url: str, words: tuple[str, ...], code: int, fragment: str
) -> None:
    bench.enqueue()
    said = shell("--url", url, *words)
    assert fragment in said.sentence
    assert said.code == code


READERS = [("jobs", "list"), ("queues", "list"), ("workers", "list"), ("doctor",), ("migrate", "status")]


def fingerprint(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("words", [*READERS, ("migrate", "apply"), ("queues", "pause", "q")], ids=" ".join)
def test_a_file_that_is_no_database_is_refused_and_left_alone(
    shell: Shell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    file = tmp_path / "jobs.db"
    file.write_bytes(b"this is a letter to my aunt, not a database\n" * 100)
    before = fingerprint(file)
    said = shell("--url", f"sqlite:///{file}", *words)
    text = said.out if words == ("doctor",) else said.sentence
    assert "not a database" in text
    assert said.code == 1
    assert fingerprint(file) == before


@pytest.mark.parametrize("words", [*READERS[:4], ("queues", "pause", "q")], ids=" ".join)
def test_a_database_without_our_tables_is_refused_with_the_remedy(
    shell: Shell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE customers (name text)")
    other.close()
    said = shell("--url", f"sqlite:///{file}", *words)
    assert "unstuck migrate apply" in said.sentence
    assert said.code == 2
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]
    other.close()


def test_a_worker_does_not_migrate_a_database_that_was_there(shell: Shell, shop: str, tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE customers (name text)")
    other.close()
    for words in (("worker",), ("dev", "--log-level", "error"), ("enqueue", "shop.add", "1")):
        said = shell("--app", shop, "--url", f"sqlite:///{file}", *words)
        assert "unstuck migrate apply" in said.sentence, words
        assert said.code == 2


def test_a_store_of_a_newer_version_is_refused(shell: Shell, bench: Bench, url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "jobs.db") as raw:
        raw.execute(
            "INSERT INTO unstuck_migrations (number, name, checksum, applied_at)"
            " VALUES (9999, 'the future', 'x', 0)"
        )
    raw.close()
    doctor = shell("--url", url, "doctor")
    assert (doctor.code, "9999" in doctor.out) == (1, True)
    for words in (*READERS[:3], ("queues", "pause", "q"), ("migrate", "apply")):
        said = shell("--url", url, *words)
        assert "9999" in said.sentence, words
        assert said.code == 2, words
    assert shell("--url", url, "migrate").code == 1


def test_a_store_that_is_down_is_one_sentence_without_its_password(shell: Shell) -> None:
    address = "postgresql://ada:sesame@127.0.0.1:1/jobs"
    for words in (("jobs", "list"), ("migrate", "status"), ("queues", "pause", "q")):
        said = shell("--url", address, *words)
        assert "127.0.0.1" in said.sentence or "refused" in said.sentence
        assert "sesame" not in said.err
        assert said.code == 1
    said = shell("--url", address, "doctor")
    assert said.code == 1
    assert "WRONG" in said.out
    assert "sesame" not in said.out + said.err


@contextmanager
def without_power() -> Iterator[None]:
    """Root may write everywhere: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_written_is_refused_in_one_sentence(shell: Shell) -> None:
    with tempfile.TemporaryDirectory(prefix=leaks.PREFIX) as name:
        folder = Path(name)
        address = f"sqlite:///{folder}/jobs.db"
        assert shell("--url", address, "migrate", "apply").code == 0
        assert shell("--url", address, "queues", "list").code == 0
        folder.chmod(0o555)
        for file in folder.iterdir():
            file.chmod(0o444)
        before = fingerprint(folder / "jobs.db")
        with without_power():
            said = shell("--url", address, "queues", "pause", "mail")
        folder.chmod(0o755)
        assert str(folder) in said.sentence
        assert said.code == 1
        assert fingerprint(folder / "jobs.db") == before


def test_a_traceback_comes_only_when_it_is_asked_for(shell: Shell) -> None:
    plain = shell("--url", "ftp://x", "jobs", "list")
    assert "Traceback" not in plain.err
    asked = shell("--traceback", "--url", "ftp://x", "jobs", "list")
    assert "Traceback" in asked.err
    assert asked.err.splitlines()[-1].startswith("unstuck: ")
    assert asked.code == 2


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach postgresql://ada:sesame@db/jobs",
        "bad conninfo host=db password=sesame user=ada",
        "bad conninfo password='ses ame' user=ada",
    ],
)
def test_passwords_are_never_printed(text: str) -> None:
    assert "ses" not in without_password(text)
    assert "ses" not in line_of(StoreUnavailable(text))


def test_an_error_is_one_line_however_the_driver_broke_it() -> None:
    line = line_of(StoreUnavailable("could not\n\tconnect \x1b[31mred\r\n"))
    assert line == "unstuck: could not connect \\x1b[31mred"


def test_an_unexpected_error_is_a_line_as_well(
    shell: Shell, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unstuck.cli.place.Place.keeper", lambda place: 1 / 0)
    said = shell("--url", url, "jobs", "list")
    assert "unexpected ZeroDivisionError" in said.sentence
    assert said.code == 1
