"""The operations, each on a stage of its own. A new one joins by being written here; a missing one fails."""

from __future__ import annotations

from tests.crashpoints.acting import Scenario
from tests.crashpoints.scenarios import (
    asking,
    chores,
    enqueueing,
    joining,
    migrating,
    operating,
    reading,
    recording,
    rounds,
    settling,
    working,
)

SCENARIOS: tuple[Scenario, ...] = (
    *enqueueing.SCENARIOS,
    *working.SCENARIOS,
    *settling.SCENARIOS,
    *chores.SCENARIOS,
    *operating.SCENARIOS,
    *reading.SCENARIOS,
    *asking.SCENARIOS,
    *joining.SCENARIOS,
    *recording.SCENARIOS,
    *rounds.SCENARIOS,
    *migrating.SCENARIOS,
)
assert len({each.name for each in SCENARIOS}) == len(SCENARIOS)
