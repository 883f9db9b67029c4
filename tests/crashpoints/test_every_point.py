"""Every operation, every request of it, every fault, on both engines; in both colours by `make crashpoints`.

The suite of every day strikes each operation in its first colour: the two runners are word for word the same,
and the conformance suite runs all of it in both.

Then a real process with a real connection gets a real SIGKILL by its own hand. It is a fork of the test's: it
opens its own connection, does the operation, and is gone after the chosen request, with everything that the
kernel then closes for it. `make test` kills once per operation, in the middle; `make crashpoints` at every
request. What the operation does untouched is looked at once for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.crashpoints.acting import Scenario
from tests.crashpoints.conftest import FIGURES, is_whole
from tests.crashpoints.scenarios import SCENARIOS
from tests.crashpoints.stages import Stage
from tests.crashpoints.striking import Fault
from tests.crashpoints.sweeping import ALL_FAULTS, Sweep

CASES = [
    pytest.param(engine, colour, scenario, id=f"{engine}-{colour}-{scenario}")
    for scenario in SCENARIOS
    for engine in scenario.engines
    for colour in (scenario.colours if is_whole() else scenario.colours[:1])
]


@pytest.mark.parametrize(("stage", "colour", "scenario"), CASES, indirect=["stage"])
def test_no_point_of_an_operation_breaks_a_promise(
    stage: Stage,
    colour: str,
    scenario: Scenario,
    house: asyncio.Runner,
    record_property: Callable[[str, object], None],
) -> None:
    sweep = Sweep(scenario, stage, colour, house, is_whole=is_whole())
    untouched = sweep.run(
        tuple(fault for fault in ALL_FAULTS if fault is not Fault.STRANGE or not scenario.may_lose_words)
    )
    figures = ["one fault", stage.engine, scenario.name, sweep.tally.points, sweep.tally.cases]
    record_property(FIGURES, figures)
    if colour == scenario.colours[0]:
        every = range(1, len(untouched.requests) + 1)
        points = every if is_whole() else [every[len(every) // 2]]
        for at in points:
            sweep.kill_for_real(at, untouched)
        record_property(FIGURES, ["SIGKILL", stage.engine, scenario.name, len(points), len(points)])
