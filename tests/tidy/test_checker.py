"""The history checker shares nothing with what it judges: not the product, not the tests that drive it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.tidy.reading import ROOT, imports, shown

CHECKER = sorted((ROOT / "tests" / "checker").glob("*.py"))


@pytest.mark.parametrize("path", CHECKER, ids=shown)
def test_the_checker_imports_nothing_of_the_product(path: Path) -> None:
    allowed = (*sys.stdlib_module_names, *(("pytest",) if path.name.startswith("test_") else ()))
    foreign = [
        f"{name}, line {line}"
        for name, line in imports(path)
        if not name.startswith("tests.checker.") and name.split(".")[0] not in allowed
    ]
    assert not foreign, f"{shown(path)} imports {'; '.join(foreign)}: it would share what it judges"


def test_there_is_a_checker_to_look_at() -> None:
    assert len(CHECKER) > 5
