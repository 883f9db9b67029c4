"""The ladder: each step is there with its record or not at all, and whoever comes next goes on.

The store has no tables yet; after the sweep of each point the steps are applied again, and the schema
must be the one that this version wants.
"""

from __future__ import annotations

from typing import Any

from tests.crashpoints.acting import Acting, Scenario
from unstuck.storage.migrating import read_rungs


def apply(acting: Acting, prepared: Any) -> Any:
    return acting.keeper.migrator.apply()


def status(acting: Acting, prepared: Any) -> Any:
    return acting.keeper.migrator.status()


SCENARIOS = (
    *(
        Scenario(
            f"apply the steps of the schema of {engine}", ("migrator.apply",), lambda stage: None, apply,
            tells=len, first=len(read_rungs(engine)), again=0, colours=("blocking",), engines=(engine,),
            is_bare=True,
        )
        for engine in ("sqlite", "postgres")
    ),
    Scenario(
        "ask where the schema stands", ("migrator.status",), lambda stage: None, status,
        tells=lambda stands: stands.state, first="current", again="current", colours=("blocking",),
        is_reading=True,
    ),
)  # fmt: skip
