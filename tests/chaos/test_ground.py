"""What is done to a disk is felt, and undone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.ground import Disk, hold_lock, limit_files
from tests.processes.stores import IS_FREE
from tests.processes.waiting import until

SECONDS = 30.0

WRITER = """
import sys
with open(sys.argv[1], "ab", buffering=0) as file:
    for line in sys.stdin:
        try:
            file.write(b"some text")
        except OSError as error:
            print(error.errno, flush=True)
        else:
            print("written", flush=True)
"""


def test_a_process_under_a_limit_writes_nothing_until_it_is_lifted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None and writer.stdout is not None

        def answer() -> str:
            assert writer.stdin is not None and writer.stdout is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
            return writer.stdout.readline().strip()

        assert answer() == "written"
        lift = limit_files(lambda: [writer.pid])
        assert answer() == str(errno.EFBIG)
        lift()
        assert answer() == "written"


def test_a_disk_that_is_filled_takes_nothing_until_it_is_freed(tmp_path: Path) -> None:
    # The mount is made in a process of its own, whose mounts nobody else sees.
    script = (
        "import sys; from pathlib import Path; from tests.chaos.ground import Disk, own_mounts;"
        "own_mounts(); disk = Disk(Path(sys.argv[1]) / 'disk');"
        "sys.exit(disk.why_not) if disk.why_not else None\n"
        "free = disk.fill()\n"
        "try: (disk.folder / 'file').write_bytes(bytes(10000)); print('written')\n"
        "except OSError as error: print(error.errno)\n"
        "free(); (disk.folder / 'file').write_bytes(bytes(10000)); print('written'); disk.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    if "no tmpfs" in done.stderr:
        pytest.skip(f"not run here: {done.stderr.strip()}")
    assert done.stdout.split() == [str(errno.ENOSPC), "written"], done.stderr
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def test_where_nothing_can_be_mounted_a_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert "no tmpfs can be mounted here" in Disk(tmp_path / "disk").why_not


def test_a_lock_is_held_by_a_process_of_its_own_until_it_is_released(tmp_path: Path) -> None:
    file = tmp_path / "jobs.db"
    is_free = IS_FREE["sqlite"]
    assert is_free(f"sqlite:///{file}")
    release = hold_lock(file)
    until(lambda: not is_free(f"sqlite:///{file}"), SECONDS, "the lock is taken")
    release()
    assert is_free(f"sqlite:///{file}")
