"""SQL has one clock, spelled in one place.

`now()` is the start of the transaction, so a delayed job in an old transaction would be due at once;
`clock_timestamp()` cannot be used by an index. `statement_timestamp()` is right, and stands in one named
fragment so that the simulator can replace it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy.reading import shown, sources, statements_of, texts

REFUSED = re.compile(
    r"\bnow\s*\(\s*\)|\b(transaction|clock)_timestamp\b|\b(current|local)_?time(stamp)?\b", re.IGNORECASE
)
CLOCK = re.compile(r"\bstatement_timestamp\b", re.IGNORECASE)


@pytest.mark.parametrize("path", sources(".sql"), ids=shown)
def test_sql_never_reads_a_clock_that_lags_or_defeats_an_index(path: Path) -> None:
    for number, line in enumerate(statements_of(path).splitlines(), 1):
        found = REFUSED.search(line)
        assert not found, f"{shown(path)}:{number} says {found[0]}; the clock is the named fragment only"


def test_the_clock_of_postgres_is_spelled_in_one_place() -> None:
    places = [
        f"{shown(path)}:{number}"
        for path in sources(".sql")
        for number, line in enumerate(statements_of(path).splitlines(), 1)
        if CLOCK.search(line)
    ]
    places += [
        f"{shown(path)}:{line}" for path in sources(".py") for text, line in texts(path) if CLOCK.search(text)
    ]
    assert len(places) <= 1, (
        f"statement_timestamp() stands in {', '.join(places)}; one named fragment is enough"
    )
