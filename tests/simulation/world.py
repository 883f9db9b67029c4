"""A world: a store, processes that run the real engine, a workload, the weather, and an auditor.

Everything in it follows from its `Scenario`; nothing comes from the air. A worker process is a `Solo`
with the seams that production gives it: an `Env` (its own clock, ids and dice), lanes, an ear for hints,
and this loop. When it dies or leaves it is started anew after a while, as a process of another identity.

First the storm, then everything is healed, then the world goes on until every job has ended or the bound
has passed; then the auditor says what it found. The event log tells all of it and is the same,
byte for byte, each time the scenario is run.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID
from zlib import crc32

from tests.simulation.auditor import Auditor
from tests.simulation.clients import Client, follow
from tests.simulation.crew import Crew
from tests.simulation.ground import Ground, open_ground
from tests.simulation.history import disagreements
from tests.simulation.lane import Server, SimulatedLane
from tests.simulation.loop import PROCESS, Process, SimulatedLoop
from tests.simulation.operating import Operator
from tests.simulation.seen import Finding
from tests.simulation.threads import Threads
from tests.simulation.weather import Weather
from tests.simulation.workload import TASKS, Workload
from unstuck.model.errors import StoreError
from unstuck.model.ids import uuid7
from unstuck.rules.settings import QueueShare, Settings
from unstuck.storage.plan import Plan, run
from unstuck.storage.protocol import Store

EPOCH_US = 1_767_225_600_000_000
LEASE, SWEEP, POLL = 5.0, 2.0, 1.0
HORIZON = 100_000.0
LATEST = 12.0
"""Seconds within which the slowest message has arrived."""
LOGGED = 4
"""One world in so many keeps the product's event log, and is judged by the history checker too."""

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
    trail: list[tuple[float, str, str, str]] = field(default_factory=list)

    def log(self) -> str:
        """The event log, byte for byte the same for the same scenario."""
        lines = [f"{at:.6f} {who} {subject} {what}" for at, who, subject, what in self.events]
        # Of the messages only that they were the same: there are many, and next to nobody asks.
        digest = crc32("\n".join(map(repr, self.trail)).encode())
        return "\n".join([*lines, f"{len(self.trail)} messages, digest {digest:08x}"])


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
            threads=random.Random(f"threads in each process of {seed}").choice([1, 1, 2]),
            isolated=self._chance.choice([1, 2]),
            stall_limit=self._chance.choice([8.0, 20.0, 3600.0]),
        )
        self.threads = Threads(self.loop, seed)
        self.is_healed = False
        self.is_over = False
        self._step_us = self._latest_us = self._shown_us = 0
        self._locks: list[Callable[[], None]] = []
        self._events: list[tuple[float, str, UUID | None, str]] = []
        self.names: dict[UUID, str] = {}
        self.weather = self.make_weather()
        self.workload = self.make_workload()
        for job_id, number in self.workload.numbers.items():
            self.names[job_id] = f"job {number}"
        self.auditor = Auditor(self)
        self._findings, self._errors = self.auditor.findings, self.loop.errors
        self.ground = self.make_ground()
        self.is_logged = seed % LOGGED == 0 and self.ground.keep_events()
        self.server_store: Store = self.ground.store
        self.server = self.make_server()
        self.crew = Crew(self)
        self.operator = Operator(self)
        if self._chance.random() < 0.3:  # only the first knows all tasks
            for number in range(1, scenario.workers):
                self.crew.known[f"worker {number + 1}"] = tuple(task for task in TASKS if task != "rare")

    # What it is made of

    def make_weather(self) -> Weather:
        """What will go wrong."""
        return Weather(self.scenario.seed, self.scenario.without, LEASE)

    def make_workload(self) -> Workload:
        """What there is to do."""
        scenario, burst = self.scenario, self._chance.choice([0, 0, 0, 0, 0, 60])
        return Workload.draw(
            scenario.seed, scenario.jobs, burst, self.weather.over_at, scenario.skipped, EPOCH_US
        )

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

    @property
    def bound(self) -> float:
        """By when after a death, in seconds, what it leaves behind has an owner again."""
        return LEASE + self.settings.recovery_bound

    # The store's clock

    def now_us(self) -> int:
        """The store's now."""
        return EPOCH_US + self._step_us + int(self.loop.now * 1_000_000)

    def store_now(self) -> Any:
        """The store's now as a moment."""
        return self.ground.moment(self.now_us())

    def has_passed(self, moment: Any) -> bool:
        """Whether the store's clock stands beyond this moment, or stood so before it was set back."""
        return bool(self.ground.moment(max(self.now_us(), self._shown_us)) >= moment)

    # Running

    def run(self) -> Outcome:
        """Live through it all."""
        loop = self.loop
        log = logging.getLogger("unstuck.engine")
        level, propagate, listener = log.level, log.propagate, _Complaints(self)
        log.setLevel(logging.ERROR)
        log.addHandler(listener)
        log.propagate = False
        try:
            self.weather.begin(self)
            self.crew.watch()
            for number in range(self.scenario.workers):
                loop.after(self._chance.uniform(0.0, 2.0), self.crew.start, f"worker {number + 1}")
            loop.spawn(Process("client"), lambda: Client(self).run())
            loop.spawn(self.operator.process, self.operator.run)
            loop.after(self.weather.over_at + self.bound + 1.0, self.auditor.nobody_held_by_the_dead)
            self._last = self.weather.over_at + self.bound + AFTERMATH
            loop.run_until(self._is_done, self._last + HORIZON)
            if not self.auditor.findings:
                self.auditor.close()
                if self.is_logged and not self.auditor.findings:
                    self.auditor.findings.extend(disagreements(self))
            return self._outcome()
        finally:
            self.is_over = True
            self.server.close()
            loop.wind_down()
            self.threads.close()
            self.ground.close()
            log.removeHandler(listener)
            log.setLevel(level)
            log.propagate = propagate

    def _is_done(self) -> bool:
        # Asked at every moment of a world, so nothing is asked twice.
        if self._findings or self._errors or (self.is_healed and self.auditor.is_all_done()):
            return True
        # Where the store's clock was turned back, what was due by the old one is due that much later.
        return self.loop.now > self._last + (self._latest_us - self._step_us) / 1_000_000

    def _outcome(self) -> Outcome:
        names = self.names
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
            self.server.trail.copy(),
        )

    def tell(self, who: str, what: str, subject: UUID | None = None) -> None:
        """Write a line of the event log."""
        self._events.append((self.loop.now, who, subject, what))

    # Seams

    def lane(self, process: Process, name: str) -> SimulatedLane:
        """A lane for a process."""
        return SimulatedLane(self.server, process, name, self.scenario.seed, self._heard)

    def ids(self, name: str) -> Callable[[], UUID]:
        """A source of ids."""
        dice = random.Random(f"ids of {name} in {self.scenario.seed}")
        wrong = self.weather.wall_offset_ms(name)
        return lambda: uuid7((self.now_us() - self._step_us) // 1000 + wrong, dice.randbytes(10))

    def settings_of(self, children: int) -> Settings:
        """What a supervisor of so many children runs with."""
        return replace(self.settings, processes=children)

    async def follow(self, lane: Any, command: Any) -> Any:
        """Fulfil the wishes of one of the application's commands."""
        return await follow(self, lane, command)

    def explain(self, job_id: UUID) -> str:
        """What the product itself says of a job."""
        from unstuck.app import commands

        eye = self.ground.eye()
        command = commands.explain(self.ground.store, job_id)
        try:
            wish = next(command)
            while True:
                wish = command.send(run(eye, wish))
        except StopIteration as stop:
            return f"{stop.value.sentence} {stop.value.release}".strip()
        finally:
            command.close()
            eye.close()

    # What the weather does to everybody

    def troubled(self, process: Process, seconds: float = 0.0) -> None:
        """Something befalls this process."""
        self.auditor.troubles.touched(process, seconds)

    def stall(self, seconds: float) -> None:
        """The store stands still and takes up what has gathered when it goes on."""
        self.tell("store", f"stalls for {seconds:.2f} s")
        self.server.stalled_until = max(self.server.stalled_until, self.loop.now + seconds)
        self.auditor.troubles.stalled(seconds)

    def outage(self, seconds: float) -> None:
        """The store is down: connections break, and none is accepted."""
        self.tell("store", f"is down for {seconds:.2f} s")
        self.server.down_until = max(self.server.down_until, self.loop.now + seconds)
        self.auditor.troubles.stalled(seconds)

    def restart(self, seconds: float) -> None:
        """The server of the store goes, with all its connections, and comes back."""
        self.outage(seconds)
        self.server.restart()

    def lock(self, seconds: float) -> None:
        """Somebody else holds the store's lock for writing."""
        self.tell("store", f"is locked for {seconds:.2f} s")
        self.server.locked_until = max(self.server.locked_until, self.loop.now + seconds)
        self.auditor.troubles.locked(seconds)
        let_go = self.ground.lock()
        self._locks.append(let_go)
        self.loop.after(seconds, self._unlock, let_go)

    def _unlock(self, let_go: Callable[[], None]) -> None:
        if let_go in self._locks:
            self._locks.remove(let_go)
            let_go()
            self.server.let_go()

    def step_clock(self, seconds: float) -> None:
        """The store's clock jumps."""
        self.tell("store", f"its clock jumps by {seconds:+.2f} s")
        self._shown_us = max(self._shown_us, self.now_us())
        self._step_us += int(seconds * 1_000_000)
        self._latest_us = max(self._latest_us, self._step_us)
        self.auditor.troubles.clock_stepped()

    def hint(self, queues: frozenset[str]) -> None:
        """A client says that queues have work."""
        for ear in list(self.crew.ears.values()):
            for delay in self.weather.hint_delays():
                self.loop.after(delay, ear.hear, queues)

    def heal(self) -> None:
        """The storm is over: everybody goes on, nothing fails any more."""
        self.tell("weather", "the storm is over")
        self.is_healed = True
        self.server.heal()
        for let_go in list(self._locks):
            self._unlock(let_go)
        self.auditor.troubles.healed()
        self.crew.heal()
        # A pause that was sent in the storm may arrive after it.
        for delay in (0.0, LATEST) if "operator" in self.weather.strength else ():
            self.loop.after(delay, self.loop.post, self.operator.process, self.operator.calm_down)

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
        # Whom the storm kept from the store for ten leases, while it took the writes of others, leaves.
        was_cut_off = self._world.loop.now <= self._world.weather.over_at + LEASE
        is_weather = "has not ticked" in record.msg or (
            was_cut_off and "leaves: the loop" in record.getMessage()
        )
        if not isinstance(error, StoreError) and not is_weather and not self._world.is_over:
            process = PROCESS.get(None)
            self._world.loop.errors.append(f"{process} logs: {record.getMessage()}")
