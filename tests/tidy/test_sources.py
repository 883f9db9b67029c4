"""House rules that a machine can read: small files, plain names, no pickle, a core without clock or dice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy.reading import PACKAGE, imports, names_called, shown, sources

LONGEST = 400
REASON_TO_BE_LONG = re.compile(r"^\s*(#|--) long: *\S", re.MULTILINE)
EMPTY_WORDS = {"manager", "helper", "helpers", "util", "utils", "base", "data", "misc", "common"}
NEVER_IMPORTED = {"pickle", "marshal", "shelve", "multiprocessing", "concurrent.futures.ProcessPoolExecutor"}
DICE = {"random", "secrets"}
CLOCK_OR_DICE = re.compile(
    r"^time\.\w+$|\.(now|utcnow|today)$|\burandom$|\buuid[14]$|^(monotonic|perf_counter|time)(_ns)?$"
)
DRAWS_IDS = PACKAGE / "model" / "ids.py"
"""The one exception: it draws an id where none is given, and simulations give one."""

PYTHON = sources(".py")
WITHOUT_CLOCK = [*sources(".py", "model"), *sources(".py", "rules")]


@pytest.mark.parametrize("path", [*PYTHON, *sources(".sql")], ids=shown)
def test_a_long_file_gives_its_reason(path: Path) -> None:
    text = path.read_text()
    length = text.count("\n")
    assert length <= LONGEST or REASON_TO_BE_LONG.search(text), (
        f"{shown(path)} has {length} lines: give a part of it a room of its own, or say why in '# long: …'"
    )


def test_modules_have_names_that_say_something() -> None:
    for path in PACKAGE.rglob("*"):
        if path.suffix not in ("", ".py", ".sql") or path.name == "common.sql" or "__pycache__" in path.parts:
            continue
        empty = EMPTY_WORDS & set(path.stem.split("_"))
        assert not empty, f"{shown(path)}: {empty.pop()!r} says nothing; name the promise that lives there"


@pytest.mark.parametrize("path", PYTHON, ids=shown)
def test_nothing_runs_code_that_comes_as_data(path: Path) -> None:
    for name, line in imports(path):
        found = [bad for bad in NEVER_IMPORTED if name == bad or name.startswith(bad + ".")]
        assert not found, f"{shown(path)}:{line} imports {found[0]}, which this project never does"
    for name, line in names_called(path):
        assert name not in ("eval", "exec"), (
            f"{shown(path)}:{line} calls {name}, which this project never does"
        )


@pytest.mark.parametrize("path", WITHOUT_CLOCK, ids=shown)
def test_model_and_rules_have_no_clock_and_no_dice(path: Path) -> None:
    if path == DRAWS_IDS:
        return
    for name, line in imports(path):
        assert name.split(".")[0] not in DICE, (
            f"{shown(path)}:{line} imports {name}: take chance as an argument"
        )
    for name, line in names_called(path):
        assert not CLOCK_OR_DICE.search(name), f"{shown(path)}:{line} calls {name}: take it as an argument"
