"""Clears up after a server when nobody else can: a process that outlives the tests by a moment.

Whoever starts a server also starts this file as a program, and keeps the other end of its standard
input. However the owner ends, SIGKILL included, the pipe then reaches its end, and the watcher kills
whoever lives in the server's folder and removes the folder. It runs in a session of its own, so a
signal to the group of the tests does not reach it.

Who *lives in* a folder is read from the kernel: a server has its working directory there, and so have
all processes that it forks, whatever they call themselves. Only the standard library is used, and
nothing from this package, because the watcher must start and work whatever state the tests are in.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path


def residents(folder: Path) -> list[int]:
    """The living processes whose working directory is `folder` or below, oldest first."""
    if not Path("/proc/self/cwd").exists():
        return _descendants_of_postmaster(folder)
    home, found = str(folder.resolve()), []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            place = os.readlink(f"/proc/{entry}/cwd").removesuffix(" (deleted)")
        except OSError:
            continue  # it has ended, or is a zombie, or belongs to somebody else
        if place == home or place.startswith(home + "/"):
            found.append(int(entry))
    return sorted(found)


def _descendants_of_postmaster(folder: Path) -> list[int]:
    # Where there is no /proc (macOS) the family tree has to do.
    try:
        family = {int((folder / "data" / "postmaster.pid").read_text().split()[0])}
    except (OSError, ValueError, IndexError):
        return []
    listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False)
    pairs = [(int(pid), int(parent)) for pid, parent in map(str.split, listing.stdout.splitlines())]
    family &= {pid for pid, _ in pairs}
    while grown := {pid for pid, parent in pairs if parent in family} - family:
        family |= grown
    return sorted(family)


def signal_residents(folder: Path, number: int) -> None:
    for pid in residents(folder):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def kill_residents(folder: Path, patience: float = 10) -> None:
    """SIGKILL everybody in `folder`, again and again until nobody is left."""
    deadline = time.monotonic() + patience
    while residents(folder):
        signal_residents(folder, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes in {folder} survived SIGKILL: {residents(folder)}")
        time.sleep(0.01)


def clear(folder: Path) -> None:
    """Leave nothing of a server: no process, no segment of shared memory, no folder."""
    kill_residents(folder)
    _remove_shared_memory(folder / "data" / "postmaster.pid")
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def _remove_shared_memory(lock_file: Path) -> None:
    # PostgreSQL keeps one small System V segment as a lock; after SIGKILL it would stay until reboot.
    try:
        segment = int(lock_file.read_text().splitlines()[6].split()[1])
    except (OSError, ValueError, IndexError):
        return
    ctypes.CDLL(None).shmctl(segment, 0, None)  # 0 is IPC_RMID


def main(folder: Path) -> None:
    os.chdir("/")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    clear(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
