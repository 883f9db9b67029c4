"""Ambushes: weather that waits for its moment, where all other weather strikes at any.

Most moments of a world are dull. A promise is hard to keep in few of them: between a claim and its answer or its
start, between an ending and the word that it was recorded, and when somebody who was away comes back just as what he
ran runs elsewhere. What strikes at random meets each of these once in many worlds, and long storms are then the only
way to meet them at all. So these kinds are told by the auditor what the rows show, and strike there:

- *eclipse*: a host at work stands still or is cut off until something that it ran was claimed by somebody else; a
  moment later it is back.
- *ambush*: whoever has just claimed is killed or stopped, or its answer is lost.
- *echo*: whoever has just recorded an ending never hears that, or does not live to hear it.

They know as little of the engine as all weather does, and what they do to a process is told to the auditor as for all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from tests.simulation.loop import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

LEASES_MAX = 3.0
"""For how many leases a host is away at most, if nobody claims what it ran."""


@dataclass(eq=False)
class Away:
    """A host that is away, what it ran there under which fence, and how to let it come back."""

    root: Process
    fences: Mapping[UUID, int]
    let_go: Callable[[], None]


class Ambushes:
    """Waits for what the auditor sees; `befall` is what the weather does to a process by the name of a kind, `cut` cuts
    some off. Nobody lies in wait before the storm has begun."""

    def __init__(
        self,
        dice: Mapping[str, random.Random],
        befall: Callable[[str, Process], None],
        cut: Callable[[Sequence[Process], float], Callable[[], None]],
    ):
        self._world: World
        self._dice = dice
        self._chances: Mapping[str, float] = {}
        self._befall = befall
        self._cut = cut
        self._away: list[Away] = []
        self._unheard: tuple[Process, float] | None = None
        self._is_due = False

    def begin(self, world: World, chances: Mapping[str, float]) -> None:
        """Lie in wait from now on, with so much luck by the name of a kind."""
        self._world, self._chances = world, chances

    # What the rows show

    def claimed(self, process: Process, job_id: UUID, fence: int) -> None:
        """This process has just got a job."""
        if self._is_due and not self._world.is_healed:
            self._is_due = False
            self._world.loop.after(10 ** self._dice["eclipse"].uniform(-2.0, -0.5), self.eclipse)
        for away in self._away:
            if away.fences.get(job_id, fence) < fence and process.root() is not away.root:
                delay = 10 ** self._dice["eclipse"].uniform(-3.0, -0.3)
                self._world.loop.after(delay, self._come_back, away)
        self._lie_in_wait("ambush", ("kill", "pause", "hang", "unheard", "unheard"), process)

    def over(self, process: Process) -> None:
        """This process has just recorded the ending of an attempt."""
        self._lie_in_wait("echo", ("kill", "pause", "unheard", "unheard", "unheard"), process)

    def swallows(self, process: Process) -> bool:
        """Whether the answer to what this process has just done is lost."""
        return self._unheard is not None and self._unheard == (process, self._world.loop.now)

    # What they do

    def eclipse(self) -> None:
        """Somebody who is at work is away until his work is another's."""
        if self._world.is_healed:
            return
        world, dice = self._world, self._dice["eclipse"]
        units = [unit for unit in world.crew.units() if not unit.is_held]
        at_work = [
            (job_id, attempt)
            for job_id, attempt in world.auditor.attempts()
            if attempt.ended_at is None and not attempt.process.is_dead and attempt.process.root() in units
        ]
        self._away = [away for away in self._away if not away.root.is_dead]
        # One at a time: who is to take his work must be well.
        if not at_work or len(units) < 2 or self._away:
            self._is_due = True  # as soon as it can be
            return
        root = dice.choice(at_work)[1].process.root()
        fences = {job_id: attempt.fence for job_id, attempt in at_work if attempt.process.root() is root}
        seconds, way = LEASES_MAX * world.settings.lease, dice.choice(["pause", "pause", "suspend", "cut"])
        if way == "cut":
            let_go = self._cut([each for each in root.family() if not each.is_dead], seconds)
        else:
            let_go = self._stand_still(root.family(), seconds, is_suspended=way == "suspend")
        away = Away(root, fences, let_go)
        self._away.append(away)
        world.loop.after(seconds, self._come_back, away)

    def _stand_still(
        self, processes: Sequence[Process], seconds: float, *, is_suspended: bool
    ) -> Callable[[], None]:
        """Stop them until the answer is called, which is not later than in so many seconds."""
        world, loop, since = self._world, self._world.loop, self._world.loop.now
        held = [process for process in processes if not process.is_held and not process.is_dead]
        for process in held:
            world.tell(process.name, "is eclipsed")
            world.auditor.troubles.touched(process)
            if world.server.is_inside(process):
                world.tell("store", f"may be locked by {process} meanwhile")
                world.auditor.troubles.locked(seconds)
            (loop.suspend if is_suspended else loop.pause)(process)
        return lambda: world.crew.go_on(held, since, is_suspended)

    def end(self) -> None:
        """The storm is over: nobody is away any more."""
        self._away.clear()

    def _come_back(self, away: Away) -> None:
        if away in self._away:
            self._away.remove(away)
            away.let_go()

    def _lie_in_wait(self, kind: str, deeds: Sequence[str], process: Process) -> None:
        chance = self._chances.get(kind, 0.0)
        if not chance or self._world.is_healed:
            return
        dice = self._dice[kind]
        if dice.random() >= chance:
            return
        deed, moment = dice.choice(deeds), 10 ** dice.uniform(-4.0, -1.5)
        if deed == "unheard":
            self._unheard = (process, self._world.loop.now)
        else:
            self._world.loop.after(moment, self._befall, deed, process)
