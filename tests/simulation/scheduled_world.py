"""The third world: the real engine on a real PostgreSQL, whose every statement is released by the seed.

It is smaller and denser than the others: a short storm, few jobs, and all of them wanted at once, so that
claims, endings, sweeps, renewals and cancels meet on the same few rows. A *crowd* of other clients adds what
engines do not do by themselves: the same jobs enqueued in overlapping groups, priorities changed and
cancels asked of many jobs in one statement, in whatever order somebody named them.

Beside the weather of every world run the *currents*: a commit that comes later than its statement, a stop
inside a statement, a statement cancelled by an administrator, a client stopped in the middle of a
transaction. The first two are not faults but what any scheduler may do; they go on when the storm is over.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

from tests.simulation.ground import Ground
from tests.simulation.lane import Server, SimulatedLane
from tests.simulation.loop import PROCESS, Process
from tests.simulation.postgres_ground import PostgresGround
from tests.simulation.schedule import ScheduledServer
from tests.simulation.seen import Finding
from tests.simulation.weather import Weather
from tests.simulation.workload import Errand, Workload
from tests.simulation.world import EPOCH_US, LEASE, LOGGED, Outcome, Scenario, World
from unstuck.model.errors import StoreError
from unstuck.storage.plan import Plan

CURRENTS = {"commits": 0.8, "inside": 0.7, "cancel": 0.3, "between": 0.4}
"""Kinds, and how likely each is to exist in a world."""
WISHES = ("enqueue", "enqueue each", "prioritise", "prioritise", "prioritise", "cancel", "promote")


class Currents(Weather):
    """The weather, and what happens to statements at the server."""

    def __init__(self, seed: int, without: frozenset[str], lease: float):
        super().__init__(seed, without, lease)
        chance = random.Random(f"currents of {seed}")
        # Mostly shorter than a lease; some so long that who was held comes back to find his jobs taken.
        self.over_at = chance.uniform(1.5, 5.0) if chance.random() < 0.75 else chance.uniform(10.0, 20.0)
        for kind, present in CURRENTS.items():
            self._dice[kind] = random.Random(f"{kind} of {seed}")
            is_there, place = chance.random() < present, chance.random()
            if is_there and kind not in without:
                self.strength[kind] = place
        self._rates = {
            "commits": self.rate("commits", 0.3, 1.0),
            "inside": self.rate("inside", 0.1, 0.6),
            "cancel": self.rate("cancel", 0.01, 0.2),
            "between": self.rate("between", 0.02, 0.3),
        }
        self._turns = random.Random(f"turns at the server of {seed}")

    def splits(self) -> bool:
        """Whether others may run between this statement and its commit."""
        return self._happens("commits")

    def commit_delay(self) -> float:
        """How long it takes to its commit, in seconds."""
        return 10 ** self._dice["commits"].uniform(-2.5, -1.5 if self._is_over else -0.4)

    def steps_inside(self) -> int:
        """How often this statement asks at its gate until it is stopped there; 0 for never."""
        return self._dice["inside"].choice([1, 1, 1, 2, 2, 3, 4, 6]) if self._happens("inside") else 0

    def pause(self) -> float:
        """How long it stays there, in seconds."""
        return 10 ** self._dice["inside"].uniform(-3.0, -1.5 if self._is_over else -0.4)

    def turn(self) -> float:
        """How long one that has got its lock waits for its turn, in seconds."""
        return 10 ** self._turns.uniform(-5.0, -2.5)

    def cancels(self) -> bool:
        """Whether somebody cancels this statement, which is taking its time."""
        return not self._is_over and self._happens("cancel")

    def arrives(self) -> bool:
        """Whether what a client sent with its last breath arrives."""
        return self._turns.random() < 0.5

    def stop_inside(self, process: Process) -> None:
        """A client has the answer to a statement of its transaction, and perhaps does not go on."""
        if not self._is_over and self._happens("between"):
            self._strike("pause", process)

    def _happens(self, kind: str) -> bool:
        return kind in self.strength and self._dice[kind].random() < self._rates[kind]


class Crowd:
    """Other clients, who touch many jobs at once."""

    def __init__(self, world: ScheduledWorld):
        self._world = world
        self._dice = random.Random(f"crowd of {world.scenario.seed}")

    async def run(self) -> None:
        """Until the storm is over: all at once, on the same few jobs, again and again."""
        world, dice = self._world, self._dice
        lanes = [
            world.lane(PROCESS.get(), f"crowd {number + 1}") for number in range(dice.choice([1, 2, 3, 4]))
        ]
        while not world.is_healed:
            await asyncio.sleep(10 ** dice.uniform(-1.3, 0.0) * max(1.0, world.weather.over_at / 5.0))
            open_ids = {row.id: None for row in world.auditor.unfinished()}
            errands = [each for each in world.workload.errands if each.new.id in open_ids]
            errands = errands or world.workload.errands
            few = dice.sample(errands, min(len(errands), 4))
            kind = dice.choice(WISHES)  # mostly all the same: then their rows are locked in turns
            kinds = [kind if dice.random() < 0.7 else dice.choice(WISHES) for _ in lanes]
            wishes = [self._wish(each, dice.sample(few, dice.randint(1, len(few)))) for each in kinds]
            await asyncio.gather(*(self._ask(*each) for each in zip(lanes, wishes, strict=True)))

    async def _ask(self, lane: SimulatedLane, wish: Plan[object]) -> None:
        await asyncio.sleep(10 ** self._dice.uniform(-4.0, -1.5))
        try:
            await lane.run(wish, 2.0)
        except StoreError:
            pass

    def _wish(self, kind: str, some: list[Errand]) -> Plan[object]:
        auditor, store = self._world.auditor, self._world.server_store
        match kind:
            case "enqueue" | "enqueue each":
                # An id that the store was told to forget would begin a second life, under the same fences.
                known = [errand.new for errand in some if errand.new.id not in auditor.seen.forgotten]
                for new in known:
                    auditor.wanted(new)
                insert = store.insert if kind == "enqueue" else store.insert_each
                return insert(known) if known else store.promote(5)
            case "prioritise":
                return store.set_priority([(errand.new.id, self._dice.randint(-9, 9)) for errand in some])
            case "cancel":
                for errand in some:
                    auditor.cancel_wanted(errand.new.id)
                return store.ask_cancel([errand.new.id for errand in some])
            case _:
                return store.promote(5)


class ScheduledWorld(World):
    """One scenario on PostgreSQL."""

    weather: Currents
    server: ScheduledServer

    def __init__(self, scenario: Scenario):
        dice = random.Random(f"size of {scenario.seed}")
        super().__init__(replace(scenario, workers=min(scenario.workers, dice.choice([2, 2, 3]))))
        # Idle rounds cost most of the statements here and meet nobody: fewer of them.
        # Few places, so that jobs lie ready and are fought for.
        self.settings = replace(
            self.settings,
            sweep=dice.choice([2.0, 4.0]),
            poll=dice.choice([1.0, 1.6]),
            concurrency=dice.choice([1, 1, 2, 4]),
        )

    def make_weather(self) -> Weather:
        return Currents(self.scenario.seed, self.scenario.without, LEASE)

    def make_workload(self) -> Workload:
        scenario, burst = self.scenario, self._chance.choice([0, 0, 8])
        count, until = (scenario.jobs + 2) // 3, self.weather.over_at * self._chance.choice([0.2, 0.8])
        return Workload.draw(scenario.seed, count, burst, until, scenario.skipped, EPOCH_US)

    def make_ground(self) -> Ground:
        seed = self.scenario.seed
        dice = random.Random(f"ground of {seed}")
        return PostgresGround(self.now_us, dice, is_logged=seed % LOGGED == 0)

    def make_server(self) -> Server:
        ground = self.ground
        assert isinstance(ground, PostgresGround)
        return ScheduledServer(
            self.loop,
            self.weather,
            ground.stand.controller,
            ground.connect,
            self._saw,
            self.troubled,
            self.tell,
            self._found,
            self._is_worth_it,
            self.now_us,
            random.Random(f"order of rows in {self.scenario.seed}"),
        )

    def run(self) -> Outcome:
        self.loop.after(0.0, lambda: self.loop.spawn(Process("crowd"), lambda: Crowd(self).run()))
        return super().run()

    def outage(self, seconds: float) -> None:
        super().outage(seconds)
        self.server.restart()

    def _saw(self, process: Process, words: str) -> None:
        jobs, workers = self.ground.rows()
        settled_us = self.server.settled_us
        not_before = None if settled_us is None else self.ground.moment(settled_us)
        self.auditor.saw(process, jobs, workers, self.server.began, not_before)

    def _is_worth_it(self, words: str) -> bool:
        state = {"claim": "ready", "promote": "scheduled"}.get(words)
        return state is None or any(str(row.state) == state for row in self.auditor.unfinished())

    def _outcome(self) -> Outcome:
        self.auditor.counts["waits"] = self.server.waits
        self.auditor.counts["circles"] = len(self.server.circles)
        return super()._outcome()

    def _found(self, check: str, sentence: str) -> None:
        self.auditor.findings.append(Finding(check, sentence, self.loop.now))
        self.tell("auditor", f"FOUND [{check}] {sentence}")
