"""The plain computation: what there is to know of one file, without any queue.

The task calls it in a worker, the demo calls it in its own process, and the two must agree for every
file; so an answer depends on nothing but the file's bytes and the running Python. Whatever a file does
to the reader (no permission, gone, wrong syntax, no text at all) is part of the answer and never an
error: a job fails when the *work* cannot be done, and looking at a broken file is work done.
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass

CHUNK_BYTES = 1 << 20
PARSED_BYTES_MAX = 1 << 20
"""The parser keeps the interpreter to itself, about a second per MiB; larger sources are not parsed."""

BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where statements hold statements. An import is one, so expressions need not be walked (a quarter of the time)."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found: None where it could not be, and `trouble` says why."""

    sha256: str | None = None
    lines: int | None = None
    imports: tuple[str, ...] | None = None
    trouble: str = ""


def findings_of(path: str) -> Findings:
    """SHA-256, number of lines and, for a Python file, the sorted names that it imports."""
    digest, lines, last, source = hashlib.sha256(), 0, b"\n", bytearray()
    is_python = path.endswith((".py", ".pyw", ".pyi"))
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                lines += chunk.count(b"\n")
                last = chunk[-1:]
                if is_python and len(source) <= PARSED_BYTES_MAX:
                    source += chunk
    except OSError as error:
        return Findings(trouble=type(error).__name__)
    lines += last != b"\n"
    if not is_python:
        return Findings(digest.hexdigest(), lines)
    imports, trouble = _imports_of(bytes(source))
    return Findings(digest.hexdigest(), lines, imports, trouble)


def _imports_of(source: bytes) -> tuple[tuple[str, ...] | None, str]:
    if len(source) > PARSED_BYTES_MAX:
        return None, f"more than {PARSED_BYTES_MAX:,} bytes: not parsed"
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        said = f"{type(error).__name__}: {error.msg}"
        return None, said.encode("utf-8", "replace").decode()
    except (ValueError, RecursionError, MemoryError) as error:
        return None, type(error).__name__
    names: set[str] = set()
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
        else:
            for block in BLOCKS:
                left += getattr(node, block, ())
    return tuple(sorted(names)), ""
