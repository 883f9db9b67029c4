"""The weather: which kinds of fault exist in this world at all, and when they strike.

Each seed first draws the kinds (so that rare combinations are not drowned by everything at once), then
the rate of each, then the moments. Every kind has dice of its own, so taking one kind away while a
failing seed is made smaller leaves the others much as they were.

Nothing here knows the engine. Most kinds strike at any moment; a few wait for theirs (`ambushes`). Processes are killed, asked to leave, stopped with their host or alone (a
child that hangs, a supervisor that freezes, anybody between two statements of a transaction), cut off in
one direction; messages are lost, late, unanswered or refused; the store stalls, is down, restarts, is
locked, its clock jumps by minutes, workers' clocks are wrong by years; hints are lost, doubled or late;
tasks come and go with deploys, processes are started twice, an operator meddles. The storm ends at
`over_at`; then everything is healed and stays so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tests.simulation.ambushes import Ambushes
from tests.simulation.loop import Process
from tests.simulation.message import Fate

if TYPE_CHECKING:
    from tests.simulation.world import World

KINDS = (
    "kill",
    "stop",
    "pause",
    "suspend",
    "hang",
    "freeze",
    "lost",
    "unanswered",
    "slow",
    "conflict",
    "cut",
    "stall",
    "outage",
    "step",
    "hints",
    "halt",
    "restart",
    "failover",
    "lock",
    "years",
    "deploy",
    "extra",
    "operator",
    "eclipse",
    "ambush",
    "echo",
)
SHORTEST, LONGEST = 14.0, 34.0
"""Seconds that a storm lasts."""
BACK = -25.0
"""How far the store's clock goes back at most, in seconds: whatever was due waits that much longer."""
DENSITY = 1.9
"""How much more often what strikes at any moment does than where storms last 15 to 75 seconds."""
AT_PROCESSES = ("kill", "stop", "pause", "suspend", "hang", "freeze", "halt", "cut")
PRESENT = 0.35
LIKELIER = {"eclipse": 0.75, "ambush": 0.55, "echo": 0.55, "hints": 0.5}
"""How likely each kind is to exist in a world."""
DEAF = 0.35
"""Above that strength of lost hints nobody ever hears any, the storm being over or not: in one world of three polling
alone must do."""
AIM = {"settle": 4.0, "insert": 1.5, "claim": 1.5, "look": 0.5, "survey": 0.5}
"""How much likelier than others a message for that operation is to meet a fault: few are of those that matter most."""


class Dice(dict[str, random.Random]):
    """Dice of each kind of its own, made when they are first thrown: most kinds do not exist in most worlds."""

    def __init__(self, seed: int):
        super().__init__()
        self._seed = seed

    def __missing__(self, kind: str) -> random.Random:
        dice = self[kind] = random.Random(f"{kind} of {self._seed}")
        return dice


