"""Reads: they change nothing, and a fault in one leaves nothing behind, not even a lock."""

from __future__ import annotations

from typing import Any

from tests.crashpoints.acting import ANYTHING, Scenario
from tests.crashpoints.scenarios import working
from tests.crashpoints.scenarios.operating import in_every_state
from tests.crashpoints.stages import SECOND, Stage
from unstuck.model.invariant import SCANS
from unstuck.storage.protocol import Filter


def talkative(stage: Stage) -> Any:
    """Jobs in every state; the failed one has an attempt and a line."""
    _, _, (_, failed) = in_every_state(stage)
    stage.ask(stage.store.write_logs([(failed, 1, 1, "a line")]))
    return failed


def reading(name: str, covers: str, act: Any, tells: Any, answer: Any) -> Scenario:
    """A read of the talkative store."""
    return Scenario(
        f"read: {name}", (covers,), talkative, act, tells=tells, first=answer, again=answer, is_reading=True
    )


def inspecting(scan: str) -> Scenario:
    """One scan of the invariants; nothing is broken here."""
    return reading(
        f"inspect {scan}",
        "inspect",
        lambda acting, id: acting.store.inspect(scan),
        lambda portion: type(portion).__name__,
        "Portion",
    )


SCENARIOS = (
    Scenario(
        "read: situation of a ready job",
        ("situation",),
        lambda stage: stage.job().id,
        lambda acting, id: acting.store.situation(id),
        is_reading=True,
    ),
    Scenario(
        "read: inspect owners of which one has ended",
        ("inspect",),
        working.orphaned,
        lambda acting, _: acting.store.inspect("owners"),
        is_reading=True,
    ),
    *map(inspecting, SCANS),
    *(
    reading(name, name.split()[0], act, tells, answer)
    for name, act, tells, answer in (
        ("get", lambda acting, id: acting.store.get(id), lambda job: str(job.state), "failed"),
        ("find", lambda acting, id: acting.store.find(Filter(queue="q")), len, 6),
        ("find by id", lambda acting, id: acting.store.find(Filter(ids=(id,))), len, 1),
        ("tally", lambda acting, id: acting.store.tally(Filter(queue="q")), len, 6),
        ("tally by id", lambda acting, id: acting.store.tally(Filter(ids=(id,))), len, 1),
        ("attempts", lambda acting, id: acting.store.attempts(id), len, 1),
        ("logs", lambda acting, id: acting.store.logs(id), len, 1),
        ("queues", lambda acting, id: acting.store.queues(), len, 1),
        ("meta", lambda acting, id: acting.store.meta(), lambda meta: "instance" in meta, True),
        ("offenders", lambda acting, id: acting.store.offenders(), lambda found: sum(map(len, found.values())), 0),
        ("knowing", lambda acting, id: acting.store.knowing(["t", "x"]), len, 2),
        ("lagging", lambda acting, id: acting.store.lagging(SECOND), type, ANYTHING),
        ("pulse", lambda acting, id: acting.store.pulse(10), lambda pulse: len(pulse.depths), 1),
        ("reach", lambda acting, id: acting.store.reach("q", None, 1), lambda place: place is None, ANYTHING),
        ("situation", lambda acting, id: acting.store.situation(id), lambda found: found is None, False),
        ("holders", lambda acting, id: acting.store.holders(), len, 0),
        ("lacking", lambda acting, id: acting.store.lacking(), len, 0),
        ("sizes", lambda acting, id: acting.store.sizes(), lambda found: len(found) > 0, ANYTHING),
        ("integrity", lambda acting, id: acting.store.integrity(), len, 0),
        ("check", lambda acting, id: acting.store.check(), lambda facts: "version" in facts, True),
    )),
)  # fmt: skip
