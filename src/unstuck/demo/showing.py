"""The demo's course: start, enqueue, kill a child, kill a supervisor, wait, and judge.

The jobs come in three parts, as work does that keeps arriving: with the first part under way a child is
killed; the second follows, and with it under way a whole supervisor; the third comes while what was lost
is still being recovered. Where a part has ended before the victim was found at work, some of the next goes
ahead. Every step waits for a fact (so many have ended, the replacement is registered, the victim is at
work), and only the whole has a time limit, counted from the last progress.

What is shown at the end is counted from the store's rows and the witness after everybody has left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from unstuck.demo import killing
from unstuck.demo.counting import Balance, Ended, Kill, LostAttempt, balance
from unstuck.demo.files import File, to_text
from unstuck.demo.running import Crew, DemoFailed, Pace
from unstuck.demo.serial import Findings, findings_of
from unstuck.demo.view import Scene, View
from unstuck.demo.witness import Witness
from unstuck.model.job import Job
from unstuck.model.states import State
from unstuck.model.worker import Worker
from unstuck.storage.opening import Keeper
from unstuck.storage.protocol import Filter

if TYPE_CHECKING:
    from unstuck.app.app import App
    from unstuck.app.task import Task

PARTS = (0.4, 0.7, 1.0)
"""Up to which share of the files each part goes."""
CHILD_KILLED_AT = 0.15
SUPERVISOR_KILLED_AT = 0.45
SLOW_EACH_PART = 12
MORE = 0.1
"""The share of the files that follows early where all that was there has ended before a kill found somebody at work."""
LOOK_SECONDS = 0.05
LOOK_SHARE = 4.0
"""Looking counts all jobs; with very many of them it rests four times as long as it takes."""
DRAW_SECONDS = 0.25
START_SECONDS = 60.0
PAGE = 500


@dataclass(slots=True)
class Outcome:
    """All that is to be told at the end; seconds."""

    balance: Balance
    work_seconds: float
    serial_seconds: float
    troubles: list[str] = field(default_factory=list[str])

    @property
    def is_fine(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.balance.is_even and not self.troubles


class Showing:
    """One run of the demo over these files."""

    def __init__(
        self,
        files: Sequence[File],
        app: App,
        task: Task[..., Any, Any],
        crew: Crew,
        witness: Witness,
        view: View,
        pace: Pace,
    ):
        self._files = files
        self._app = app
        self._task = task
        self._keeper: Keeper = app.keeper
        self._crew = crew
        self._witness = witness
        self._view = view
        self._pace = pace
        self._jobs: dict[UUID, File] = {}
        self._workers: list[Worker] = []
        self._counts: Mapping[State, int] = {}
        self._progress_at = time.monotonic()
        self._drawn_at = 0.0

    def run(self) -> Outcome:
        """Show everything; answers what came out. Raises DemoFailed and StoreErrors."""
        for _ in range(2):
            self._crew.start()
        self._await_children("two supervisors start, each with {} children", 2)
        began = time.monotonic()
        self._enqueue(PARTS[0])
        first = self._kill(
            lambda: self._ended >= CHILD_KILLED_AT * len(self._files),
            lambda must_hit: killing.kill_child(
                self._crew.living, self._workers, self._keeper, self._witness, must_hit
            ),
        )
        self._await_children("its supervisor has replaced it", 2)
        self._enqueue(PARTS[1])
        second = self._kill(
            lambda: self._ended >= SUPERVISOR_KILLED_AT * len(self._files),
            lambda must_hit: killing.kill_supervisor(
                self._crew.living, self._workers, self._keeper, self._witness, must_hit
            ),
        )
        self._crew.start()
        self._view.say("another supervisor is started in its place")
        self._enqueue(PARTS[2])
        self._watch(lambda: self._ended >= len(self._jobs), self._patience, may_end=True)
        took = time.monotonic() - began
        self._await_children("the new supervisor is at work", 2)
        troubles = self._crew.stop()
        self._look(draw=True)
        troubles += self._doctor()
        return self._judge([kill for kill in (first, second) if kill], took, troubles)

    # Steps

    def _enqueue(self, share: float) -> None:
        part = self._files[len(self._jobs) : max(1, round(share * len(self._files)))]
        if not part:
            return
        every = max(1, len(part) // SLOW_EACH_PART)
        specs = [self._task.spec(to_text(file.path), slowly=n % every == 0) for n, file in enumerate(part)]
        jobs = self._app.enqueue_many(specs)
        self._jobs.update((job.id, file) for job, file in zip(jobs, part, strict=True))
        self._view.say(f"{len(part):,} files enqueued, {len(self._jobs):,} of {len(self._files):,}")

    def _await_children(self, what: str, teams: int) -> None:
        """Wait until so many supervisors have all their children registered."""
        wanted = self._pace.processes

        def are_there() -> bool:
            crew = self._crew.living
            full = [one for one in crew if len(killing.children_of(one, self._workers)) >= wanted]
            return len(full) >= teams

        self._watch(are_there, START_SECONDS)
        self._view.say(what.format(wanted))

    def _kill(self, when: Callable[[], bool], strike: Callable[[bool], Kill | None]) -> Kill | None:
        """Strike once it is time and the victim is at work; where no work is left at all, all the same."""
        self._watch(lambda: when() or self._ended >= len(self._jobs), self._patience)
        struck: list[Kill] = []

        def has_struck() -> bool:
            if self._ended >= len(self._jobs):
                self._enqueue(min(len(self._jobs) / len(self._files) + MORE, 1.0))
            kill = strike(self._ended < len(self._jobs))
            struck.extend([kill] if kill else [])
            return bool(struck)

        self._watch(has_struck, self._patience)
        kill = struck[0]
        whom = "a child" if kill.what == "child" else "a supervisor with its children"
        self._view.say(f"SIGKILL for {whom}, pid {kill.pid}: it owned {len(kill.owned)} attempts")
        return kill

    @property
    def _patience(self) -> float:
        return 3 * self._pace.bound + 30

    @property
    def _ended(self) -> int:
        return sum(self._counts.get(state, 0) for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED))

    def _watch(self, is_done: Callable[[], bool], patience: float, may_end: bool = False) -> None:
        """Look and draw until something is true; without progress for so long, DemoFailed or just an end."""
        self._progress_at = time.monotonic()
        while True:
            self._crew.check()
            began = time.monotonic()
            self._look()
            looked = time.monotonic() - began
            if is_done():
                return
            if time.monotonic() - self._progress_at > patience:
                if may_end:
                    return
                words = "; ".join(f"supervisor {one.number}: {one.last_word()}" for one in self._crew.living)
                raise DemoFailed(f"nothing has moved for {patience:g} s; the last words of {words}")
            time.sleep(max(LOOK_SECONDS, LOOK_SHARE * looked))

    def _look(self, draw: bool = False) -> None:
        store, before = self._keeper.store, self._ended
        tally = self._keeper.run(store.tally(Filter(task=self._task.name)))
        counts: dict[State, int] = {}
        for (_, state), count in tally.items():
            counts[state] = counts.get(state, 0) + count
        self._counts = counts
        self._workers = self._keeper.run(store.workers(include_ended=True))
        self._witness.read()
        now = time.monotonic()
        if self._ended > before:
            self._progress_at = now
        if draw or now - self._drawn_at > DRAW_SECONDS:
            self._drawn_at = now
            starts, again = len(self._witness.starts), self._witness.ran_again
            self._view.show(Scene(len(self._files), counts, starts, again, self._workers))

    def _doctor(self) -> list[str]:
        found = self._keeper.run(self._keeper.store.offenders())
        return [f"doctor: {what}: {', '.join(ids)}" for what, ids in found.items() if ids]

    # The end

    def _judge(self, kills: list[Kill], took: float, troubles: list[str]) -> Outcome:
        self._view.say("everybody has left; now the same, plainly, one file after the other")
        began = time.monotonic()
        expected = {job_id: findings_of(file.path) for job_id, file in self._jobs.items()}
        plain = time.monotonic() - began
        changed = {job_id for job_id, file in self._jobs.items() if file.has_changed()}
        rows = self._rows()
        ended = {row.id: self._ended_of(row) for row in rows}
        attempts = [
            LostAttempt(one.job_id, one.fence, one.worker_id, one.outcome)
            for row in rows
            if row.fence > 1 or row.losses or row.crashes or row.failures
            for one in self._keeper.run(self._keeper.store.attempts(row.id))
        ]
        found = balance(expected, ended, attempts, self._witness.read(), kills, changed)
        if len(kills) < 2:
            troubles.append("not everything that was to be killed was killed")
        return Outcome(found, took, plain, troubles)

    def _rows(self) -> list[Job]:
        rows: list[Job] = []
        while True:
            after = rows[-1].id if rows else None
            which = Filter(task=self._task.name, after=after, limit=PAGE)
            page = self._keeper.run(self._keeper.store.find(which))
            rows += page
            if len(page) < PAGE:
                return rows

    def _ended_of(self, row: Job) -> Ended:
        findings: Findings | None = None
        fence: int | None = None
        if row.result is not None:
            from unstuck.demo.tasks import Answer

            answer = msgspec.json.decode(row.result, type=Answer)
            findings, fence = answer.findings, answer.fence
        return Ended(row.id, row.state, row.generation, row.fence, findings, fence)
