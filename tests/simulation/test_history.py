"""Two minds judge a world: the checker agrees with an auditor who is content, and does not lean on him.

With the auditor silenced, bugs that were planted in the store must be found by the checker alone, from what
was written down; each names the invariants that may find it.
"""

from __future__ import annotations

import pytest

from tests.simulation.auditor import Auditor
from tests.simulation.history import judged
from tests.simulation.seen import Seen
from tests.simulation.test_planted import (
    Plant,
    attempt_counted_at_hand_back,
    fence_guard_dropped,
    leases_compared_instead_of_ends,
)
from tests.simulation.world import LOGGED, Scenario, World

ALWAYS = ("S1", "S3", "S5", "S6", "H1", "H2", "H4", "H5", "H6", "H7", "H9", "H10", "H11", "H26", "L2")

SEEDS = range(0, 40 * LOGGED, LOGGED)


def test_a_world_that_is_over_is_looked_at_from_all_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Scenario(LOGGED))
    told: list[str] = []

    def listen(self: Auditor) -> None:
        book = judged(self._world)
        told.extend(check for check in ALWAYS if book.verdict(check).startswith("pass"))

    monkeypatch.setattr(Auditor, "close", listen)
    assert world.run().findings == []
    assert tuple(told) == ALWAYS


PLANTED: list[tuple[Plant, set[str]]] = [
    (fence_guard_dropped, {"checker H6", "checker H8", "checker H10", "checker H11"}),
    (attempt_counted_at_hand_back, {"checker H10"}),
    (leases_compared_instead_of_ends, {"checker H27"}),
]


@pytest.mark.parametrize(("plant", "checks"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_the_checker_alone_finds_a_planted_bug(
    plant: Plant, checks: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    monkeypatch.setattr(Seen, "find", lambda *_: None)
    for seed in SEEDS:
        found = {finding.check for finding in World(Scenario(seed)).run().findings}
        if found & checks:
            return
    pytest.fail(f"{plant.__doc__} The checker did not notice.", pytrace=False)
