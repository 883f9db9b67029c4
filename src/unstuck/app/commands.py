"""Everything that can be asked of the store from the front door, written once for both colours.

A command is a generator that yields wishes (a `Plan` to run, a `Pause`, a plan with a hint beside it) and is sent
their answers; `perform` and `aperform` fulfil them, blocking or awaiting. A plan is atomic, a command is
not: between two plans the world may move, so each command reads again where that matters.

An enqueue whose answer was lost is repeated with the same id for about five seconds, so the caller learns
either that the job is there or that the store is gone. Who waits for a result is as patient with a store
that restarts. Nothing else is repeated: a cancel or a read that fails may simply be asked again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from unstuck.app import explaining
from unstuck.app.explaining import Explanation, not_found, served
from unstuck.model.alike import Alike
from unstuck.model.errors import IdConflict, JobNotFound, StoreError, StoreUnavailable
from unstuck.model.job import Inserted, Job, NewJob
from unstuck.model.states import Reason, State
from unstuck.rules.judging import ended_by_request
from unstuck.storage.plan import Plan
from unstuck.storage.protocol import Situation, Store, Survey

if TYPE_CHECKING:
    from unstuck.storage.opening import Keeper

R = TypeVar("R")

PATIENCE_SECONDS = 5.0
"""How long a store may be away before the caller is told."""

FIRST_PAUSE_SECONDS = 0.05
WAIT_FIRST_SECONDS = 0.02
WAIT_LAST_SECONDS = 1.0
"""The longest pause between two looks at a job somebody waits for: the default poll."""

CANCEL_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Telling:
    """Run a plan, and wake workers of these queues if it does not fail; nothing depends on their waking."""

    plan: Plan[Any]
    queues: frozenset[str]


Command = Generator[Plan[Any] | Pause | Telling, Any, R]


def perform(keeper: Keeper, command: Command[R]) -> R:
    """Fulfil a command's wishes, blocking."""
    try:
        wish = next(command)
        while True:
            try:
                answer: Any = None
                if isinstance(wish, Plan):
                    answer = keeper.run(wish)
                elif isinstance(wish, Pause):
                    time.sleep(wish.seconds)
                else:
                    answer = keeper.run_telling(wish.plan, wish.queues)
            except StoreError as error:
                wish = command.throw(error)
            else:
                wish = command.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        command.close()


async def aperform(keeper: Keeper, command: Command[R]) -> R:
    """Fulfil a command's wishes, awaiting; the twin of `perform`, word for word."""
    try:
        wish = next(command)
        while True:
            try:
                answer: Any = None
                if isinstance(wish, Plan):
                    answer = await keeper.arun(wish)
                elif isinstance(wish, Pause):
                    await asyncio.sleep(wish.seconds)
                else:
                    answer = await keeper.arun_telling(wish.plan, wish.queues)
            except StoreError as error:
                wish = command.throw(error)
            else:
                wish = command.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        command.close()


def enqueue(
    store: Store, jobs: Sequence[NewJob], watch: QueueWatch, clock: Callable[[], float] = time.monotonic
) -> Command[list[Inserted]]:
    """Insert jobs, all or none, and wake whoever can run them now."""
    end, pause = clock() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
    queues = due_queues(jobs)
    while True:
        try:
            answers: list[Inserted] = yield Telling(store.insert(jobs), queues)
            break
        except StoreUnavailable:
            # OutcomeUnknown is one of these. The same ids go again, so what did happen does not happen twice.
            if clock() + pause >= end:
                raise
            yield Pause(pause)
            pause = min(pause * 2, WAIT_LAST_SECONDS)
    yield from _see(store, jobs, queues, watch)
    return answers


def enqueue_each(
    store: Store, jobs: Sequence[NewJob], watch: QueueWatch
) -> Command[list[Inserted | IdConflict]]:
    """Try once to insert jobs, each by itself but in one commit; see `grouping`."""
    queues = due_queues(jobs)
    answers: list[Inserted | IdConflict] = yield Telling(store.insert_each(jobs), queues)
    yield from _see(store, jobs, queues, watch)
    return answers


