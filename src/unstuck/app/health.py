"""Does work get done? What `app.health()` answers, for a probe or a status page.

Healthy means: the store answers, every queue with due jobs has a living worker and is not left waiting,
every loop of every living worker goes round, and no notice stands. A paused queue is somebody's wish, not an illness. The look is bounded reads, so a
probe may ask every few seconds whatever the backlog.
"""

from __future__ import annotations

from dataclasses import dataclass

from unstuck.app.commands import Command
from unstuck.app.explaining import claiming, living, served
from unstuck.model.errors import StoreError
from unstuck.model.notice import Notice
from unstuck.rules.pausing import silent_loops
from unstuck.storage.protocol import Store, Survey


@dataclass(frozen=True, slots=True)
class Health:
    """`ok` where nothing is wrong; `problems` are sentences. `workers` counts those that claim jobs."""

    ok: bool
    store: str
    workers: int
    problems: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def watch_health(store: Store, shown: str) -> Command[Health]:
    """Look once; a store that cannot answer is a finding, not an error."""
    try:
        survey: Survey = yield store.survey()
    except StoreError as error:
        return Health(False, shown, 0, (f"the store does not answer: {error}",))
    return judged(survey, shown)


def judged(survey: Survey, shown: str) -> Health:
    """What a survey says about health."""
    served_queues = served(survey)
    problems = [
        f"the queue {head.queue!r} has due jobs and no live worker"
        for head in survey.heads
        if not head.is_paused and head.queue not in served_queues
    ]
    said = {notice.subject for notice in survey.notices if notice.kind == "no_worker"}
    problems = [one for one in problems if not any(repr(subject) in one for subject in said)]
    problems += [
        f"the loop {name} of process {worker.pid} on {worker.host} has made no good round for {age:.0f} s"
        for worker in living(survey)
        for name, age in silent_loops(worker).items()
    ]
    problems += [notice.sentence for notice in survey.notices]
    return Health(not problems, shown, len(claiming(survey)), tuple(problems), tuple(survey.notices))
