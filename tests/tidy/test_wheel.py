"""What is installed is what is here: the SQL and the typing marker travel with the code."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tidy.reading import PACKAGE, ROOT, sources


def test_the_wheel_holds_every_source_and_every_sql_file(tmp_path: Path) -> None:
    if not (PACKAGE / "__init__.py").exists():
        pytest.skip("the package is not there yet")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"the wheel cannot be built: {done.stderr}"
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for path in [*sources(".py"), *sources(".sql"), PACKAGE / "py.typed"]:
        name = path.relative_to(PACKAGE.parent).as_posix()
        assert name in inside, f"{name} is missing from the wheel"