def _see(store: Store, jobs: Sequence[NewJob], queues: frozenset[str], watch: QueueWatch) -> Command[None]:
    """Jobs are in: see, now and then, that there is somebody to run them."""
    if watch.wants_to_look(queues or {job.queue for job in jobs}):
        try:
            watch.saw((yield store.survey()))
        except StoreError:
            pass  # The jobs are in; a look that failed is no reason to say otherwise.


def due_queues(jobs: Iterable[NewJob]) -> frozenset[str]:
    """The queues in which something is to be done at once; what is due later needs no hint."""
    if type(jobs) is Alike:  # to ask an abstract class for its instances takes longer
        jobs = jobs[:1]
    return frozenset([job.queue for job in jobs if not job.delay_us and job.due_at is None])


def ask(plan: Plan[R]) -> Command[R]:
    """One plan, nothing around it."""
    answer: R = yield plan
    return answer


def get(store: Store, job_id: UUID) -> Command[Job]:
    """The job as it is now. Raises JobNotFound."""
    job: Job | None = yield store.get(job_id)
    if job is None:
        raise JobNotFound(f"there is no job {job_id}: it was never enqueued here, or its retention is over")
    return job


def wait(
    store: Store, job_id: UUID, timeout: float | None, clock: Callable[[], float] = time.monotonic
) -> Command[Job]:
    """The job once it has ended. Raises TimeoutError after `timeout` seconds.

    The pause between two looks is a tenth of the time waited so far, 20 ms to 1 s: an answer is late by
    a tenth at most, and who waits an hour asks once a second.
    """
    begin = answered = clock()
    state = "not known: the store does not answer"
    while True:
        try:
            job = yield from get(store, job_id)
            answered, state = clock(), f"{job.state}"
            if job.is_final:
                return job
        except StoreUnavailable:
            if clock() - answered >= PATIENCE_SECONDS:
                raise
        waited = clock() - begin
        pause = min(max(waited / 10, WAIT_FIRST_SECONDS), WAIT_LAST_SECONDS)
        if timeout is not None:
            if waited >= timeout:
                raise TimeoutError(f"job {job_id} has not ended within {timeout:g} s: it is {state}")
            pause = min(pause, timeout - waited)
        yield Pause(pause)


def cancel(
    store: Store, job_id: UUID, draw: Callable[[], UUID], reason: Reason = Reason.CANCELLED
) -> Command[bool]:
    """End a job that does not run, ask a running one to stop; False where it had ended already."""
    for _ in range(CANCEL_ROUNDS):
        job = yield from get(store, job_id)
        if job.is_final:
            return job.state is State.CANCELLED and job.reason is reason
        if job.state is State.RUNNING:
            asked: int = yield store.ask_cancel([job_id])
            if asked or job.cancel_asked_at is not None:
                return True
        else:
            settled = yield store.settle([ended_by_request(job, draw(), reason)])
            if settled[0].is_recorded:
                return True
    raise StoreUnavailable(
        f"job {job_id} changed {CANCEL_ROUNDS} times while it was being cancelled: try again"
    )


def explain(store: Store, job_id: UUID) -> Command[Explanation]:
    """Why the job stands where it stands, judged in one snapshot; a job that is not there is explained too."""
    seen: Situation | None = yield store.situation(job_id)
    return not_found(job_id) if seen is None else explaining.explain(seen)


class QueueWatch:
    """Says when a queue that jobs go into has no live worker: looks once a minute at most.

    Where a worker runs, its sweep keeps notices. Where none runs at all, nobody would say anything but
    the one who enqueues.
    """

    EVERY_SECONDS = 60.0

    def __init__(self, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self._warn = warn
        self._clock = clock
        self._looked_at: float | None = None
        self._queues: set[str] = set()

    def wants_to_look(self, queues: Iterable[str]) -> bool:
        """Remember these queues; True where it is time to look."""
        self._queues.update(queues)
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < self.EVERY_SECONDS:
            return False
        self._looked_at = now
        return True

    def saw(self, survey: Survey) -> None:
        """What a look found: warns of every queue remembered that nobody serves."""
        queues, self._queues = self._queues, set()
        for queue in sorted(queues - served(survey)):
            self._warn(
                f"no live worker serves the queue {queue!r}: its jobs wait until one does (unstuck worker -q {queue})"
            )
