"""What `__main__` is called when it is imported.

A task declared in the program that was started is called `__main__.send` there and `shop.tasks.send` in
every worker. So `__main__` is replaced by the name under which another process can import the same file:
what `python -m` was given, or the dotted path from a folder on `sys.path`. Where there is none (a
prompt, `-c`, a file whose name is no identifier) the answer is None and the declaration asks for `name=`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType


def main_name() -> str | None:
    """The importable name of the running program, or None."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        # A folder or an archive that was started has a spec, but no name.
        return None if spec.name == "__main__" else str(spec.name)
    file = getattr(main, "__file__", None)
    return None if not file else name_of_file(Path(file), sys.path)


def name_of_file(file: Path, path: list[str]) -> str | None:
    """The dotted name under which a file can be imported from `path`, or None."""
    file = file.resolve()
    if file.suffix != ".py":
        return None
    if file.stem == "__main__":
        return None
    parts, folder = [file.stem], file.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    if not all(part.isidentifier() for part in parts):
        return None
    if folder not in {Path(entry or ".").resolve() for entry in path} and len(parts) > 1:
        return None
    return ".".join(parts)


def folder_of(frame: FrameType | None) -> Path:
    """The folder of the module whose frame this is, else the current one."""
    file = frame.f_globals.get("__file__") if frame else None
    return Path(file).absolute().parent if file else Path.cwd()
