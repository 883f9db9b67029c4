"""What may happen to a job between two sightings of its row."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.simulation.loop import Process
from tests.simulation.world import Scenario, World
from unstuck.model.job import NewJob
from unstuck.model.worker import NewWorker
from unstuck.rules import judging
from unstuck.storage.memory import MemoryConnection, MemoryStore, MemoryTables
from unstuck.storage.plan import run

OWNER, JOB, VERDICT = (UUID(int=number) for number in (1, 2, 3))


@pytest.mark.parametrize(("world", "is_legal"), [("sqlite", True), ("memory", False)])
def test_what_is_given_back_and_claimed_in_one_commit_is_two_moves(world: str, is_legal: bool) -> None:
    """On one file endings go with the next claim; elsewhere nobody sees the one without the other."""
    store, tables = MemoryStore(), MemoryTables(lambda: 1_000_000_000_000_000)
    connection = MemoryConnection(tables)
    run(connection, store.register(NewWorker(OWNER, "solo", None, "here", 1, 10**9, ("q",), ("t",))))
    run(connection, store.insert([NewJob(id=JOB, queue="q", task="t", args="{}")]))
    (claimed,) = run(connection, store.claim(OWNER, "q", ["t"], 1))
    before = tables.jobs[JOB]
    run(connection, store.settle([judging.handed_back(claimed, VERDICT, OWNER, started=False)]))
    run(connection, store.claim(OWNER, "q", ["t"], 1))
    simulated = World(Scenario(1, world))
    try:
        simulated.auditor.seen.workers[OWNER] = tables.workers[OWNER]
        simulated.auditor._jobs.moved(Process("worker"), before, tables.jobs[JOB])
        assert (simulated.auditor.findings == []) is is_legal
    finally:
        simulated.ground.close()
