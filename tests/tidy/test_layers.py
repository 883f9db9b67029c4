"""Arrows point downward only, and a worker loads no more than it needs.

The contracts stand in pyproject.toml; import-linter reads the imports as they are written. What a process
really loads is asked of a fresh interpreter, because an import of `unstuck.engine` runs `unstuck/__init__.py`
as well.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.reading import PACKAGE, ROOT, imports, shown, sources


def test_every_contract_about_imports_is_kept() -> None:
    if not (PACKAGE / "__init__.py").exists():
        pytest.skip("the package is not there yet")
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"a layer imports what it must not:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("path", sources(".py", "model"), ids=shown)
def test_the_model_imports_nothing_but_the_standard_library(path: Path) -> None:
    foreign = {
        name
        for name, _ in imports(path)
        if not name.startswith((".", "unstuck.model")) and name.split(".")[0] not in sys.stdlib_module_names
    }
    assert not foreign, f"{shown(path)} imports {', '.join(sorted(foreign))}: the nouns need no library"


def test_what_a_worker_process_loads_is_neither_command_line_nor_app() -> None:
    if not (PACKAGE / "__init__.py").exists() or not sources(".py", "engine"):
        pytest.skip("the engine is not there yet")
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sources(".py", "engine")
        if path.name != "__init__.py"
    ]
    unwanted = ["click", "rich", "multiprocessing", "unstuck.app", "unstuck.cli"]
    program = (
        f"import sys\nfor name in {modules!r}: __import__(name)\n"
        f"print(*[name for name in {unwanted!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"the engine cannot be imported alone: {done.stderr}"
    assert not done.stdout.strip(), f"importing unstuck.engine also loads {done.stdout.strip()}"
