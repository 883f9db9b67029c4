"""Frames over pipes between our own processes: four bytes of length, then msgspec's MessagePack.

Types are named by the reader, so a frame can only become what the reader expects; nothing in it names a
class or a function.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import BinaryIO, TypeVar

import msgspec

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1


def write_frame(pipe: BinaryIO, value: object) -> None:
    """Send one value."""
    body = msgspec.msgpack.encode(value)
    pipe.write(len(body).to_bytes(4, "big") + body)
    pipe.flush()


def read_frame(pipe: BinaryIO, type: type[T]) -> T:
    """Receive one value; raises EOFError where the other side has gone."""
    head = pipe.read(4)
    if len(head) < 4:
        raise EOFError
    return msgspec.msgpack.decode(pipe.read(int.from_bytes(head, "big")), type=type)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent goes; leave at once if it has gone already.

    Linux only; elsewhere the end of the pipe is what tells.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)
