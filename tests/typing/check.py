"""Do the types say what the documents say? Runs mypy --strict and pyright strict over two files.

`examples.py` must be clean. In `wrong.py` every line marked `# expect-error` must be refused by both, and no
other line by either. Exit code 0 if so; else each difference is a line of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MARK = "# expect-error"
FILES = ("examples.py", "wrong.py")

Found = dict[tuple[str, int], str]


def mypy() -> Found:
    """(file, line) of every mypy error, with its words."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]
    command += ["--no-pretty", "--show-error-codes", "--config-file", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [*command, *(str(HERE / name) for name in FILES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"mypy could not run:\n{done.stdout}{done.stderr}")
    found: Found = {}
    for line in done.stdout.splitlines():
        match = re.match(r"(.+?):(\d+): error: (.*)", line)
        # What mypy thinks of the package itself is asked elsewhere.
        if match and (ROOT / match[1]).resolve().parent == HERE:
            found[Path(match[1]).name, int(match[2])] = match[3]
    return found


def pyright() -> Found:
    """(file, line) of every pyright error, with its words."""
    # A configuration of its own stands beside the files: the project's includes src only.
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        "-p",
        str(HERE),
    ]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    try:
        said = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise SystemExit(f"pyright could not run:\n{done.stdout}{done.stderr}") from None
    if said["summary"]["filesAnalyzed"] != len(FILES):
        raise SystemExit(
            f"pyright looked at {said['summary']['filesAnalyzed']} files instead of {len(FILES)}"
        )
    return {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1): one["message"].splitlines()[0]
        for one in said["generalDiagnostics"]
        if one["severity"] == "error"
    }


def expected() -> set[tuple[str, int]]:
    """(file, line) of every marked line."""
    return {
        (name, number)
        for name in FILES
        for number, line in enumerate((HERE / name).read_text().splitlines(), 1)
        if line.rstrip().endswith(MARK)
    }


def main() -> int:
    """Compare; 0 if both checkers say exactly what is marked."""
    marked = expected()
    differences: list[str] = []
    for checker, found in (("mypy", mypy()), ("pyright", pyright())):
        differences += [f"{checker} lets {name}:{line} pass" for name, line in sorted(marked - found.keys())]
        differences += [
            f"{checker} refuses {name}:{line}: {found[name, line]}"
            for name, line in sorted(found.keys() - marked)
        ]
    for difference in differences:
        print(difference)
    if not differences:
        print(
            f"examples.py is clean, and {len(marked)} lines of wrong.py are refused by mypy and pyright alike"
        )
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
