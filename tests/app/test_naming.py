"""Names that every process agrees on, and paths that every process agrees on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from unstuck import App
from unstuck.app.naming import name_of_file

PROGRAM = """
from unstuck import App
app = App("sqlite:///jobs.db")

@app.task
def send() -> None: ...

if __name__ == "__main__":
    print(send.name, app.url)
"""


def run(folder: Path, *arguments: str, text: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return (done.stdout or done.stderr.strip().splitlines()[-1]).strip()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "tasks.py").write_text(PROGRAM)
    (tmp_path / "alone.py").write_text(PROGRAM)
    return tmp_path


def test_a_program_is_called_as_it_is_imported(shop: Path) -> None:
    assert run(shop, "alone.py") == f"alone.send sqlite:///{shop}/jobs.db"
    assert run(shop, "-m", "shop.tasks") == f"shop.tasks.send sqlite:///{shop}/shop/jobs.db"
    # The folder of the module counts, not the one the process was started in.
    assert run(Path("/"), str(shop / "alone.py")) == f"alone.send sqlite:///{shop}/jobs.db"


def test_a_program_that_cannot_be_imported_asks_for_a_name(shop: Path) -> None:
    assert "is defined in a program that no worker can import" in run(shop, "-", text=PROGRAM)
    # Inside a package, started by its path: the package's parent is not on the path.
    assert "is defined in a program that no worker can import" in run(shop, "shop/tasks.py")


def test_files_on_the_path(tmp_path: Path) -> None:
    package = tmp_path / "a" / "b"
    package.mkdir(parents=True)
    for folder in (tmp_path / "a", package):
        (folder / "__init__.py").touch()
    assert name_of_file(package / "c.py", [str(tmp_path)]) == "a.b.c"
    assert name_of_file(package / "c.py", [str(package)]) is None
    assert name_of_file(tmp_path / "c.py", [str(tmp_path)]) == "c"
    assert name_of_file(tmp_path / "not-a-name.py", [str(tmp_path)]) is None
    assert name_of_file(tmp_path / "__main__.py", [str(tmp_path)]) is None
    assert name_of_file(tmp_path / "program", [str(tmp_path)]) is None


def test_another_store(tmp_path: Path) -> None:
    app = App("memory://")
    app.use_url("sqlite:///other.db", tmp_path)
    assert app.url == f"sqlite:///{tmp_path}/other.db"
    assert app.keeper.engine == "sqlite"

    @app.task(name="t")
    def t() -> None: ...

    with app:
        assert t.enqueue().refresh().task == "t"


def test_modules_of_tasks_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unstuck_test_tasks.py").write_text("import no_such_module_of_theirs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_theirs"):
        App("memory://", tasks=["unstuck_test_tasks"]).load_tasks()
