"""What a simulated world runs must follow from its seed: no real time, no dice of its own, no order of sets.

The seams are where time, chance and ids come from in production: `engine/env.py`, the clock of the memory
keeper that is made by a URL, and the subprocess of an isolated job. Everything else in the engine, the
rules, the memory keeper and the simulation itself takes them as arguments. A set of texts has another order
in every process, so nothing may be done in the order of one: sort it, or keep a dict. What is a set is read
from the text (literals, `set(…)`, set algebra, annotations and assignments in the same file); a set that
comes from elsewhere is not seen here, but two runs of one seed in processes of other hash seeds would tell.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.reading import PACKAGE, ROOT, names_called, shown, sources, tree

REAL = re.compile(
    r"^time\.(?!process_time$)\w+$|\b(datetime|date)\.(now|utcnow|today)$|urandom$|uuid[14]$"
    r"|^(monotonic|perf_counter|time)(_ns)?$|^random\.(?!Random$)\w+$|^secrets\.|^asyncio\.to_thread$"
)
SEAMS = {PACKAGE / "engine" / name for name in ("env.py", "isolating.py", "isolated.py", "child.py")} | {
    PACKAGE / "storage" / "memory" / "keeper.py"
}
ALGEBRA = {"union", "intersection", "difference", "symmetric_difference"}
SIMULATION = sorted((ROOT / "tests" / "simulation").glob("[!t]*.py"))
WATCHED = [
    path
    for path in [
        *sources(".py", "engine"),
        *sources(".py", "rules"),
        *sources(".py", "storage/memory"),
        *SIMULATION,
    ]
    if path not in SEAMS
]


def is_set(node: ast.expr, known: set[str]) -> bool:
    """Whether this expression is a set, as far as one file tells."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset"):
            return True
        return isinstance(node.func, ast.Attribute) and node.func.attr in ALGEBRA
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return is_set(node.left, known) or is_set(node.right, known)
    return ast.unparse(node) in known


def sets_of(module: ast.AST) -> set[str]:
    """Names and attributes that are annotated as sets, or given one."""
    known: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
            if re.match(r"(set|frozenset|Set|AbstractSet)\b", ast.unparse(node.annotation)):
                known.add(name)
        elif isinstance(node, ast.Assign) and is_set(node.value, known):
            known.update(ast.unparse(target) for target in node.targets)
    return known


def walks_over_sets(path: Path) -> Iterator[tuple[str, int]]:
    """Each place that goes through a set in the set's own order."""
    module = tree(path)
    scopes = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    attributes = {name for name in sets_of(module) if name.startswith("self.")}
    for scope in scopes:
        known = attributes | {name for name in sets_of(scope) if not name.startswith("self.")}
        ordered = {
            id(inner)
            for node in ast.walk(scope)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("sorted", "any", "all", "sum", "min", "max", "len", "set", "frozenset")
            for inner in ast.walk(node)
        }
        ordered |= {
            id(inner) for node in ast.walk(scope) if isinstance(node, ast.SetComp) for inner in ast.walk(node)
        }
        for node in ast.walk(scope):
            walked: list[ast.expr] = []
            if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
                walked = [node.iter]
            elif isinstance(node, ast.Starred):
                walked = [node.value]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                walked = node.args[:1] if node.func.id in ("list", "tuple", "iter", "enumerate") else []
            for each in walked:
                if id(each) not in ordered and is_set(each, known):
                    yield ast.unparse(each), each.lineno


@pytest.mark.parametrize("path", WATCHED, ids=shown)
def test_time_and_chance_come_through_the_seams(path: Path) -> None:
    for name, line in names_called(path):
        assert not REAL.search(name), (
            f"{shown(path)}:{line} calls {name}: take time, chance and ids from the Env or the world"
        )


@pytest.mark.parametrize("path", WATCHED, ids=shown)
def test_nothing_is_done_in_the_order_of_a_set(path: Path) -> None:
    for text, line in walks_over_sets(path):
        pytest.fail(
            f"{shown(path)}:{line} goes through the set {text}: sort it, or keep a dict", pytrace=False
        )


def test_a_walk_over_a_set_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "careless.py"
    file.write_text(
        "def one(names: set[str], rows: dict[str, int]) -> list[str]:\n"
        "    ours = names.intersection(rows)\n"
        "    for name in ours:\n"
        "        print(name)\n"
        "    for name in sorted(names):\n"
        "        print(name)\n"
        "    return [name for name in names | {'a'}]\n"
    )
    assert [line for _, line in walks_over_sets(file)] == [3, 7]


def test_a_seed_tells_the_same_story_whatever_the_hash_seed() -> None:
    def story(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation", "--seed", "50", "--jobs", "12", "--log"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=150
        )
        return done.stdout.partition("\nseed 50")[0]

    first, second = story("1"), story("2")
    assert first and first == second
