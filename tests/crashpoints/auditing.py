"""What must be true when all is quiet, judged from the rows and from the trail of the triggers.

Nothing lost: every job that was ever inserted is there, and has ended, or was deleted after its end. No
two endings: per generation a row becomes final once, and its fence rises with claims alone. Nothing run
after its end, and nothing run twice by one process that met no fault. No invariant of the store broken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.crashpoints.recovering import Fresh
from tests.crashpoints.stages import Stage
from unstuck.model.states import ENDED, TRANSITIONS, State

FINAL_STATES = frozenset(state.value for state in ENDED)
EDGES = {(source.value, target.value) for (source, _), target in TRANSITIONS.items()}


@dataclass(frozen=True)
class Wanted:
    """How a job must end, and how often the fresh process must have run it."""

    state: State
    runs: int


def audit(stage: Stage, fresh: Fresh, wanted: Mapping[str, Wanted], is_quiet: bool) -> None:
    """Judge the store that `fresh` has run to quiet. A job that is not `wanted` otherwise ran once, and well."""
    rows = stage.content()
    jobs = {row["id"]: row for row in rows["jobs"]}
    unfinished = [
        (row["id"], row["state"], row["reason"]) for row in jobs.values() if row["state"] not in FINAL_STATES
    ]
    assert is_quiet, f"stuck: {unfinished or [(row['id'], row['reason']) for row in rows['workers']]}"
    assert not fresh.errors, fresh.errors
    broken = {name: ids for name, ids in stage.ask(stage.store.offenders()).items() if ids}
    assert not broken, broken
    audit_trail(stage.trail(), jobs)
    for job_id, row in jobs.items():
        due = wanted.get(job_id, Wanted(State.SUCCEEDED, 1))
        assert row["state"] == due.state, (
            f"job {job_id} ended as {row['state']} ({row['reason']}), not {due.state}"
        )
        runs = fresh.ran[UUID(job_id)]
        assert runs == due.runs, f"job {job_id} was run {runs} times by the fresh process, not {due.runs}"


def audit_trail(trail: list[dict[str, Any]], jobs: Mapping[str, Any]) -> None:
    """Judge everything that ever happened to a job's row."""
    born: set[str] = set()
    gone: set[str] = set()
    endings: dict[tuple[str, int], int] = defaultdict(int)
    for step in trail:
        job, state = step["id"], step["state"]
        if step["what"] == "insert":
            assert job not in born, f"job {job} was inserted twice"
            born.add(job)
            continue
        if step["what"] == "delete":
            assert state in FINAL_STATES, f"job {job} was deleted while it was {state}"
            gone.add(job)
            continue
        assert state == step["was"] or (step["was"], state) in EDGES, f"job {job}: {step['was']} to {state}"
        rises = step["fence"] - step["was_fence"]
        assert rises == (1 if state == "running" and step["was"] != "running" else 0), f"the fence of {step}"
        if state in FINAL_STATES and step["was"] != state:
            endings[job, step["generation"]] += 1
            assert endings[job, step["generation"]] == 1, f"job {job} ended twice"
        if step["was"] in FINAL_STATES and state not in FINAL_STATES:
            assert step["generation"] == step["was_generation"] + 1, f"job {job} came back by itself"
    assert born - gone == jobs.keys(), (
        f"lost: {born - gone - jobs.keys()}; from nowhere: {jobs.keys() - born}"
    )
