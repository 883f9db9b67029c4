"""How the tidy tests look at the project: where it is, which files it has, what they say.

Files come from the working tree; a folder that does not exist yet has no files, so a rule can stand here
before the room that it is for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "unstuck"


def sources(suffix: str, below: str = "") -> list[Path]:
    return sorted(path for path in (PACKAGE / below).rglob(f"*{suffix}") if "__pycache__" not in path.parts)


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Each imported module with its line; `from a import b` gives `a.b`, for b may be a module."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield from ((f"{prefix}.{alias.name}", node.lineno) for alias in node.names)


def names_called(path: Path) -> Iterator[tuple[str, int]]:
    """Each plain or dotted name that is called, such as `eval` or `datetime.now`, with its line."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def statements_of(path: Path) -> str:
    """The text of a .sql file without its comments, the lines kept where they were."""
    without_blocks = re.sub(
        r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), path.read_text(), flags=re.DOTALL
    )
    return re.sub(r"--[^\n]*", "", without_blocks)


def texts(path: Path) -> Iterator[tuple[str, int]]:
    """Each string constant of a Python file that is not a docstring, with its line."""
    module = tree(path)
    docstrings = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value, node.lineno
