"""Does work get done? Queues without a worker, tasks that nobody knows, stalled children, silent loops, notices.

All of it is judged from one bounded survey, the same that the sweep reads, and a few bounded questions. A
notice that only repeats what another check has said is not told twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from unstuck.app.explaining import claiming, served
from unstuck.doctor.finding import Ailment, Check, judged
from unstuck.doctor.looking import Looking
from unstuck.model.notice import Kind
from unstuck.rules.bounding import living
from unstuck.rules.durations import words_of
from unstuck.rules.pausing import silent_loops


async def look_at_queues(looking: Looking) -> Check:
    """Queues that have due jobs and that no living worker serves; a paused one is somebody's wish."""
    began = looking.clock()
    survey = await looking.survey()
    found = [
        Ailment(
            "queue",
            head.queue,
            f"the queue {head.queue!r} has due jobs and no live worker, the oldest for {words_of(max(0, head.oldest_us))}",
            name="queues",
        )
        for head in survey.heads
        if not head.is_paused and head.queue not in served(survey)
    ]
    lag = await looking.ask(looking.store.lagging((await looking.bounds()).bound_us))
    if not claiming(survey):
        # With somebody alive a job that is due and not promoted breaks an invariant, and is told there by id.
        found += [
            Ailment(
                "queue",
                queue,
                f"{_jobs(number)} of {queue} {_are(number)} due, the first for {words_of(longest_us)}, and no worker lives to promote",
                name="queues",
            )
            for queue, (number, longest_us) in sorted(lag.overdue.items())
        ]
    return judged("queues", found, looking.clock() - began)


async def look_at_tasks(looking: Looking) -> Check:
    """Tasks that jobs ask for and that no living worker of their queue knows: at the heads, and parked for it."""
    began = looking.clock()
    survey = await looking.survey()
    claimers = claiming(survey)
    asked = sorted({task for head in survey.heads for task in head.tasks})
    knowing = await looking.ask(looking.store.knowing(asked)) if asked else {}
    found: list[Ailment] = []
    for head in survey.heads:
        here = {worker.id for worker in claimers if head.queue in worker.queues}
        if head.is_paused or not here:
            continue
        for task in sorted(head.tasks):
            if not knowing[task] & here:
                elsewhere = "" if not knowing[task] else " of that queue"
                sentence = (
                    f"jobs in {head.queue} ask for task {task} and no living worker{elsewhere} knows it"
                )
                found.append(Ailment("task", task, sentence, name="tasks"))
    lag = await looking.ask(looking.store.lagging((await looking.bounds()).bound_us))
    parked: dict[str, int] = {}
    for (queue, _), number in lag.parked.items():
        parked[queue] = parked.get(queue, 0) + number
    for queue, number in sorted(parked.items()):
        sentence = f"{_jobs(number)} of {queue} {'waits' if number == 1 else 'wait'} because no living worker knew the task"
        found.append(Ailment("task", queue, sentence, name="tasks"))
    return judged("tasks", found, looking.clock() - began)


async def look_at_children(looking: Looking) -> Check:
    """Children that do not tick: their supervisor lives, and waits for them until the stall limit."""
    began = looking.clock()
    survey = await looking.survey()
    found = [
        Ailment(
            "stalled",
            str(worker.id),
            f"worker {worker.id} (pid {worker.pid} on {worker.host}) does not tick; it holds {_jobs(worker.running)}",
            name="stalled",
        )
        for worker in survey.workers
        if worker.stalled_at is not None
    ]
    return judged("stalled", found, looking.clock() - began)


async def look_at_loops(looking: Looking) -> Check:
    """Loops that have made no good round for a lease on top of their pause, as their process reports it."""
    began = looking.clock()
    survey = await looking.survey()
    found = [
        Ailment(
            "loop",
            str(worker.id),
            f"the loop {name} of worker {worker.id} (pid {worker.pid} on {worker.host}) has made no good round for {age:.0f} s",
            name="loops",
        )
        for worker in living(survey.workers)
        for name, age in silent_loops(worker).items()
    ]
    return judged("loops", found, looking.clock() - began)


async def look_at_notices(looking: Looking, told: Iterable[str]) -> Check:
    """Every notice that stands, but for those that other checks have just told of the same subject."""
    began = looking.clock()
    survey = await looking.survey()
    known = set(told)
    repeated = (Kind.NO_WORKER, Kind.NO_HANDLER, Kind.STALLED, Kind.OLD_SNAPSHOT)
    found = [
        Ailment("health", notice.subject, notice.sentence, name="notices")
        for notice in survey.notices
        if not (notice.kind in repeated and notice.subject in known)
    ]
    return judged("notices", found, looking.clock() - began)


def _jobs(number: int) -> str:
    return f"{number:,} job{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
