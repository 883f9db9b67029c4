"""No test falls between the groups in which `make test` runs them.

The first group looks everywhere and leaves out what is marked; the others look only where the Makefile says,
because to collect what they do not run would take longer than some of them. A marked test that lay elsewhere
would be run by nobody, and nobody would notice.
"""

from __future__ import annotations

import re

import pytest

from tests.conftest import WAITING
from tests.tidy.reading import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def words_of(group: str) -> list[str]:
    """What stands behind the name of a group in the Makefile."""
    (found,) = re.findall(rf"^{group} = (.*)$", MAKEFILE, re.MULTILINE)
    return str(found).split()


@pytest.mark.parametrize(("group", "marker"), [("WAITING_GROUP", "waits"), ("TIMED_GROUP", "timing")])
def test_a_group_looks_where_its_tests_are(group: str, marker: str) -> None:
    places = [word for word in words_of(group) if word.startswith("tests/")]
    marked = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if re.search(rf"\bmark\.{marker}\b", path.read_text())
    ]
    marked += WAITING if marker == "waits" else ()
    assert marked and places
    lost = [path for path in marked if not any(f"{path}/".startswith(f"{place}/") for place in places)]
    assert not lost, f"{group} of the Makefile does not look where these tests are: {lost}"


def test_the_first_group_leaves_out_what_the_others_run() -> None:
    assert '-m "not waits and not timing"' in " ".join(words_of("FIRST_GROUP"))
