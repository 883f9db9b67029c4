"""What counts as a change of code."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from unstuck.cli.reloading import Watch, changed, snapshot


def touch(path: Path, text: str = "1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_only_sources_of_the_project_are_watched(tmp_path: Path) -> None:
    ours = {touch(tmp_path / "shop.py"), touch(tmp_path / "deep" / "er" / "tasks.py")}
    touch(tmp_path / "notes.txt")
    touch(tmp_path / ".hidden" / "x.py")
    touch(tmp_path / "__pycache__" / "x.py")
    touch(tmp_path / "node_modules" / "x.py")
    touch(tmp_path / "my-env" / "pyvenv.cfg")
    touch(tmp_path / "my-env" / "lib" / "x.py")
    assert set(snapshot(tmp_path)) == {str(path) for path in ours}


@pytest.mark.parametrize("what", ["changed", "added", "removed"])
def test_a_file_that_came_went_or_changed_is_named(tmp_path: Path, what: str) -> None:
    path = tmp_path / "tasks.py"
    if what != "added":
        touch(path)
    before = snapshot(tmp_path)
    assert changed(before, snapshot(tmp_path)) is None
    if what == "removed":
        path.unlink()
    else:
        touch(path, "2 + 2\n")
    assert changed(before, snapshot(tmp_path)) == str(path)


def test_a_change_that_keeps_the_size_is_seen_by_its_time(tmp_path: Path) -> None:
    path = touch(tmp_path / "tasks.py", "1\n")
    before = snapshot(tmp_path)
    touch(path, "2\n")
    os.utime(path, ns=(0, 1))
    assert changed(before, snapshot(tmp_path)) == str(path)


def test_the_watch_tells_once_on_its_own_thread(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    heard = threading.Event()

    def tell(path: str) -> None:
        told.append((path, threading.current_thread().name))
        heard.set()

    watch = Watch(tmp_path, every=0.01)
    watch.start(tell)
    path = touch(tmp_path / "tasks.py")
    assert heard.wait(30)
    watch.stop()
    assert told == [(str(path), "unstuck-reload")]
