"""Asking for work, course by course.

There is one *course* per queue and kind of place, taken in turn, each claimed from behind the place in
line where its own last claim ended (the cursor), because the head of the index may be full of entries
that are gone but not yet vacuumed. An empty answer sends the cursor back to the start once, where that is paid for
(`looking_back`); a course that is empty then is dry until the next look sees something ready, or for longer where to
ask costs much (`fallow`). For how many a claim asks says its `demand`; how far it may walk is known before it goes
(`strides`).

Where the store has one writer only (`companion`), a claim takes along what has ended since the last commit, and waits
for endings that are on their way: their two commits become one. Endings wait a moment for a claim that is sure to
come: were they on their way when half of what is in hand has run, the claim would go when nothing is left to run.

A claim whose answer is lost may have happened; nobody guesses. The attempts are then running in the
store under this worker and unknown here, and reconciling gives them back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from unstuck.engine.answer import Answer
from unstuck.engine.demand import Course, Demand
from unstuck.engine.executing import Executor
from unstuck.engine.fallow import Fallow
from unstuck.engine.looking_back import SHARE, SHARE_IN_VAIN, LookingBack
from unstuck.engine.patience import Bell
from unstuck.engine.settling import Settling
from unstuck.engine.shift import Shift
from unstuck.engine.strides import NOBODY, Errand, Strides, Walk
from unstuck.model.job import ClaimedJob
from unstuck.model.verdict import Settled
from unstuck.storage.plan import Plan, both
from unstuck.storage.protocol import Cursor, Since

SECONDS_PER_JOB = 0.00006
"""What a claim takes longer for each job that it brings, which is no price of finding them (0.02 to 0.03 ms of the
server, as much for reading the answer)."""


class Claiming:
    """The claiming loop of one worker."""

    def __init__(self, shift: Shift, executor: Executor, companion: Settling | None = None):
        self._shift = shift
        self._executor = executor
        self._companion = companion
        self._has_failed = False
        if companion is not None:
            companion.is_claiming_next, companion.is_claiming_soon = self._is_next, self._is_soon
        self._demand = Demand(shift, executor)
        self._courses = self._demand.courses()
        self.back = LookingBack(shift.settings, shift.env.dice.random)
        self._cursors: dict[Course, Cursor] = {}
        # How far each course has come: what lies before is claimed only in looking back.
        self._highest: dict[Course, Cursor] = {}
        # Sent back while a claim of theirs was under way: what that brings says nothing about where to go on.
        self._sent_back: set[Course] = set()
        self._strides: Strides[Course] = Strides(self.back.slack_us / 1_000_000, shift.env.stride)
        self._dry: set[Course] = set()
        self._fallow: Fallow[Course] = Fallow(shift.settings.lease)
        # Courses whose last claim brought all that it asked for: there is more behind it.
        self._full: dict[Course, None] = {}
        # Queues of which nothing is known but a hint.
        self._hinted: set[str] = set()
        # Whether the look that follows a hint is still to be called.
        self._owes_look = False
        self._turn = 0
        self._fruitful = 0
        self._out_of_sight = Bell()

    def look_back(self, queue: str, line: int | None = None, *, is_first: bool = False) -> None:
        """Start the next scans of this queue at this line, if they have come further; without one, at its head.
        `is_first`: whether nothing is ready before that line.

        A course for which that is not paid for starts no further back than a few moments, and without a line where it was.
        """
        self._hinted.discard(queue)
        now, is_empty = self._shift.env.now(), self._shift.is_empty
        is_crowded = bool(self._full) and any(course.share.name == queue for course in self._full)
        for course in self._courses:
            if course.share.name == queue:
                highest = self._highest.get(course)
                if self._strides.is_walking(course):
                    self._strides.look_in(course, self._cursors.get(course), (line, self.back.lately_us), now)
                    continue
                is_wanted = is_empty or not is_crowded or self._fallow.is_due(course, now)
                start, is_paid = None if line is None else Cursor(line, NOBODY), True
                if highest is not None and not self.back.is_due(now, course):
                    if line is None:
                        if is_wanted:
                            self._dry.discard(course)
                        continue
                    near = Cursor(highest.line - self.back.slack_us, NOBODY)
                    start, is_paid = near if start is None or start.before(near) else start, False
                self._send_back(course, start, is_wanted, is_first=is_first and is_paid)
        if is_empty:
            # Nobody waits for his turn; where the last job was, the next is likely, and it should start soon.
            self._turn = self._fruitful

    def _send_back(
        self, course: Course, start: Cursor | None, is_wanted: bool = True, *, is_first: bool = False
    ) -> None:
        cursor = self._cursors.get(course)
        if start is None:
            self._cursors.pop(course, None)
        elif is_first if cursor is None else start.before(cursor):
            # Who is about to begin at the head is sent no further than that, past what waits there.
            self._cursors[course] = start
        self._sent_back.add(course)
        if is_wanted:
            self._dry.discard(course)

    def fetch(self, queue: str, line: int, count: int) -> None:
        """At most so many jobs stand at this line and behind it: claim these, and go on where the claims were.

        Where they had not come that far they will meet them by themselves; where to begin at any line is free, they begin there.
        """
        now = self._shift.env.now()
        for course in self._courses:
            if course.share.name != queue:
                continue
            highest, is_walking = self._highest.get(course), self._strides.is_walking(course)
            place = self._cursors.get(course)
            if is_walking or (highest is not None and not self.back.is_due(now, course)):
                is_behind_us = place is not None and line <= place.line
                if highest is not None and (is_walking or is_behind_us):
                    self._strides.send(course, Errand(Cursor(line, NOBODY), count, highest, is_sure=True))
                self._dry.discard(course)
            else:
                self._send_back(course, Cursor(line, NOBODY))

    def expect(self, queue: str) -> None:
        """A hint says that this queue has work: claim from its head now, once, and look when that has started what it
        brought: of the two only the claim is waited for, and they share the loop and the connection."""
        self._owes_look = True
        self.look_back(queue)
        if queue not in self._shift.ready:
            self._shift.ready[queue] = 0
            self._hinted.add(queue)
        self._shift.claim_now()

    def note_empty(self, queues: Iterable[str], since: Since | None, began: float, now: float) -> None:
        """A look that began there and then has come to the end of these queues, and found nothing."""
        for queue in queues:
            place = None if since is None else Cursor(since.lines[queue], NOBODY)
            self._strides.came_to_the_end(queue, place, began, now)

    @property
    def seconds_left_fallow(self) -> float:
        """After how long a look should send this worker to a course that was left alone by the last one."""
        return self._fallow.seconds_left(self._shift.env.now())

    @property
    def has_in_sight(self) -> bool:
        """Whether there is work that this worker could claim, if not now, as far as it knows."""
        ready = self._shift.ready
        return bool(ready) and any(
            course.share.name in ready and course not in self._dry and self._demand.tasks(course)
            for course in self._courses
        )

    def note_sight(self) -> None:
        """What was ready may be gone: let who rests by that look."""
        if not self.has_in_sight:
            self._out_of_sight.ring()

    async def rest_while_in_sight(self, seconds: float) -> None:
        """Wait as long as there is work in sight, and no longer than so."""
        if self.has_in_sight:
            self._out_of_sight.hush()
            await self._out_of_sight.rest(seconds)

    def may_have_more(self, queue: str) -> bool:
        """Whether some course of this queue has not come to its end since something was seen there."""
        return any(course.share.name == queue and course not in self._dry for course in self._courses)

    async def round(self) -> float:
        """Claim once, by the next course that has places and something ready; wait when none has."""
        try:
            return await self._round()
        finally:
            if self._owes_look:
                self._owes_look = False
                self._shift.look_now()

    async def _round(self) -> float:
        shift, companion = self._shift, self._companion
        if companion is not None and companion.is_under_way:
            return shift.settings.lease
        while (found := self._next()) is not None:
            turn, course, tasks, limit = found
            after = self._strides.start(course, self._cursors.get(course))
            if self._strides.knows(course, course.share.name, after, shift.env.now()):
                self._turn = turn
                await self._claim(course, tasks, limit)
                return 0.0
            await self._reach(course, after)
        if companion is not None and companion.is_waiting:
            shift.settle_now()
        return self._strides.rest(shift.env.now(), shift.settings.lease)

    async def _reach(self, course: Course, after: Cursor | None) -> None:
        """Ask how far a claim from this place may go."""
        shift, queue = self._shift, course.share.name
        try:
            plan = shift.store.reach(queue, after, self._strides.length)
            end, took = await shift.ask(plan)
        except BaseException:
            self._has_failed = True
            raise
        now = shift.env.now()
        self._strides.reached(course, queue, after, end, now - took, now)

    def _is_next(self) -> bool:
        """Whether a claim is about to be sent that can take along what has ended; if so, it is sent now."""
        found = None if self._has_failed else self._next()
        if found is None or self._strides.is_walking(found[1]):
            return False
        self._shift.claim_now()
        return True

    def _is_soon(self) -> bool:
        """Whether a claim follows as soon as half of what is in hand has run, of tasks that run in no time."""
        shift = self._shift
        if self._has_failed or not shift.may_start:
            return False
        return any(
            course.is_prefetch and course.share.name in shift.ready and self._demand.is_very_fast(course)
            for course in self._full
        )

    def _next(self) -> tuple[int, Course, Sequence[str], int] | None:
        """The next course that could claim now, with its tasks and how many, and whose turn it is then."""
        shift = self._shift
        if shift.may_start and shift.ready:
            now = shift.env.now()
            for turn in range(self._turn, self._turn + len(self._courses)):
                course = self._courses[turn % len(self._courses)]
                if course.share.name in shift.ready and course not in self._dry:
                    if self._strides.rests(course, now) and self._has_better_to_do(course):
                        continue
                    tasks, limit = self._demand.of(course)
                    if tasks and limit > 0:
                        return turn + 1, course, tasks, limit
        return None

    def _has_better_to_do(self, course: Course) -> bool:
        """Whether the claims of another course bring all that they ask for."""
        return any(
            other is not course
            and other not in self._dry
            and not self._strides.is_walking(other)
            and other.share.name in self._shift.ready
            and self._demand.tasks(other)
            for other in self._full
        )

    async def _claim(self, course: Course, tasks: Sequence[str], limit: int) -> None:
        shift = self._shift
        errand, after = self._strides.errand(course), self._cursors.get(course)
        if errand is not None:
            after, limit = errand.start, min(limit, errand.count)
        until = self._strides.end(course, after)
        self._sent_back.discard(course)
        withdrawn = shift.page.withdrawn
        began = shift.env.now()
        shift.claims_in_flight += 1
        try:
            plan = shift.store.claim(shift.id, course.share.name, tasks, limit, after, until)
            jobs, took = await self._sent(plan, course)
        except BaseException:
            self._has_failed = True
            shift.reconcile_now()
            raise
        finally:
            shift.claims_in_flight -= 1
            shift.claims_made += 1
            shift.gave_up_something()
        self._has_failed = False
        now = shift.page.round_trip = shift.env.now()
        answer = Answer(course, errand, after, until, limit, began, now, took, jobs)
        are_ahead = course.is_prefetch and not answer.is_short and self._demand.is_very_fast(course)
        self._executor.take(jobs, withdrawn, now, are_ahead=are_ahead)
        if jobs and answer.is_short and self._companion is None:
            # What it brought begins first: nobody waits for what there is to note, nor for a claim behind a short one.
            await asyncio.sleep(0)
        self._note(answer)
        walk = self._pay(answer)
        if errand is None:
            self._go_on(answer, walk)
            return
        if not jobs:
            self._strides.was_in_vain(course, now, walk.seconds)
        if answer.last is not None and not answer.is_end:
            self._strides.go_on(course, errand, answer.last, len(jobs), is_full=not answer.is_short)

    def _note(self, answer: Answer) -> None:
        """What an answer tells of its queue and its course, wherever it began."""
        course, jobs = answer.course, answer.jobs
        queue = course.share.name
        if queue in self._hinted and answer.is_short:
            # The look that follows every hint is cheaper than asking course by course whether there is more.
            self._hinted.discard(queue)
            self._shift.ready.pop(queue, None)
            self.note_sight()
        if jobs and answer.is_end:
            self._strides.came_to_the_end(queue, answer.after, answer.began, answer.now)
        if answer.errand is None and not (jobs and answer.is_over):
            self._full.pop(course, None)
            if not answer.is_short:
                self._full[course] = None
        if jobs:
            self._fallow.was_not(course)
            self._demand.learn(answer.now - answer.began)
            self._fruitful = self._courses.index(course)

    def _pay(self, answer: Answer) -> Walk:
        """What it cost to ask, and whether that was looking back."""
        course, jobs, now = answer.course, answer.jobs, answer.now
        highest = self._highest.get(course)
        walk = Walk(
            is_own=answer.after is not None and answer.after.id != NOBODY,
            is_back=self.back.is_back(answer.after, highest),
            seconds=answer.took + self._strides.price(course) - SECONDS_PER_JOB * len(jobs),
        )
        if answer.errand is None and answer.is_over and not jobs:
            self._strides.walked(course, now, walk)
        elif answer.errand is None:
            walk = self._strides.arrived(course, walk)
            if walk.is_back or highest == answer.after:
                is_bearing = bool(jobs) or self._courses[self._fruitful] is course
                share = SHARE if is_bearing else SHARE_IN_VAIN
                self.back.took(now, walk.seconds, course, from_the_first=walk.is_back, share=share)
                self._shift.page.looked_back = max(0.0, self.back.spent)
        return walk

    def _go_on(self, answer: Answer, walk: Walk) -> None:
        """Where the next claim of this course begins, or that the course is dry."""
        course = answer.course
        come_to = self._come_to(course, answer.began, answer.last, answer.is_end)
        if course in self._sent_back:
            pass  # The look that did so may have seen what came into the store behind this claim's back.
        elif answer.is_over and answer.until is not None:
            self._cursors[course] = answer.until
        elif answer.jobs and come_to is not None:
            self._cursors[course] = come_to
        elif walk.is_own and self.back.is_due(answer.now, course):
            self._cursors.pop(course, None)
        else:
            if come_to is not None:
                self._cursors[course] = come_to
            self._dry.add(course)
            self._fallow.was_empty(course, answer.now, walk.seconds)
            self.note_sight()

    def _come_to(self, course: Course, began: float, last: Cursor | None, is_end: bool) -> Cursor | None:
        """Where the next claim begins after one that came so far, to the end or not."""
        back, highest = self.back, self._highest.get(course)
        if back.now_us is not None:
            if last is not None and back.is_ahead(last.line, began):
                # A job that was put back in line: those of the next moments stand before it.
                last = Cursor(back.now_us, NOBODY)
            seen = Cursor(back.now_us - back.slack_us, NOBODY)
            if is_end and (last is None or last.before(seen)):
                last = seen
        if last is not None and (highest is None or highest.before(last)):
            self._highest[course] = highest = last
        return highest if is_end else last

    async def _sent(self, plan: Plan[list[ClaimedJob]], course: Course) -> tuple[list[ClaimedJob], float]:
        """The answer of the store to a claim, which takes along what has ended where there is one writer only, and
        the seconds that it took."""
        shift, companion = self._shift, self._companion
        # A stride in vain takes none along: while it lasts, what lies ahead runs out, and nothing comes of it.
        is_in_vain = self._strides.is_walking(course)
        endings = companion.lend() if companion is not None and not is_in_vain else ()
        if companion is None or not endings:
            return await shift.ask(plan)
        settled: list[Settled] | None = None
        try:
            together = both(shift.store.settle(endings), plan)
            (settled, jobs), took = await shift.ask(together)
            return jobs, took
        finally:
            companion.take_back(settled)
