"""Documents that cannot go stale unnoticed: their links, and the file names in ARCHITECTURE.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy import states
from tests.tidy.reading import PACKAGE, ROOT, shown, sources

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"[\w.*/-]*\w\.(?:py|sql|md|toml)\b|(?:[\w.-]+/)+(?![\w.*-])")

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ARCHITECTURE = ROOT / "ARCHITECTURE.md"


def anchors(document: Path) -> set[str]:
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in LINK.findall(CODE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (document.parent / file).resolve() if file else document
        assert place.exists(), f"{shown(document)} links to {target}, which does not exist"
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), f"{shown(document)} links to {target}: no such heading"


def named() -> set[str]:
    if not ARCHITECTURE.exists():
        pytest.skip("ARCHITECTURE.md is not there yet")
    return {name for code in CODE.findall(ARCHITECTURE.read_text()) for name in FILE.findall(code)}


def places(name: str) -> set[Path]:
    """What a name in ARCHITECTURE.md can mean: a path from the root or the package, or a bare file name."""
    found = {path for start in (ROOT, ROOT / "src", PACKAGE) for path in start.glob(name.rstrip("/"))}
    if "/" not in name.rstrip("/"):
        found |= {path for top in ("src", "tests", "docs") for path in (ROOT / top).rglob(name.rstrip("/"))}
    return found


def test_architecture_names_only_files_that_exist() -> None:
    for name in sorted(named()):
        assert places(name), f"ARCHITECTURE.md names {name}, which does not exist"


def test_every_file_of_the_package_can_be_found_in_architecture() -> None:
    covered = {path for name in named() for path in places(name)} - {ROOT, ROOT / "src", PACKAGE}
    for path in [*sources(".py"), *sources(".sql")]:
        known = path.name in ("__init__.py", "__main__.py") or covered & {path, *path.parents}
        assert known, f"{shown(path)} is not named in ARCHITECTURE.md, nor is its folder"


def test_the_page_of_states_is_made_from_the_table() -> None:
    assert states.PAGE.read_text() == states.page(), "write it anew: python -m tests.tidy.states"
