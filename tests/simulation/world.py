"""A world: a store, processes that run the real engine, a workload, the weather, and an auditor.

Everything in it follows from its `Scenario`; nothing comes from the air. A worker process is a `Solo`
with the seams that production gives it: an `Env` (its own clock, ids and dice), lanes, an ear for hints,
and this loop. When it dies or leaves it is started anew after a while, as a process of another identity.

First the storm, then everything is healed, then the world goes on until every job has ended or the bound
has passed; then the auditor says what it found. The event log tells all of it and is the same,
byte for byte, each time the scenario is run.
"""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.simulation.auditor import Auditor, Finding
from tests.simulation.ground import Ground, open_ground
from tests.simulation.lane import Server, SimulatedLane
from tests.simulation.loop import PROCESS, Process, SimulatedLoop
from tests.simulation.weather import Weather
from tests.simulation.workload import Client, Script, Workload
from unstuck.engine.env import Env
from unstuck.engine.solo import Solo
from unstuck.model.errors import StoreError
from unstuck.model.ids import uuid7
from unstuck.rules.settings import QueueShare, Settings
from unstuck.storage.plan import Plan
from unstuck.storage.protocol import Store

EPOCH_US = 1_767_225_600_000_000
LEASE, SWEEP, POLL = 5.0, 2.0, 1.0
AFTERMATH = 60.0
"""Seconds after R in which all that is left must have run."""


@dataclass(frozen=True)
class Scenario:
    """All that a world follows from; the rest of the fields make it smaller."""

    seed: int
    world: str = "memory"
    jobs: int = 30
    workers: int = 3
    without: frozenset[str] = frozenset()
    skipped: frozenset[int] = frozenset()


@dataclass
class Outcome:
    """What became of a world."""

    scenario: Scenario
    findings: list[Finding]
    events: list[tuple[float, str, str, str]]
    kinds: list[str]
    counts: dict[str, int]
    ended_at: float
    storm: float
    names: dict[UUID, str] = field(default_factory=dict)

    def log(self) -> str:
        """The event log, byte for byte the same for the same scenario."""
        return "\n".join(f"{at:.6f} {who} {subject} {what}" for at, who, subject, what in self.events)


class SimulatedEar:
    """Hears hints inside one process, as late and as often as the weather wants."""

    is_proved = True

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self._heard: list[frozenset[str]] = []
        self._waiting: Any = None
        self.is_open = True

    def hear(self, queues: frozenset[str]) -> None:
        self._heard.append(queues)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def __aiter__(self) -> AsyncIterator[frozenset[str]]:
        while self.is_open:
            while self._heard:
                yield self._heard.pop(0)
            self._waiting = self._loop.create_future()
            await self._waiting

    async def aclose(self) -> None:
        self.is_open = False


