"""What must be true of a file before SQLite is trusted with it.

Locks of SQLite are locks of the file system, and network file systems are known to grant one lock to two
hosts: such a file is refused, not warned about. The kind of a file system is read from the kernel's list
of mounts; where there is no such list, nothing is refused.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from unstuck.model.errors import BadSetting, StoreUnavailable

SQLITE_AT_LEAST = (3, 35, 0)

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse.ceph",
        "fuse.cephfs",
        "fuse.davfs2",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.juicefs",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb2",
        "smb3",
        "smbfs",
    }
)


def check_place(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> None:
    """Raise BadSetting where the library is too old or the file lies on a network file system."""
    if sqlite3.sqlite_version_info < SQLITE_AT_LEAST:
        wanted = ".".join(map(str, SQLITE_AT_LEAST))
        raise BadSetting(f"SQLite {sqlite3.sqlite_version} is too old: {wanted} or newer is needed")
    kind = file_system_of(path, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise BadSetting(
            f"{path} lies on a network file system ({kind}), whose locks SQLite cannot trust:"
            " use a local disk, or PostgreSQL"
        )


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The kind of file system that holds the path, or "" where nobody says."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    place = os.path.realpath(path.parent)
    best, kind = "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        parts = before.split()
        if len(parts) < 5 or not after:
            continue
        mounted = parts[4].encode().decode("unicode_escape", "replace") if "\\" in parts[4] else parts[4]
        is_above = place == mounted or place.startswith(mounted.rstrip("/") + "/")
        # The last of several mounts on one place is the one that is seen.
        if is_above and len(mounted) >= len(best):
            best, kind = mounted, after.split()[0]
    return kind


def why_not_opened(path: Path, error: sqlite3.Error) -> StoreUnavailable:
    """One sentence that says why SQLite could not open the file."""
    if not path.parent.is_dir():
        return StoreUnavailable(f"{path} cannot be opened: the folder {path.parent} does not exist")
    if path.is_dir():
        return StoreUnavailable(f"{path} cannot be opened: it is a folder")
    if not path.exists():
        return StoreUnavailable(f"{path} cannot be opened: it does not exist and cannot be created ({error})")
    if not os.access(path, os.R_OK | os.W_OK):
        return StoreUnavailable(f"{path} cannot be opened: no permission to read and write it")
    return StoreUnavailable(f"{path} cannot be opened: {error}")


def wal_bytes(path: Path) -> int:
    """How large the write-ahead log beside the file is; 0 where there is none."""
    try:
        return os.stat(f"{path}-wal").st_size
    except OSError:
        return 0


def ring(path: Path) -> None:
    """Tell who watches the log beside the file that a commit can be seen now: the log is opened for writing and closed, which
    the kernel tells of, and nothing is written. No lock of SQLite lies on the log. Never fails."""
    try:
        os.close(os.open(f"{path}-wal", os.O_WRONLY | os.O_CLOEXEC))
    except OSError:
        pass


def wal_readers(path: Path, locks: Path = Path("/proc/locks")) -> str:
    """Who holds a read mark of the log, for people, from the kernel's list of locks.

    Asked of the kernel and not of the file: to open and close the shared index would drop, by the rules of
    POSIX, every lock that this process itself holds on it.
    """
    try:
        index = os.stat(f"{path}-shm")
        lines = locks.read_text().splitlines()
    except OSError:
        return "somebody"
    pids: dict[str, None] = {}
    for line in lines:
        # 12: POSIX  ADVISORY  READ 4711 08:01:131 124 124
        parts = line.split()
        if len(parts) < 8 or parts[1] != "POSIX" or parts[3] != "READ":
            continue
        *_, inode = parts[5].split(":")
        is_mark = parts[6].isdecimal() and _FIRST_MARK <= int(parts[6]) <= _LAST_MARK
        if inode == str(index.st_ino) and is_mark:
            pids[parts[4]] = None
    return f"process {', '.join(pids)}" if pids else "somebody"


_FIRST_MARK, _LAST_MARK = 124, 127
"""The bytes of the shared index that stand for read marks within the log; a reader of mark 0 needs none of it."""
