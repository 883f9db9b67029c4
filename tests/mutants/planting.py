"""Copies of the tree, each with one bug in it; the tree itself is never touched.

A copy holds what tests read: sources, tests, documents, settings. Compiled files come along, with the
times that make them valid, so that a copy starts as fast as the tree; those of the file with the bug do not.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.mutant import ROOT, Mutant

FOLDERS = ("src", "tests", "docs", "benchmarks")
LEFT_OUT = ("test_bank.py", ".hypothesis", ".pytest_cache")
"""The bank's own test would catch every mutant, by looking at the text."""


@contextmanager
def copied(mutant: Mutant | None) -> Iterator[Path]:
    """A copy of the tree with this bug, or with none, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="unstuck-mutant-") as folder:
        root = Path(folder)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for file in (*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / "Makefile"):
            shutil.copy2(file, root)
        if mutant is not None:
            plant(mutant, root)
        yield root


def plant(mutant: Mutant, root: Path) -> None:
    """Put the bug into a copy."""
    file = mutant.path(root)
    text = mutant.planted(file.read_text())
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()
    file.write_text(text)
