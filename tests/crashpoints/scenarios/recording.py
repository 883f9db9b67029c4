"""What is written down beside the work: repairs with their entries, and the event log, turned on and off.

The log is made of tables and triggers, so its stage is a store of its own, as for the steps of the schema.
"""

from __future__ import annotations

from typing import Any

from tests.crashpoints.acting import Acting, Scenario
from tests.crashpoints.scenarios import working
from tests.crashpoints.stages import Stage
from unstuck.model.audit import Repair

HOW_MANY = 9


def repair(acting: Acting, it: Any) -> Any:
    """End a worker, and in the same transaction say that we did."""
    entry_id = acting.kept("entry", acting.id)

    def entries(ended: bool) -> list[Repair]:
        return [Repair(entry_id, "somebody", "end_worker", "worker", str(it[0]), "cause", "why")] * ended

    return acting.store.audited(acting.store.end_worker(it[0], "repaired"), entries)


def repair_all(acting: Acting, it: Any) -> Any:
    """The same of an operation that goes on with another one: still one transaction."""
    entry_id = acting.kept("entry", acting.id)

    def entries(ended: list[Any]) -> list[Repair]:
        return [Repair(entry_id, "somebody", "end_lapsed", "worker", "all", "cause", "why")][: len(ended)]

    return acting.store.audited(acting.store.end_lapsed(), entries)


def repaired(stage: Stage) -> Any:
    worker = stage.worker()
    entry = Repair(stage.id(), "somebody", "end_worker", "worker", str(worker), "cause", "why")
    stage.ask(stage.store.audited(stage.store.end_worker(worker, "repaired"), lambda ended: [entry]))


def migrated(stage: Stage) -> None:
    stage.keeper(None).migrator.apply()


def logged(stage: Stage) -> None:
    migrated(stage)
    stage.keeper(None).migrator.keep_events(True)
    stage.job()


SCENARIOS = (
    Scenario("repair a worker", ("audited",), working.running, repair, first=True, again=False),
    Scenario(
        "repair lapsed workers", ("audited",), working.lapsed, repair_all, tells=len, first=2, again=0
    ),
    Scenario(
        "list repairs", ("audit",), repaired, lambda acting, _: acting.store.audit(HOW_MANY), tells=len,
        first=1, again=1, is_reading=True,
    ),
    Scenario(
        "turn the event log on", ("migrator.keep_events",), migrated,
        lambda acting, _: acting.keeper.migrator.keep_events(True), first=True, again=False,
        colours=("blocking",), is_bare=True,
    ),
    Scenario(
        "turn the event log off", ("migrator.keep_events",), logged,
        lambda acting, _: acting.keeper.migrator.keep_events(False), first=True, again=False,
        colours=("blocking",), is_bare=True,
    ),
    Scenario(
        "read the event log", ("events",), logged, lambda acting, _: acting.store.events(None, HOW_MANY),
        tells=len, first=1, again=1, is_reading=True, is_bare=True,
    ),
)  # fmt: skip