class World:
    """Builds and runs one scenario."""

    def __init__(self, scenario: Scenario):
        self.scenario = scenario
        seed = scenario.seed
        self._chance = random.Random(f"world of {seed}")
        self.loop = SimulatedLoop(random.Random(f"turns of {seed}"))
        self.settings = Settings(
            queues=(QueueShare("default"), QueueShare("mail", self._chance.choice([None, 1, 2]))),
            lease=LEASE,
            sweep=SWEEP,
            poll=POLL,
            grace=self._chance.choice([0.5, 3.0, 10.0]),
            timeout_grace=self._chance.choice([0.3, 1.0, 3.0]),
            concurrency=self._chance.choice([1, 2, 4, 10]),
            threads=1,
            isolated=1,
        )
        self.is_healed = False
        self.is_over = False
        self._step_us = 0
        self._events: list[tuple[float, str, UUID | None, str]] = []
        self._names: dict[UUID, str] = {}
        self.weather = self.make_weather()
        self.workload = self.make_workload()
        for job_id, number in self.workload.numbers.items():
            self._names[job_id] = f"job {number}"
        self.auditor = Auditor(self)
        self.ground = self.make_ground()
        self.server_store: Store = self.ground.store
        self.server = self.make_server()
        self._workers: dict[str, Process] = {}
        self._lives: dict[str, int] = {}
        self._ears: dict[Process, SimulatedEar] = {}
        self._solos: dict[Process, Solo] = {}
        self._only_first_knows = self._chance.random() < 0.3

    # What it is made of

    def make_weather(self) -> Weather:
        """What will go wrong."""
        return Weather(self.scenario.seed, self.scenario.without, LEASE)

    def make_workload(self) -> Workload:
        """What there is to do."""
        scenario, burst = self.scenario, self._chance.choice([0, 0, 0, 0, 0, 60])
        return Workload.draw(scenario.seed, scenario.jobs, burst, self.weather.over_at, scenario.skipped)

    def make_ground(self) -> Ground:
        """What the world stands on."""
        return open_ground(self.scenario.world, self.now_us)

    def make_server(self) -> Server:
        """The store behind the wires."""
        ground = self.ground
        return Server(
            self.loop,
            self.weather,
            ground.connect,
            self._saw,
            self.troubled,
            self.tell,
            is_sql=ground.is_sql,
        )

    # The store's clock

    def now_us(self) -> int:
        """The store's now."""
        return EPOCH_US + self._step_us + int(self.loop.now * 1_000_000)

    def store_now(self) -> Any:
        """The store's now as a moment."""
        return self.ground.moment(self.now_us())

    # Running

    def run(self) -> Outcome:
        """Live through it all."""
        loop = self.loop
        log = logging.getLogger("unstuck.engine")
        level, propagate, listener = log.level, log.propagate, _Complaints(self)
        log.setLevel(logging.ERROR)
        log.addHandler(listener)
        log.propagate = False
        collects, _ = gc.isenabled(), gc.disable()  # what the dead have left must lie until the end
        try:
            self.weather.begin(self)
            for number in range(self.scenario.workers):
                loop.after(self._chance.uniform(0.0, 2.0), self._start, f"worker {number + 1}")
            loop.spawn(Process("client"), lambda: Client(self).run())
            bound = LEASE + self.settings.recovery_bound
            loop.after(self.weather.over_at + bound + 1.0, self.auditor.nobody_held_by_the_dead)
            end = self.weather.over_at + bound + AFTERMATH
            loop.run_until(self._is_done, end)
            if not self.auditor.findings:
                self.auditor.close()
            self.tell("store", f"{self.server.messages} messages, digest {self.server.digest:08x}")
            return self._outcome()
        finally:
            self.is_over = True
            self.server.close()
            loop.wind_down()
            self.ground.close()
            if collects:
                gc.enable()
            log.removeHandler(listener)
            log.setLevel(level)
            log.propagate = propagate

    def _is_done(self) -> bool:
        if self.auditor.findings or self.loop.errors:
            return True
        return self.is_healed and self.auditor.is_all_done()

    def _outcome(self) -> Outcome:
        names = self._names
        events = [
            (at, who, "" if subject is None else names.get(subject, ""), what)
            for at, who, subject, what in self._events
        ]
        return Outcome(
            self.scenario,
            self.auditor.findings,
            events,
            sorted(self.weather.strength),
            dict(self.auditor.counts),
            self.loop.now,
            self.weather.over_at,
            names,
        )

    def tell(self, who: str, what: str, subject: UUID | None = None) -> None:
        """Write a line of the event log."""
        self._events.append((self.loop.now, who, subject, what))

    # Processes

    def living(self) -> list[Process]:
        """Worker processes that live, by name."""
        return [process for process in self._workers.values() if not process.is_dead]

    def lane(self, process: Process, name: str) -> SimulatedLane:
        """A lane for a process."""
        dice = random.Random(f"lane {name} of {process} in {self.scenario.seed}")
        return SimulatedLane(self.server, process, name, dice, self._heard)

    def ids(self, name: str) -> Callable[[], UUID]:
        """A source of ids."""
        dice = random.Random(f"ids of {name} in {self.scenario.seed}")
        return lambda: uuid7((self.now_us() - self._step_us) // 1000, dice.randbytes(10))

    def _start(self, name: str) -> None:
        if self.is_over:
            return
        life = self._lives[name] = self._lives.get(name, 0) + 1
        process = self._workers[name] = Process(f"{name}.{life}")
        self.tell(process.name, "starts")
        origin, speed = self.weather.drift(process.name)
        loop, begin = self.loop, self.loop.now
        env = Env(
            now=lambda: origin + (loop.now - begin) * speed,
            new_id=self._worker_ids(process),
            dice=random.Random(f"dice of {process} in {self.scenario.seed}"),
        )
        tasks = ["work", "quick", "rare"]
        if self._only_first_knows and not name.endswith(" 1"):
            tasks.remove("rare")
        handlers = {task: Script(task, self) for task in tasks}

        def open_ear() -> SimulatedEar:
            ear = self._ears[process] = SimulatedEar(loop)
            return ear

        async def live() -> None:
            solo = Solo(
                self.ground.store,
                lambda lane: self.lane(process, lane),
                handlers,
                self.settings,
                env,
                open_ear=open_ear,
            )
            left: object = "an error"
            self._solos[process] = solo
            try:
                left = (await solo.run()).name
            except StoreError as error:
                left = error
            if not self.is_over:
                loop.after(0.0, self._exited, process, str(left))

        loop.spawn(process, live)

    def _worker_ids(self, process: Process) -> Callable[[], UUID]:
        draw = self.ids(process.name)

        def named() -> UUID:
            drawn = draw()
            self._names[drawn] = process.name
            return drawn

        return named

    def _exited(self, process: Process, how: str) -> None:
        """The process is over by itself; the operating system takes what still ran in it."""
        self.tell(process.name, f"exits: {how}")
        self._bury(process)

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        if process.is_dead:
            return
        self.tell(process.name, "is killed")
        self._bury(process)

    def stop(self, process: Process, level: int) -> None:
        """SIGTERM, once or twice."""
        solo = self._solos.get(process)
        if solo is not None:
            self.tell(process.name, f"is asked to leave ({level})")
            self.auditor.asked_to_leave(process)
            solo.stop(level)

    def _bury(self, process: Process) -> None:
        self.loop.kill(process)
        self.server.forget(process)
        self._ears.pop(process, None)
        self._solos.pop(process, None)
        name = process.name.rpartition(".")[0]
        if self._workers.get(name) is process and not self.is_over:
            delay = 0.2 if self.is_healed else self.weather.restart_delay()
            self.loop.after(delay, self._start, name)

    def hold(self, process: Process, seconds: float, *, is_suspended: bool) -> None:
        """SIGSTOP, or the lid of the laptop."""
        what = "its host is suspended" if is_suspended else "is paused"
        self.tell(process.name, f"{what} for {seconds:.2f} s")
        self.auditor.troubled(process, seconds)
        if self.server.is_inside(process):
            self.tell("store", f"may be locked by {process} meanwhile")
            self.auditor.locked(seconds)
        (self.loop.suspend if is_suspended else self.loop.pause)(process)
        self.loop.after(seconds, self._go_on, process, self.loop.now, is_suspended)

    def _go_on(self, process: Process, since: float, is_suspended: bool) -> None:
        if process.is_held and not process.is_dead:
            self.tell(process.name, "goes on")
            self.auditor.troubled(process)
            self.loop.resume(process, self.loop.now - since if is_suspended else 0.0)

    # What the weather does to everybody

    def troubled(self, process: Process, seconds: float = 0.0) -> None:
        """Something befalls this process."""
        self.auditor.troubled(process, seconds)

    def stall(self, seconds: float) -> None:
        """The store stands still and takes up what has gathered when it goes on."""
        self.tell("store", f"stalls for {seconds:.2f} s")
        self.server.stalled_until = max(self.server.stalled_until, self.loop.now + seconds)
        self.auditor.stalled(seconds)

    def outage(self, seconds: float) -> None:
        """The store is down: connections break, and none is accepted."""
        self.tell("store", f"is down for {seconds:.2f} s")
        self.server.down_until = max(self.server.down_until, self.loop.now + seconds)
        self.auditor.stalled(seconds)

    def step_clock(self, seconds: float) -> None:
        """The store's clock jumps."""
        self.tell("store", f"its clock jumps by {seconds:+.2f} s")
        self._step_us += int(seconds * 1_000_000)
        self.auditor.clock_stepped()

    def hint(self, queues: frozenset[str]) -> None:
        """A client says that queues have work."""
        for ear in list(self._ears.values()):
            for delay in self.weather.hint_delays():
                self.loop.after(delay, ear.hear, queues)

    def heal(self) -> None:
        """The storm is over: everybody goes on, nothing fails any more."""
        self.tell("weather", "the storm is over")
        self.is_healed = True
        self.server.stalled_until = self.server.down_until = 0.0
        self.auditor.healed()
        for process in self.living():
            if process.is_held:
                self._go_on(process, self.loop.now, False)

    def _saw(self, process: Process, words: str) -> None:
        jobs, workers = self.ground.rows()
        self.auditor.saw(process, jobs, workers)

    def _heard(self, process: Process, plan: Plan[Any], answer: Any) -> None:
        if plan.name == "settle" and not self.is_over:
            self.auditor.answered(process, answer)


class _Complaints(logging.Handler):
    """An error in the engine's log that is not the store's is a bug."""

    def __init__(self, world: World):
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, StoreError) and not self._world.is_over:
            process = PROCESS.get(None)
            self._world.loop.errors.append(f"{process} logs: {record.getMessage()}")
