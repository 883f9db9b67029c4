"""Every seed is a world in which something goes wrong and nothing may get stuck.

`UNSTUCK_SEEDS` says how many seeds, `UNSTUCK_SEED` names a single one, `UNSTUCK_WORLD` one ground; empty
means what `make test` runs. Seeds of `regressions.txt` always run. A failing seed tells its story.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.simulation.story import lived, smallest, told
from tests.simulation.world import Scenario

SEEDS = {"memory": 200, "sqlite": 12, "postgres": 40}
TWICE = 50
"""Every so many seeds one is run twice, and both event logs must be the same, byte for byte."""

REGRESSIONS = Path(__file__).with_name("regressions.txt")


def remembered() -> list[tuple[str, int]]:
    """The seeds that once found a bug."""
    lines = (line.split() for line in REGRESSIONS.read_text().splitlines() if not line.startswith("#"))
    return [(words[0], int(words[1])) for words in lines if words]


def asked() -> list[tuple[str, int]]:
    """The worlds and seeds to run."""
    only, seed, seeds = (os.environ.get(f"UNSTUCK_{name}", "") for name in ("WORLD", "SEED", "SEEDS"))
    worlds = [only] if only else ["memory"] if seed else list(SEEDS)
    if seed:
        return [(world, int(seed)) for world in worlds]
    new = [(world, number) for world in worlds for number in range(int(seeds or SEEDS[world]))]
    old = [(world, number) for world, number in remembered() if world in worlds]
    return list(dict.fromkeys([*old, *new]))


@pytest.mark.parametrize(("world", "seed"), asked())
def test_a_world_keeps_its_promises(world: str, seed: int, request: pytest.FixtureRequest) -> None:
    if world == "postgres":
        request.getfixturevalue("postgres_stand")
    outcome = lived(Scenario(seed, world))
    if outcome.findings:
        pytest.fail(told(smallest(outcome)), pytrace=False)
    if seed % TWICE == 0:
        assert lived(Scenario(seed, world)).log() == outcome.log(), "the same seed made another world"
