"""What clients ask for, drawn from a seed: most jobs are short and end well, some do everything that jobs can.

A `Wish` is a spec with an id chosen beforehand, so that it can be repeated until it is acknowledged, and the
facts about it that the check needs later. Handlers last far less than a lease, but some outlive one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.chaos import tasks
from unstuck import Spec, Task
from unstuck.model.ids import uuid7

QUEUES = ("default", "slow")

ENDINGS = {
    "value": 840.0,
    "second": 40.0,
    "snooze": 20.0,
    "fail": 20.0,
    "never": 15.0,
    "cancel": 15.0,
    "heed": 40.0,
    "overtime": 6.0,
    "die": 0.5,
}
"""How often each ending is drawn, in a thousand."""

SECONDS = {(0.0, 0.02): 780.0, (0.05, 0.6): 170.0, (0.6, 3.0): 45.0, (0.8, 1.6): 4.0}
"""How long handlers take and how often that is drawn; the last is in leases."""

TRIES = 4
OVERTIME_SECONDS = 1.0


@dataclass(frozen=True)
class Wish:
    """One job to be enqueued, and what is known about it."""

    id: UUID
    spec: Spec[Any]
    send: Callable[[], object]
    asend: Callable[[], Coroutine[Any, Any, object]]
    facts: dict[str, Any]


class Drawing:
    """Draws wishes; `lease` in seconds is what the longest handlers are measured by."""

    def __init__(self, seed: str, lease: float) -> None:
        self.dice = random.Random(seed)
        self.lease = lease

    def wish(self) -> Wish:
        dice = self.dice
        (ending,) = dice.choices(list(ENDINGS), list(ENDINGS.values()))
        (span,) = dice.choices(list(SECONDS), list(SECONDS.values()))
        seconds = dice.uniform(*span) * (self.lease if span == (0.8, 1.6) else 1.0)
        task = self._task(ending)
        if ending == "value" and dice.random() < 0.05:
            task = tasks.work_inside
        options: dict[str, Any] = {"priority": dice.choice((0, 0, 0, -2, 5))}
        if task is not tasks.work_inside:
            options["tries"] = TRIES
        if ending == "overtime":
            options |= {"timeout": OVERTIME_SECONDS, "tries": 1}
            seconds = OVERTIME_SECONDS + 60.0
        if seconds > 0.05:
            options["queue"] = "slow"
        if dice.random() < 0.10:
            options["delay"] = round(dice.uniform(0.0, self.lease), 3)
        elif dice.random() < 0.03:
            options["expires"] = round(dice.uniform(0.5, 2 * self.lease), 3)
        if dice.random() < 0.08:
            follower = uuid7()
            options["then"] = tasks.work.using(id=follower).spec(0.0, "value")
        return self._made(task, round(seconds, 3), ending, options)

    def _task(self, ending: str) -> Task[[float, str], str, Any]:
        if ending == "die" or self.dice.random() < 0.003:
            return tasks.work_alone
        if ending == "heed":
            return tasks.work
        if ending == "overtime":
            return tasks.awork
        return self.dice.choice((tasks.work, tasks.awork))

    def _made(
        self, task: Task[[float, str], str, Any], seconds: float, ending: str, options: dict[str, Any]
    ) -> Wish:
        job_id = uuid7()
        bound = task.using(id=job_id, **options)
        facts = {name: value for name, value in options.items() if name != "then"}
        if "then" in options:
            facts["then"] = str(options["then"].job().id)
        facts |= {"id": str(job_id), "task": task.name, "seconds": seconds, "ending": ending}
        return Wish(
            job_id,
            bound.spec(seconds, ending),
            lambda: bound.enqueue(seconds, ending),
            lambda: bound.aenqueue(seconds, ending),
            facts,
        )
