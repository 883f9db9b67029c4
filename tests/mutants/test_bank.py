"""The bank does not rot: each bug can still be planted, and what it makes is still Python or known SQL."""

from __future__ import annotations

import pytest

from tests.mutants.bank import BANK, WRITTEN_FOR_THE_BANK
from tests.mutants.mutant import ROOT, SEEDS, Mutant
from unstuck.storage.postgres.dialect import PostgresDialect
from unstuck.storage.sqlite.dialect import SqliteDialect


def named(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.parametrize("mutant", BANK, ids=named)
def test_each_bug_fits_its_file_once_and_compiles(mutant: Mutant) -> None:
    text = mutant.planted(mutant.path().read_text())
    if mutant.file.endswith(".py"):
        compile(text, mutant.file, "exec")
    else:
        for dialect in (SqliteDialect(), PostgresDialect()):
            assert dialect.resolve(text)


@pytest.mark.parametrize("mutant", BANK, ids=named)
def test_each_bug_is_told_and_has_somebody_to_catch_it(mutant: Mutant) -> None:
    assert mutant.what.endswith(".") and mutant.breaks.endswith(".")
    assert mutant.killers
    for killer in mutant.killers:
        first = killer.split()[0]
        if first != SEEDS:
            file, _, test = first.partition("::")
            place = ROOT / "tests" / file
            assert place.exists(), f"{killer} is not there"
            assert not test or f"def {test}(" in place.read_text(), f"{killer} is not there"


def test_the_bank_is_large_and_its_names_are_its_own() -> None:
    assert len({mutant.name for mutant in BANK}) == len(BANK) >= 40


@pytest.mark.parametrize("test", WRITTEN_FOR_THE_BANK)
def test_what_was_written_for_the_bank_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()