class Weather:
    """Draws fates for messages and moments for everything else, until the storm is over."""

    def __init__(self, seed: int, without: frozenset[str], lease: float):
        self._seed = seed
        self._lease = lease
        chance = random.Random(f"weather of {seed}")
        self.over_at = chance.uniform(SHORTEST, LONGEST)
        drawn = [(kind, chance.random() < LIKELIER.get(kind, PRESENT), chance.random()) for kind in KINDS]
        self.strength = {kind: place for kind, is_there, place in drawn if is_there and kind not in without}
        self._dice = Dice(seed)
        self._cuts: dict[str, tuple[float, Fate]] = {}
        self._is_over = False
        low = chance.choice([0.0001, 0.0005, 0.002])
        self._latency = (low, low * chance.choice([2.0, 10.0]))
        self._wire = self._dice["wire"]
        self._world: World
        self.ambushes = Ambushes(self._dice, self._befall_soon, self._cut_off)

    def rate(self, kind: str, low: float, high: float) -> float:
        """The strength of a kind between two limits, on a scale of factors; 0 where it does not exist."""
        return low * (high / low) ** self.strength[kind] if kind in self.strength else 0.0

    def begin(self, world: World) -> None:
        """Let the timed kinds strike."""
        self._world = world
        chances = {kind: self.rate(kind, 0.03, 0.25) for kind in ("ambush", "echo")}
        self.ambushes.begin(world, chances)
        self._probabilities = [
            (self._dice[kind], self.rate(kind, 0.002, 0.06), fates)
            for kind, fates in (
                ("lost", (Fate.LOST, Fate.LOST_UNSURE)),
                ("unanswered", (Fate.UNANSWERED,)),
                ("conflict", (Fate.CONFLICT,)),
            )
            if kind in self.strength
        ]
        self._slow = self.rate("slow", 0.005, 0.08)
        self._halt = self.rate("halt", 0.002, 0.05)
        self._strikes = [
            (kind, self.rate(kind, 0.0005, 0.01)) for kind in ("kill", "pause") if kind in self.strength
        ]
        for kind, low, high in (
            ("kill", 0.02, 0.2),
            ("stop", 0.02, 0.2),
            ("pause", 0.02, 0.2),
            ("suspend", 0.02, 0.1),
            ("hang", 0.02, 0.2),
            ("freeze", 0.02, 0.2),
            ("cut", 0.02, 0.15),
            ("stall", 0.02, 0.08),
            ("outage", 0.02, 0.08),
            ("step", 0.02, 0.06),
            ("restart", 0.02, 0.1),
            ("failover", 0.02, 0.04),
            ("lock", 0.02, 0.06),
            ("deploy", 0.02, 0.1),
            ("extra", 0.02, 0.06),
            ("operator", 0.05, 1.0),
            ("eclipse", 0.12, 0.5),
        ):
            if kind in self.strength:
                self._schedule(kind, DENSITY * self.rate(kind, low, high))
        world.loop.after(self.over_at, self._end)

    def fate(self, process: Process, is_write: bool, name: str) -> tuple[Fate, float, float]:
        """What becomes of a message for this operation: its fate, and how long it takes there and back."""
        wire = self._wire
        low, high = self._latency
        there, back = low + (high - low) * wire.random(), low + (high - low) * wire.random()
        if self._is_over:
            return Fate.FINE, there, back
        now = self._world.loop.now
        if process.name in self._cuts:
            until, fate = self._cuts[process.name]
            if now < until:
                return fate, there, back
        aim = AIM.get(name, 1.0)
        if self._slow and self._dice["slow"].random() < self._slow * aim:
            there += self._lease * 10 ** self._dice["slow"].uniform(-2, 0.3)
            self._world.troubled(process, there)
        for kind, rate in self._strikes:
            dice = self._dice["strike"]
            if dice.random() < rate * aim:
                moment = dice.uniform(0.0, there + back)
                self._world.loop.after(moment, self._strike, kind, process)
        for dice, rate, fates in self._probabilities:
            if dice.random() < rate * aim:
                self._world.troubled(process)
                return dice.choice(fates), there, back
        return Fate.FINE, there, back

    def lose_answer(self, process: Process, words: str) -> None:
        """The answer to these words, which have been done, is lost."""
        self._world.tell(process.name, f"{words}: {Fate.UNANSWERED.value}")
        self._world.troubled(process)

    def inside(self, process: Process) -> None:
        """A message leaves in the middle of a transaction: its sender may be stopped there."""
        if self._halt and not self._is_over and self._dice["halt"].random() < self._halt:
            self._world.loop.after(self._latency[0] / 2, self._strike, "halt", process)

    def hint_delays(self) -> list[float]:
        """When a hint arrives: once and soon, or never, late or twice."""
        if self.strength.get("hints", 0.0) > DEAF:
            return []
        if "hints" not in self.strength or self._is_over:
            return [self._wire.uniform(0.0005, 0.005)]
        dice = self._dice["hints"]
        return [0.001 + 10 ** dice.uniform(-3, 0.5) for _ in range(dice.choice([0, 0, 1, 1, 2, 3]))]

    def restart_delay(self) -> float:
        """How long a dead unit stays away."""
        return 0.2 if self._is_over else 10 ** self._wire.uniform(-1.0, 0.9)

    def start_delay(self) -> float:
        """How long a child takes to import the application."""
        return 10 ** self._wire.uniform(-1.5, 0.0)

    def drift(self, name: str) -> tuple[float, float]:
        """A process's own clock: where it begins, and how fast it runs."""
        dice = random.Random(f"clock of {name} in {self._seed}")
        return dice.uniform(0.0, 1e6), 1.0 + dice.uniform(-2e-4, 2e-4)

    def wall_offset_ms(self, name: str) -> int:
        """By how much a process's wall clock is wrong."""
        if "years" not in self.strength:
            return 0
        years = random.Random(f"years of {name} in {self._seed}").uniform(-10.0, 10.0)
        return int(years * 365.25 * 86_400_000)

    def _schedule(self, kind: str, rate: float) -> None:
        delay = self._dice[kind].expovariate(rate)
        if self._world.loop.now + delay < self.over_at:
            self._world.loop.after(delay, self._strike_timed, kind, rate)

    def _strike_timed(self, kind: str, rate: float) -> None:
        self._schedule(kind, rate)
        self._strike(kind, None)

    def _strike(self, kind: str, process: Process | None) -> None:
        if self._is_over:
            return
        world, dice = self._world, self._dice[kind]
        leases = self._lease * 10 ** dice.uniform(-1.0, 1.0)
        short = self._lease * 10 ** dice.uniform(-0.5, 0.6)
        if kind in AT_PROCESSES:
            found = self._victim(kind, process)
            if found is not None:
                self._befall(kind, found, leases, short)
        elif kind == "stall":
            world.stall(short)
        elif kind == "outage":
            world.outage(short)
        elif kind == "restart":
            world.restart(dice.uniform(0.0, 2.0))
        elif kind == "failover":
            world.restart(dice.uniform(0.5, 5.0))
            world.step_clock(dice.uniform(BACK, 300.0))
        elif kind == "lock":
            world.lock(min(leases, 3 * self._lease))
        elif kind == "step":
            world.step_clock(dice.choice([-min(leases, -BACK), leases, leases, dice.uniform(BACK, 300.0)]))
        elif kind == "deploy":
            world.crew.deploy(dice)
        elif kind == "extra":
            world.crew.start_extra(dice.uniform(1.0, 20.0), dice.choice(["kill", "stop"]))
        elif kind == "eclipse":
            self.ambushes.eclipse()
        elif kind == "operator":
            world.loop.post(world.operator.process, world.operator.ask)

    def _victim(self, kind: str, process: Process | None) -> Process | None:
        """Whom it strikes: the sender of a message, or somebody drawn."""
        crew = self._world.crew
        if process is None:
            among = crew.units() if kind in ("stop", "suspend", "pause", "freeze") else crew.living()
            if kind == "freeze":
                among = [unit for unit in among if unit.children]
            if kind == "hang":
                among = [each for each in among if each.parent is not None]
            process = self._dice[kind].choice(among) if among else None
        is_there = process is not None and process in crew.living() and not process.is_held
        return process if is_there else None

    def _befall(self, kind: str, process: Process, leases: float, short: float) -> None:
        world, dice = self._world, self._dice[kind]
        crew, host = world.crew, process.root().family()
        if kind == "kill":
            crew.kill(process)
        elif kind == "stop":
            crew.stop(process, dice.choice([1, 1, 2]))
        elif kind == "pause":
            crew.hold(host, leases, "is paused", is_suspended=False)
        elif kind == "suspend":
            crew.hold(host, leases, "its host is suspended", is_suspended=True)
        elif kind in ("hang", "freeze", "halt"):
            crew.hold([process], leases, "hangs alone", is_suspended=False)
        else:
            self._cut_off(dice.choice([[process], host]), short)

    def _befall_soon(self, kind: str, process: Process) -> None:
        """What an ambush does to its victim, if that is still there."""
        if not self._is_over and not process.is_dead and not process.is_held:
            dice = self._dice[kind]
            self._befall(kind, process, self._lease * 10 ** dice.uniform(-1.0, 1.0), self._lease)

    def _cut_off(self, processes: Sequence[Process], seconds: float) -> Callable[[], None]:
        """Whatever they send is lost in one direction, for so long; answers what ends that earlier."""
        world = self._world
        fate = self._dice["cut"].choice([Fate.VANISHED, Fate.SILENT])
        cut = (world.loop.now + seconds, fate)
        for each in processes:
            self._cuts[each.name] = cut
            world.troubled(each, seconds)
            world.tell(each.name, f"cut off for {seconds:.2f} s: every message is {fate.value}")

        def mend() -> None:
            for each in processes:
                if self._cuts.get(each.name) is cut:
                    del self._cuts[each.name]
                    world.auditor.troubles.eased(each)
                    world.tell(each.name, "is heard again")

        return mend

    def _end(self) -> None:
        self._is_over = True
        self._cuts.clear()
        self.ambushes.end()
        self._world.heal()
