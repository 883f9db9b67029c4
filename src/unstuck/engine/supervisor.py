"""The supervisor: keeps children alive, renews their leases, sees them die, and never runs user code.

It owns no job and is never starved by one. Its own row has a lease like any worker's; if that is lost (a
frozen process, a suspended host), it comes back under a new identity, and children whose rows have ended
leave and are replaced. A child that does not tick for a lease is *stalled*: what it had not started is
withdrawn and handed back, what it started keeps its lease until the stall limit, then it is killed.

Quiet, it keeps what runs going, lets its children claim nothing, and starts nobody; the rest goes on.
Stopping: the page tells each child at once, its row tells the claim next, what runs may finish within
grace, then the child is killed and reaped, and only then is what was left handed back, so nothing
runs twice because of a stop. Works as process 1: it reaps what it inherits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID

from unstuck.engine import burying
from unstuck.engine.children import Child, Spawner, Subprocesses
from unstuck.engine.env import Env
from unstuck.engine.looping import Loop
from unstuck.engine.page import Page, Phase
from unstuck.engine.patience import SHORTEST_REST, Bell
from unstuck.engine.pruning import Pruning
from unstuck.engine.renewing import Renewing
from unstuck.engine.saying import Saying
from unstuck.engine.sweeping import Sweeping
from unstuck.engine.worker import Left
from unstuck.model.errors import StoreError
from unstuck.model.worker import NewWorker
from unstuck.rules.settings import Settings
from unstuck.rules.steadying import Steadiness
from unstuck.storage.opening import Keeper
from unstuck.storage.protocol import Survey

log = logging.getLogger("unstuck.engine")

RESPAWN_FIRST = 0.5
RESPAWN_LAST = 30.0
LIVED_WELL = 10.0
"""Seconds after which a death is no reason to wait before the next start."""
WATCH_PAUSE = 0.5
WATCHES_IN_A_LEASE = 10
"""A child that stands still is found this part of a lease later than it could be; half a second at most."""
START_LIMIT = 120.0
"""Seconds that a child may take to import the application and register."""


class Supervisor:
    """Runs `settings.processes` children of one application until told to stop.

    `url`, where given, is the store that the children use in place of the application's own. `spawner`
    starts their processes: subprocesses, where nobody says otherwise.
    """

    def __init__(
        self,
        application: str,
        keeper: Keeper,
        settings: Settings,
        env: Env | None = None,
        *,
        url: str | None = None,
        spawner: Spawner | None = None,
    ):
        self._spawner = spawner or Subprocesses(application, url)
        self._keeper = keeper
        self._store = keeper.store
        self._settings = settings
        self._env = env or Env()
        self._lanes = {name: keeper.lane(name) for name in ("renew", "sweep", "bury")}
        self._children: dict[int, Child] = {}
        self._burials: set[asyncio.Task[None]] = set()
        self._errands: dict[asyncio.Task[None], None] = {}
        self._deaths: dict[int, int] = {}
        self._respawn_at: dict[int, float] = {}
        self._is_quiet = False
        self._stop_level = 0
        self._stopped_at = 0.0
        self._contact_since = self._env.now()
        self._loops: list[Loop] = []
        self._sweeping: Sweeping | None = None
        self._code = 0
        self._news = Bell()
        self._saying = Saying(self._env.now)
        self.id = self._env.new_id()
        self.page = Page.private(1)

    def stop(self, level: int = 1) -> None:
        """Leave: 1 lets running jobs finish within grace, 2 kills at once."""
        if not self._stop_level:
            self._stopped_at = self._env.now()
        self._stop_level = max(self._stop_level, level)
        for child in self._children.values():
            child.page.drain(self._stop_level)
            if self._stop_level > 1:
                child.kill("stopped")  # at once: the watch may be waiting for a store that does not answer
        self._news.ring()

    async def run(self) -> int:
        """Supervise until stopped; answers the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: self.stop(2 if self._stop_level else 1))
        steadiness = Steadiness(self._settings.lease)
        store, lanes, settings, env = self._store, self._lanes, self._settings, self._env
        sweeping = self._sweeping = Sweeping(store, lanes["sweep"], settings, env, steadiness, self._saw)
        rounds = {
            "renewing": Renewing(store, lanes["renew"], self.pages, settings, env, steadiness).round,
            "sweeping": sweeping.round,
            "pruning": Pruning(store, lanes["sweep"], settings, env).round,
        }
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._register()
            for name, round in rounds.items():
                watched = Loop(name, round, env, self.page, settings.lease, settings.poll)
                self._loops.append(watched)
                tasks.append(asyncio.create_task(watched.run(), name=name))
            while not (self._stop_level and not self._children and not self._burials):
                await self._watch()
                await self._news.rest(self._pause())
            with suppress(StoreError):
                await lanes["bury"].run(store.end_worker(self.id, "stopped"), settings.deadline)
            return self._code
        finally:
            for child in self._children.values():
                child.kill("stopped")
            tasks += self._errands
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for lane in lanes.values():
                await lane.aclose()

    def pages(self) -> Mapping[UUID, Page]:
        """The pages of the supervisor, first, and of the children that have registered, by worker."""
        pages = {child.worker_id: child.page for child in self._children.values() if child.has_registered}
        return {self.id: self.page, **pages}

    def _leave_if_stuck(self, now: float) -> None:
        """Leave, with the reason, where a loop of ours fails for good; children finish what they run."""
        if not any(loop.is_failing for loop in self._loops):
            return
        written_at = max(page.renewed_at for page in self.pages().values())
        for loop in self._loops:
            is_chore = loop.name == "pruning"  # nothing waits for it
            assert self._sweeping is not None
            goes_round = loop.name == "sweeping" and now - self._sweeping.answered_at <= self._settings.lease
            why = None if is_chore or goes_round else loop.why_stuck(written_at)
            if why is not None:
                log.critical("supervisor %s leaves: %s", self.id, why)
                self._code = Left.STUCK.value
                self.stop(1)
                return

    def _saw(self, survey: Survey) -> None:
        """An operator may ask us by our row to be quiet or to leave, as he may ask a child."""
        own = next((worker for worker in survey.workers if worker.id == self.id), None)
        if own is None or self._stop_level:
            return
        if own.leaving_at is not None:
            log.warning("supervisor %s was asked to leave; its children finish what they run", self.id)
            self.stop(1)
        elif own.draining_at is not None and not self._is_quiet:
            log.warning("supervisor %s was asked to be quiet; its children claim nothing more", self.id)
            self._is_quiet = True
        if self._is_quiet:
            for child in self._children.values():
                if child.has_registered and not child.is_quiet:
                    self._errand(child, partial(self._drain, child, leave=False))

    async def _register(self) -> None:
        row = NewWorker(
            id=self.id,
            kind="supervisor",
            supervisor_id=None,
            host=socket.gethostname(),
            pid=os.getpid(),
            lease_us=self._settings.lease_us,
        )
        while not self._stop_level:
            sent = self.page.tick = self._env.now()
            try:
                await self._lanes["renew"].run(self._store.register(row), self._settings.deadline)
                if self._is_quiet:
                    await self._lanes["renew"].run(self._store.drain(self.id), self._settings.deadline)
            except StoreError as error:
                kind = f"register {type(error).__name__}"
                self._saying.say(logging.WARNING, kind, "cannot register yet (%s)", error)
                await asyncio.sleep(self._settings.poll)
            else:
                self.page.renewed(sent, self._settings.lease)
                return

    def _pause(self) -> float:
        """How long the watch may rest where nobody stops us and no child dies: what it looks for by itself is
        measured in leases, but for the next start of a child."""
        pause = min(WATCH_PAUSE, self._settings.lease / WATCHES_IN_A_LEASE)
        if len(self._children) < self._settings.processes and self._respawn_at:
            now = self._env.now()
            starts = [at - now for ordinal, at in self._respawn_at.items() if ordinal not in self._children]
            pause = min([pause, *(seconds for seconds in starts if seconds > 0.0)])
        return max(SHORTEST_REST, pause)

    async def _watch(self) -> None:
        now = self._env.now()
        self.page.tick = now
        if now - self.page.renewed_at > self._settings.lease / 2:
            self._contact_since = now
        if self.page.is_lost and not self._stop_level:
            log.warning("supervisor %s was declared lost; it comes back under a new identity", self.id)
            self.id, self.page = self._env.new_id(), Page.private(1)
            self.page.tick = now
            for loop in self._loops:
                loop.page = self.page
            await self._register()
        for child in list(self._children.values()):
            if child.ended.done():
                self._died(child, now)
            else:
                self._look_after(child, now)
        if not self._stop_level:
            self._leave_if_stuck(now)
        if not (self._stop_level or self._is_quiet):
            for ordinal in range(self._settings.processes):
                if ordinal not in self._children and now >= self._respawn_at.get(ordinal, 0.0):
                    self._spawn(ordinal, now)
        if os.getpid() == 1:
            self._reap_inherited()

    def _spawn(self, ordinal: int, now: float) -> None:
        worker_id = self._env.new_id()
        try:
            child = self._spawner(ordinal, worker_id, self.id, self._settings, now)
        except OSError as error:
            text = "child %d cannot be started (%s); trying again"
            self._saying.say(logging.ERROR, "spawn", text, ordinal, error)
            self._respawn_at[ordinal] = now + RESPAWN_FIRST
        else:
            self._children[ordinal] = child
            child.ended.add_done_callback(self._news.ring)

    def _died(self, child: Child, now: float) -> None:
        detail = child.ended.result()
        reason = burying.end_reason(child, detail)
        del self._children[child.ordinal]
        lived = now - child.spawned_at
        own_death = child.killed_for is None and reason.startswith("died")
        quick = self._deaths.get(child.ordinal, 0) + 1 if own_death and lived < LIVED_WELL else 0
        self._deaths[child.ordinal] = quick
        pause = min(RESPAWN_LAST, RESPAWN_FIRST * 2 ** (quick - 1)) if quick else 0.0
        self._respawn_at[child.ordinal] = now + pause
        if not self._stop_level:
            log.warning(
                "child %d (pid %d) %s; the next one starts in %.1f s", child.ordinal, child.pid, reason, pause
            )
        burial = asyncio.create_task(self._bury(child, detail, reason))
        self._burials.add(burial)
        burial.add_done_callback(self._burials.discard)
        burial.add_done_callback(self._news.ring)

    async def _bury(self, child: Child, detail: dict[str, Any], reason: str) -> None:
        while True:
            try:
                lane, deadline = self._lanes["bury"], self._settings.deadline
                await burying.bury(child, detail, reason, self._store, lane, self._env, deadline)
                break
            except Exception as error:
                kind = f"bury {type(error).__name__}"
                text = "what worker %s left cannot be settled yet (%s)"
                self._saying.say(logging.WARNING, kind, text, child.worker_id, error)
                if self._stop_level and self._env.now() - self._stopped_at > self._settings.grace + 60:
                    break
                await asyncio.sleep(min(1.0, self._settings.poll))
        child.process.release()

    def _look_after(self, child: Child, now: float) -> None:
        page, settings = child.page, self._settings
        if self._stop_level:
            self._stop_child(child, now)
            return
        if page.tick == 0:
            if now - child.spawned_at > START_LIMIT:
                child.kill("did not start")
            return
        if page.wants_replacement or page.is_lost:
            if child.leaving_since is None:
                child.leaving_since = now
            elif now - child.leaving_since > settings.grace + settings.timeout_grace + 2 * settings.lease:
                child.kill("withdrawn")
        if now - page.tick > settings.lease:
            self._stalled(child, now)
        elif child.is_stalled:
            child.is_stalled = False
            log.warning("child %d (pid %d) ticks again", child.ordinal, child.pid)
            self._errand(child, partial(self._note_stall, child, False))
        elif self._has_no_round_trip(child, now):
            child.kill("withdrawn")

    def _has_no_round_trip(self, child: Child, now: float) -> bool:
        """Whether the store answers us and not it, for two leases."""
        last = max(child.page.round_trip, child.spawned_at, self._contact_since)
        return child.has_registered and now - last > 2 * self._settings.lease

    def _stalled(self, child: Child, now: float) -> None:
        settings = self._settings
        if not child.is_stalled:
            child.is_stalled = True
            log.error("child %d (pid %d) has not ticked for a lease: stalled", child.ordinal, child.pid)
            self._errand(child, partial(self._note_stall, child, True))
        if now - child.swept_at > settings.sweep:
            child.swept_at = now
            self._errand(child, partial(self._take_unstarted, child))
        if now > self._stall_limit(child):
            child.kill(burying.STALLED)

    def _stall_limit(self, child: Child) -> float:
        running = [slot.deadline for slot in child.page.started() if slot.phase is Phase.RUNNING]
        deadlines = [deadline for deadline in running if deadline]
        if deadlines and len(deadlines) == len(running):
            return max(deadlines) + self._settings.timeout_grace
        return child.page.tick + self._settings.stall_limit

    async def _take_unstarted(self, child: Child) -> None:
        with self._unharmed("what a stalled child has not started cannot be handed back"):
            lane, deadline = self._lanes["bury"], self._settings.deadline
            await burying.take_unstarted(child.worker_id, child.page, self._store, lane, self._env, deadline)

    async def _note_stall(self, child: Child, is_stalled: bool) -> None:
        with self._unharmed("a stall cannot be noted"):
            plan = self._store.mark_stalled(child.worker_id, is_stalled)
            await self._lanes["bury"].run(plan, self._settings.deadline)

    def _stop_child(self, child: Child, now: float) -> None:
        settings = self._settings
        if child.leaving_since is None:
            child.leaving_since = now
            child.page.drain(1)
            if child.has_registered:
                self._errand(child, partial(self._drain, child, leave=True))
        if self._stop_level > 1:
            child.page.drain(2)
            child.kill("stopped")
        elif now - self._stopped_at > settings.grace + settings.timeout_grace + 1.0:
            child.kill("stopped")

    async def _drain(self, child: Child, *, leave: bool) -> None:
        with self._unharmed("a child cannot be told to claim nothing more"):
            await self._lanes["bury"].run(self._store.drain(child.worker_id, leave), self._settings.deadline)
            child.is_quiet = True

    def _errand(self, child: Child, work: Callable[[], Awaitable[None]]) -> None:
        """Something for the store to be told about a child, in order, while the watch goes on: whoever waited
        for a store that does not answer would see no child die, and would look dead itself."""

        async def after(before: asyncio.Task[None] | None) -> None:
            if before is not None:
                await asyncio.wait([before])
            await work()

        child.errand = asyncio.create_task(after(child.errand))
        self._errands[child.errand] = None
        child.errand.add_done_callback(self._errands.pop)

    @contextmanager
    def _unharmed(self, what: str) -> Generator[None, None, None]:
        """The watch goes on whatever the store says: its end would be the end of every child."""
        try:
            yield
        except Exception as error:
            level = logging.DEBUG if isinstance(error, StoreError) else logging.ERROR
            self._saying.say(level, what, "%s (%s); trying again", what, error)

    def _reap_inherited(self) -> None:
        """As process 1 we are given orphans that are not our children's; take their exit status."""
        ours = {child.pid for child in self._children.values()}
        with suppress(ChildProcessError):
            while True:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None or found.si_pid in ours:
                    return
                os.waitpid(found.si_pid, os.WNOHANG)
