"""What is taken, how odd names travel, and that the plain computation answers whatever a file is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from unstuck.demo import files
from unstuck.demo.serial import PARSED_BYTES_MAX, Findings, findings_of


def test_a_folder_is_taken_whole_but_what_is_no_regular_file(tmp_path: Path) -> None:
    (tmp_path / "below" / "__pycache__").mkdir(parents=True)
    for name in ("a.txt", ".hidden", "below/b.py", "below/__pycache__/b.pyc"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a.txt")
    os.mkfifo(tmp_path / "pipe")
    taken = files.below(tmp_path)
    names = {Path(file.path).relative_to(tmp_path.resolve()).as_posix() for file in taken.files}
    assert names == {"a.txt", ".hidden", "below/b.py", "below/__pycache__/b.pyc"}
    assert taken.words[-1].startswith("2 links, pipes")


def test_without_a_folder_at_least_3000_files_are_taken_where_this_environment_has_them() -> None:
    taken = files.standard()
    assert len({file.path for file in taken.files}) == len(taken.files) >= files.ENOUGH
    assert "standard library" in taken.words[0]


@pytest.mark.parametrize(
    "name", [b"plain.py", b"100 %.txt", b"line\nbreak", b"\xff\xfe.py", "ü.txt".encode()]
)
def test_any_name_travels_as_ascii(name: bytes) -> None:
    path = os.fsdecode(b"/some where/" + name)
    assert files.to_text(path).isascii()
    assert files.from_text(files.to_text(path)) == path


def test_a_plain_name_is_not_disfigured() -> None:
    assert files.to_text("/usr/lib/python3.11/os.py") == "/usr/lib/python3.11/os.py"


def test_a_file_that_was_written_again_has_changed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (file,) = files.below(tmp_path).files
    assert not file.has_changed()
    (tmp_path / "a").write_text("three")
    assert file.has_changed()


def found(folder: Path, name: str, content: bytes) -> Findings:
    (folder / name).write_bytes(content)
    return findings_of(str(folder / name))


def test_imports_are_found_wherever_a_statement_can_stand(tmp_path: Path) -> None:
    source = b"""
import os.path, sys as system
from . import near
from ..far import thing
def f():
    try:
        import a
    except E:
        import b
    else:
        import c
    finally:
        import d
    with x:
        for y in z:
            while 1: import e
    match x:
        case 1:
            import g
class C:
    async def m(self):
        if 1: pass
        elif 2: from h.i import j
"""
    imports = found(tmp_path, "a.py", source).imports
    assert imports == (".", "..far", "a", "b", "c", "d", "e", "g", "h.i", "os.path", "sys")


@pytest.mark.parametrize(("content", "lines"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\nb", 2), (b"\n\n", 2)])
def test_lines_are_counted_with_a_last_one_that_has_no_end(
    tmp_path: Path, content: bytes, lines: int
) -> None:
    assert found(tmp_path, "a.txt", content) == Findings(hashlib.sha256(content).hexdigest(), lines)


@pytest.mark.parametrize(
    "content", [b"def f(:\n", b"# coding: no-such\n", b"x = '\xff'\n", b"x = 1\x00\n", b"(" * 5000]
)
def test_what_cannot_be_parsed_is_an_answer(tmp_path: Path, content: bytes) -> None:
    answer = found(tmp_path, "a.py", content)
    assert answer.sha256 == hashlib.sha256(content).hexdigest()
    assert answer.imports is None
    assert answer.trouble


def test_a_source_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    answer = found(tmp_path, "a.py", b"#" * (PARSED_BYTES_MAX + 1))
    assert (answer.lines, answer.imports) == (1, None)
    assert "not parsed" in answer.trouble


def test_a_file_that_cannot_be_read_is_an_answer(tmp_path: Path) -> None:
    assert findings_of(str(tmp_path / "gone")) == Findings(trouble="FileNotFoundError")
    assert findings_of(str(tmp_path)) == Findings(trouble="IsADirectoryError")
