"""What will befall a run and when: a list that follows from the seed, made before the run begins.

Faults are drawn in three lanes that go on beside each other: one for workers and clients, one for the way to
the server, one for the store itself. Within a lane kinds come from a shuffled deck, so that a short run has
met every kind before it meets one twice as often as it should. In the lane of the workers one fault does not
wait for the end of another; in the other two it does, because two of them at once are only one of them.
Whom a fault hits is drawn as a number between 0 and 1, and found among those who live at that moment.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

WORKERS = {
    "child killed": 4,
    "supervisor killed": 1,
    "child frozen": 2,
    "supervisor frozen": 2,
    "family frozen": 2,
    "supervisor told to stop": 1,
    "client killed": 1,
    "clock stepped": 1,
}
NETWORK = {
    "connections cut": 2,
    "black hole": 2,
    "answers swallowed": 2,
    "traffic delayed": 1,
    "connections refused": 1,
    "pooler killed": 1,
}
STORE = {"server killed": 2, "server frozen": 1, "disk full": 1, "write lock held": 3}
"""How many cards of each kind a deck has. What a run cannot have is left out of it."""

LANES: dict[str, Mapping[str, int]] = {"workers": WORKERS, "network": NETWORK, "store": STORE}

GAPS = {"workers": 1.8, "network": 3.5, "store": 7.0}
"""Mean seconds between faults of a lane."""

LASTS_LEASES: dict[str, tuple[float, float]] = {
    "child frozen": (0.2, 2.0),
    "supervisor frozen": (0.2, 3.0),
    "family frozen": (0.2, 4.0),
    "clock stepped": (0.4, 2.0),
    "black hole": (0.1, 2.0),
    "answers swallowed": (0.1, 1.5),
    "traffic delayed": (0.5, 2.0),
    "connections refused": (0.1, 1.5),
    "server killed": (0.0, 0.6),
    "server frozen": (0.2, 1.4),
    "disk full": (0.2, 1.4),
    "write lock held": (0.2, 2.0),
}
"""From how many leases to how many a kind lasts; the others are moments."""


@dataclass(frozen=True)
class Fault:
    """One fault: `at` seconds after the storm began, lasting `seconds`; `choice` finds the victim and
    `strength`, from 0 to 1 as well, says how bad it is where a kind has degrees."""

    number: int
    kind: str
    lane: str = field(repr=False)
    at: float
    seconds: float
    choice: float
    strength: float


def planned(seed: int, seconds: float, kinds: Sequence[str], lease: float) -> list[Fault]:
    """Every fault of a storm of so many seconds, in the order in which they begin."""
    drawn = [fault for lane in LANES for fault in _lane(lane, seed, seconds, kinds, lease)]
    ordered = sorted(drawn, key=lambda fault: fault.at)
    return [
        Fault(number, one.kind, one.lane, one.at, one.seconds, one.choice, one.strength)
        for number, one in enumerate(ordered, 1)
    ]


def _lane(lane: str, seed: int, seconds: float, kinds: Sequence[str], lease: float) -> Iterator[Fault]:
    dice = random.Random(f"{seed}:{lane}")
    deck = [kind for kind, cards in LANES[lane].items() if kind in kinds for _ in range(cards)]
    if not deck:
        return
    scale = lease / 5.0
    at = dice.uniform(1.0, 1.0 + GAPS[lane]) * scale
    while True:
        dice.shuffle(deck)
        for kind in _without_pairs(deck):
            low, high = LASTS_LEASES.get(kind, (0.0, 0.0))
            lasts = dice.uniform(low, high) * lease
            if at + (0.0 if lane == "workers" else lasts) > seconds:
                return
            yield Fault(0, kind, lane, round(at, 3), round(lasts, 3), dice.random(), dice.random())
            at += dice.uniform(0.4, 1.6) * GAPS[lane] * scale + (0.0 if lane == "workers" else lasts)


def _without_pairs(deck: Sequence[str]) -> list[str]:
    """The first card of each kind in front: a short run meets as many kinds as it has time for."""
    first = list(dict.fromkeys(deck))
    rest = list(deck)
    for kind in first:
        rest.remove(kind)
    return first + rest
