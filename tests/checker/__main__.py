"""`python -m tests.checker FOLDER`: a line per invariant; exit 1 if any is broken."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.checker.checking import checked_folder


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("say which folder: python -m tests.checker FOLDER", file=sys.stderr)
        return 2
    book = checked_folder(Path(arguments[0]))
    print(book.told())
    return 1 if book.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
