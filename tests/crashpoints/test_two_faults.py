"""Two faults in a row: the second one strikes whoever comes to put the first one right.

For the ten operations that are done most. Where the first fault kills the process, the second kills or
troubles the fresh one at one of *its* requests, and yet another one runs to quiet; where the first only
disturbs, the second strikes the repetition. `make test` takes each point of the operation with some requests
of the recovery, each time others; `make crashpoints` takes them all.
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
from tests.crashpoints.sweeping import Sweep

MOST_USED = (
    "enqueue a job",
    "insert several jobs",
    "claim",
    "settle: success",
    "settle: failure with tries left",
    "settle: two successes with jobs that follow",
    "promote",
    "register",
    "renew",
    "end lapsed workers",
)
STEP = 100
SECOND_FAULTS = (Fault.KILLED, Fault.UNANSWERED, Fault.LOST)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.mark.timeout(900)  # `make crashpoints` strikes every request of a recovery
@pytest.mark.parametrize("scenario", [BY_NAME[name] for name in MOST_USED], ids=str)
@pytest.mark.parametrize("stage", ["sqlite", "postgres"], indirect=True)
def test_a_second_fault_breaks_nothing_either(
    stage: Stage,
    scenario: Scenario,
    house: asyncio.Runner,
    record_property: Callable[[str, object], None],
) -> None:
    sweep = Sweep(scenario, stage, "blocking", house)
    untouched = sweep.untouched()
    step = 1 if is_whole() else STEP
    for at in range(1, len(untouched.requests) + 1):
        sweep.strike_repetition(at, untouched)
        for fault in SECOND_FAULTS if is_whole() else SECOND_FAULTS[at % len(SECOND_FAULTS) :][:1]:
            sweep.strike_recovery(at, fault, untouched, first=1 + 4 * at % step, step=step)
    figures = ["two faults", stage.engine, scenario.name, len(untouched.requests), sweep.tally.cases]
    record_property(FIGURES, figures)
