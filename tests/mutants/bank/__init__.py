"""All mutants, by the room of the product in which they are planted."""

from __future__ import annotations

from tests.mutants.bank import claiming, ending, entering, living, recovering, running, storing
from tests.mutants.mutant import Mutant

BANK: tuple[Mutant, ...] = (
    *ending.MUTANTS,
    *claiming.MUTANTS,
    *living.MUTANTS,
    *recovering.MUTANTS,
    *running.MUTANTS,
    *storing.MUTANTS,
    *entering.MUTANTS,
)

WRITTEN_FOR_THE_BANK: tuple[str, ...] = ()
"""Tests that came because a mutant survived. Each has to catch two at least, or it knows no promise."""
