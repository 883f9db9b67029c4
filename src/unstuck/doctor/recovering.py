"""What lost its owner: inside the published bound it is recovering, with a moment; beyond it is overdue.

R is counted from the later of the lease's end and the first worker that lives and could do it, with the leases
and settings that the workers themselves have reported.
"""

from __future__ import annotations

from datetime import datetime

from unstuck.doctor.finding import Ailment, Check, judged
from unstuck.doctor.looking import Looking
from unstuck.model.moments import moment
from unstuck.model.worker import Worker
from unstuck.rules.bounding import due_by, left_at
from unstuck.rules.durations import words_of
from unstuck.storage.protocol import Survey

ORPHANS_MAX = 500


async def look_at_orphans(looking: Looking) -> Check:
    """Jobs that run in the store and nowhere else, and workers that are silent with jobs in hand."""
    began = looking.clock()
    survey = await looking.survey()
    orphans = await looking.ask(looking.store.orphans(ORPHANS_MAX))
    found: list[Ailment] = []
    for job, worker in orphans:
        if worker is not None:
            what = f"job {job.id} ({job.task}) lost its worker"
            found.append(told("orphan", str(job.id), what, worker, survey))
    for worker in survey.workers:
        if worker.ended_at is None and (worker.lease_left_us or 0) <= 0:
            jobs = f"{worker.running:,} job{'' if worker.running == 1 else 's'}"
            what = f"worker {worker.id} (pid {worker.pid} on {worker.host}) is silent with {jobs}"
            if worker.running:
                found.append(told("orphan", str(worker.id), what, worker, survey))
    found.sort(key=lambda one: one.due_by is not None)
    return judged("orphans", found, looking.clock() - began, is_cut=len(orphans) >= ORPHANS_MAX)


def due(worker: Worker, survey: Survey) -> datetime | None:
    """By when what this worker left must be recovered; None where nobody lives that could."""
    return due_by(left_at(worker, moment(survey.now_us)), worker.lease_us, survey.workers)


def told(kind: str, subject: str, what: str, worker: Worker, survey: Survey) -> Ailment:
    """What was left, and by when it must be over."""
    now, until = moment(survey.now_us), due(worker, survey)
    if until is None:
        return Ailment(kind, subject, f"{what}; no worker lives that could recover it", name="orphans")
    if until >= now:
        left = words_of(max(0, int((until - now).total_seconds() * 1_000_000)))
        sentence = f"{what}; recovering, due by {until:%H:%M:%S}Z (in {left})"
        return Ailment(kind, subject, sentence, until, name="orphans")
    over = words_of(int((now - until).total_seconds() * 1_000_000))
    return Ailment(
        kind, subject, f"{what}; overdue since {until:%Y-%m-%d %H:%M:%S}Z ({over})", name="orphans"
    )
