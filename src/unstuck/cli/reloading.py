"""Noticing that code has changed, so that `unstuck dev` can begin again.

Once a second the `.py` files below the application's folder are compared by size and time of change. A
thread does that: it goes on while a handler holds the loop, and asks nothing of the user's code. Folders that
hold other people's code or nobody's (hidden ones, caches, environments, node_modules) are left out. Where
`watchfiles` is installed, the operating system is asked instead. A change is told once, with one of the
files that changed; whoever is told stops what runs and starts the process anew, because a module that was
imported cannot be taken back.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

EVERY_SECONDS = 1.0
LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "build", "dist"})

Snapshot = dict[str, tuple[int, int]]


def folder_of(application: str) -> Path:
    """The folder to watch: that of the top package of `package.module:app`, or of the module alone."""
    top = application.partition(":")[0].partition(".")[0]
    module = sys.modules.get(top)
    file = getattr(module, "__file__", None)
    if file is not None:
        return Path(file).resolve().parent
    for entry in getattr(module, "__path__", ()):
        return Path(entry).resolve()
    return Path.cwd()


def snapshot(folder: Path) -> Snapshot:
    """Size and time of change of every file that is watched."""
    found: Snapshot = {}
    for path in _sources(folder):
        try:
            status = path.stat()
        except OSError:
            continue
        found[str(path)] = (status.st_mtime_ns, status.st_size)
    return found


def changed(before: Snapshot, after: Snapshot) -> str | None:
    """One file that came, went or changed between two snapshots."""
    return next((path for path in sorted(before.keys() | after) if before.get(path) != after.get(path)), None)


class Watch:
    """Tells of the first change, on a thread of its own; `stop` ends it without a word."""

    def __init__(self, folder: Path, every: float = EVERY_SECONDS):
        self._folder = folder
        self._every = every
        self._told: Callable[[str], None] | None = None
        self._stopped = threading.Event()
        self._before = snapshot(folder)
        self._thread = threading.Thread(target=self._watch, name="unstuck-reload", daemon=True)

    def start(self, told: Callable[[str], None]) -> None:
        """Begin to look; `told` is called on the thread, once."""
        self._told = told
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def wait(self) -> str | None:
        """Look on this thread until something changes."""
        while not self._stopped.wait(self._every):
            found = changed(self._before, snapshot(self._folder))
            if found is not None:
                return found
        return None

    def _watch(self) -> None:
        found = self._ask_system() if importlib.util.find_spec("watchfiles") else self.wait()
        if found is not None and self._told is not None and not self._stopped.is_set():
            self._told(found)

    def _ask_system(self) -> str | None:
        watchfiles: Any = importlib.import_module("watchfiles")
        python_only = watchfiles.PythonFilter()
        for changes in watchfiles.watch(self._folder, watch_filter=python_only, stop_event=self._stopped):
            for _, path in sorted(changes):
                return str(path)
        return None


def _sources(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in LEFT_OUT
            and not os.path.exists(os.path.join(where, name, "pyvenv.cfg"))
        ]
        yield from (Path(where, name) for name in files if name.endswith(".py"))
