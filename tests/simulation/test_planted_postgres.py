"""Bugs that only a real engine shows, planted one at a time: some schedule must catch each.

In memory and on SQLite a statement is alone while it runs, so a claim that waits, a row that changed since the
snapshot, and two orders of locks that close a circle cannot be seen there at all. Each bug here is one careless
line of SQL or of the order in which rows are given to it; the check that must speak up is named, and a seed at which
it did: the search begins there, and goes through all others where worlds have changed since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.simulation import scheduled_world
from tests.simulation.postgres_ground import Stand
from tests.simulation.story import lived
from tests.simulation.world import Scenario
from unstuck.storage.postgres import dialect
from unstuck.storage.sql import library, operating
from unstuck.storage.sql.library import Block

SEEDS = 60
Plant = Callable[[pytest.MonkeyPatch], None]


def skip_locked_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A claim waits for rows that somebody else holds."""
    real = dialect.PostgresDialect.phrase

    def careless(self: dialect.PostgresDialect, word: str, rest: str) -> str | None:
        said = real(self, word, rest)
        return said.removesuffix(" SKIP LOCKED") if word == "skip_locked" and said else said

    patch.setattr(dialect.PostgresDialect, "phrase", careless)


def claim_of_what_was_read(patch: pytest.MonkeyPatch) -> None:
    """A claim takes what its snapshot called ready, and does not look again once it has the row."""
    real = library.join_blocks

    def careless(engine: str, *rest: Any) -> dict[str, Block]:
        blocks = real(engine, *rest)
        text = blocks["claim"].text
        for old, new in (
            ("{skip_locked r}", ""),
            ("j.{row} {among}", "j.id {among}"),
            ("r.{row} FROM", "r.id FROM"),
        ):
            assert old in text, f"claim does not say {old!r} any more"
            text = text.replace(old, new)
        return {**blocks, "claim": replace(blocks["claim"], text=text)}

    patch.setattr(library, "join_blocks", careless)


def clock_of_the_transaction(patch: pytest.MonkeyPatch) -> None:
    """Moments are those of the BEGIN, however long ago that was."""
    patch.setattr(dialect.PostgresDialect.__init__, "__defaults__", ("unstuck_", "now()"))


def locks_in_any_order(patch: pytest.MonkeyPatch) -> None:
    """Priorities are changed in the order in which somebody named the jobs."""
    patch.setattr(
        scheduled_world, "WISHES", ("prioritise",)
    )  # two must be in step: so the crowd does nothing else
    patch.setattr(operating, "sorted", lambda rows: list(rows), raising=False)


PLANTED: list[tuple[Plant, set[str], int]] = [
    (skip_locked_forgotten, {"claims do not wait"}, 0),
    (claim_of_what_was_read, {"claims do not wait", "an owner stays", "the fence rises at claims"}, 0),
    (locks_in_any_order, {"nobody waits in a circle"}, 25),
    (clock_of_the_transaction, {"moments are their statement's"}, 0),
]


@pytest.mark.parametrize(("plant", "checks", "first"), PLANTED, ids=[each[0].__name__ for each in PLANTED])
def test_a_planted_bug_is_caught(
    plant: Plant, checks: set[str], first: int, monkeypatch: pytest.MonkeyPatch, postgres_stand: Stand
) -> None:
    plant(monkeypatch)
    for seed in (first, *(seed for seed in range(SEEDS) if seed != first)):
        found = {finding.check for finding in lived(Scenario(seed, "postgres")).findings}
        if found & checks:
            return
        assert not found, f"seed {seed} was caught by another check: {found}"
    pytest.fail(f"{plant.__doc__} Nobody noticed in {SEEDS} seeds.", pytrace=False)
