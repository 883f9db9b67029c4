"""A real process with a real connection, and a real SIGKILL by its own hand between two requests.

The process is a fork of the test's: it opens its own connection, does the operation, and is gone at the
chosen request, with everything that the kernel then closes for it. `make test` kills once per operation,
at the last request but one that changed something; `make crashpoints` at every request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.crashpoints.acting import Scenario
from tests.crashpoints.conftest import FIGURES, is_whole
from tests.crashpoints.scenarios import SCENARIOS
from tests.crashpoints.stages import Stage
from tests.crashpoints.sweeping import Sweep

CASES = [
    pytest.param(engine, scenario.colours[0], scenario, id=f"{engine}-{scenario}")
    for scenario in SCENARIOS
    for engine in scenario.engines
]


@pytest.mark.parametrize(("stage", "colour", "scenario"), CASES, indirect=["stage"])
def test_a_killed_process_leaves_whole_operations_only(
    stage: Stage,
    colour: str,
    scenario: Scenario,
    house: asyncio.Runner,
    record_property: Callable[[str, object], None],
) -> None:
    sweep = Sweep(scenario, stage, colour, house)
    untouched = sweep.untouched()
    every = list(range(1, len(untouched.requests) + 1))
    points = every if is_whole() else [every[len(every) // 2]]
    for at in points:
        sweep.kill_for_real(at, untouched)
    record_property(FIGURES, ["SIGKILL", stage.engine, scenario.name, len(points), len(points)])
