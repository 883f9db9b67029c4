"""The weather: which kinds of fault exist in this world at all, and when they strike.

Each seed first draws the kinds (so that rare combinations are not drowned by everything at once), then
the rate of each, then the moments. Every kind has dice of its own, so taking one kind away while a
failing seed is made smaller leaves the others much as they were.

Nothing here knows the engine: a process is killed, paused or suspended, a message is lost, late or
unanswered, the store stalls or is down or its clock jumps, a hint is lost, doubled or late. The storm
ends at `over_at`; then everything is healed and stays so.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.simulation.lane import Fate
from tests.simulation.loop import Process

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
)
PRESENT = 0.35
"""How likely each kind is to exist in a world."""


class Weather:
    """Draws fates for messages and moments for everything else, until the storm is over."""

    def __init__(self, seed: int, without: frozenset[str], lease: float):
        self._seed = seed
        self._lease = lease
        chance = random.Random(f"weather of {seed}")
        self.over_at = chance.uniform(15.0, 75.0)
        drawn = [(kind, chance.random() < PRESENT, chance.random()) for kind in KINDS]
        self.strength = {kind: place for kind, is_there, place in drawn if is_there and kind not in without}
        self._dice = {kind: random.Random(f"{kind} of {seed}") for kind in (*KINDS, "wire", "strike")}
        self._cuts: dict[str, tuple[float, Fate]] = {}
        self._is_over = False
        low = chance.choice([0.0001, 0.0005, 0.002])
        self._latency = (low, low * chance.choice([2.0, 10.0]))
        self._wire = self._dice["wire"]
        self._world: World

    def rate(self, kind: str, low: float, high: float) -> float:
        """The strength of a kind between two limits, on a scale of factors; 0 where it does not exist."""
        return low * (high / low) ** self.strength[kind] if kind in self.strength else 0.0

    def begin(self, world: World) -> None:
        """Let the timed kinds strike."""
        self._world = world
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
        ):
            if kind in self.strength:
                self._schedule(kind, self.rate(kind, low, high))
        world.loop.after(self.over_at, self._end)

    def fate(self, process: Process, is_write: bool) -> tuple[Fate, float, float]:
        """What becomes of a message: its fate, and how long it takes there and back."""
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
        if self._slow and self._dice["slow"].random() < self._slow:
            there += self._lease * 10 ** self._dice["slow"].uniform(-2, 0.3)
            self._world.troubled(process, there)
        for kind, rate in self._strikes:
            dice = self._dice["strike"]
            if dice.random() < rate:
                moment = dice.uniform(0.0, there + back)
                self._world.loop.after(moment, self._strike, kind, process)
        for dice, rate, fates in self._probabilities:
            if dice.random() < rate:
                self._world.troubled(process)
                return dice.choice(fates), there, back
        return Fate.FINE, there, back

    def hint_delays(self) -> list[float]:
        """When a hint arrives: once and soon, or never, late or twice."""
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
        crew = world.crew
        if kind in ("kill", "stop", "pause", "suspend", "hang", "freeze", "cut"):
            whole = kind in ("stop", "suspend", "pause") and process is None
            among = crew.units() if whole or kind == "freeze" else crew.living()
            if kind == "freeze":
                among = [unit for unit in among if unit.children]
            if kind == "hang":
                among = [each for each in among if each.parent is not None]
            if process is None and among:
                process = dice.choice(among)
            if process not in crew.living() or process is None or process.is_held:
                return
        if kind == "kill":
            assert process is not None
            crew.kill(process)
        elif kind == "stop":
            assert process is not None
            crew.stop(process, dice.choice([1, 1, 2]))
        elif kind in ("pause", "suspend"):
            assert process is not None
            family = process.root().family()
            is_suspended = kind == "suspend"
            what = "its host is suspended" if is_suspended else "is paused"
            crew.hold(family, leases, what, is_suspended=is_suspended)
        elif kind in ("hang", "freeze"):
            assert process is not None
            crew.hold([process], leases, "hangs alone", is_suspended=False)
        elif kind == "cut":
            assert process is not None
            fate = dice.choice([Fate.VANISHED, Fate.SILENT])
            host = dice.choice([[process], process.root().family()])
            for each in host:
                self._cuts[each.name] = (world.loop.now + short, fate)
                world.troubled(each, short)
                world.tell(each.name, f"cut off for {short:.2f} s: every message is {fate.value}")
        elif kind == "stall":
            world.stall(short)
        elif kind == "outage":
            world.outage(short)
        elif kind == "step":
            world.step_clock(dice.choice([-1.0, 1.0]) * leases)

    def _end(self) -> None:
        self._is_over = True
        self._cuts.clear()
        self._world.heal()
