"""The way to a real PostgreSQL in virtual time: when each statement begins, goes on and commits is the seed's.

What travels over a `ScheduledWire` arrives as in every world, and is then released by the controller. A
statement outside a transaction is sometimes split into what it is made of (begin, the statement, commit), so
that others run between its end and its commit; some are stopped inside, at a gate. One that waits
for a lock stays away until its blocker has moved and the seed lets it go on. Meanwhile its
timeouts run in virtual time: `lock_timeout` in a transaction, `deadlock_timeout` for a circle, and
`idle_in_transaction_session_timeout` for a client that does not come back.

A server does not know what became of its client. A message that was sent may arrive although the sender
has died; a statement that waits or pauses goes on without him, and commits if it stands alone; a
transaction without a client is rolled back at once where the connection was closed, and at the timeout where
nobody could say so. Rows whose order is not promised come in an order that the seed draws.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import psycopg

from tests.simulation.controller import TIMEOUTS, Answer, Controller, Session
from tests.simulation.lane import Server
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.message import Fate, Message
from tests.simulation.scheduled_wire import IDLE_SECONDS, Errand, ScheduledWire
from unstuck.model.errors import OutcomeUnknown, StoreUnavailable
from unstuck.storage.plan import Mode
from unstuck.storage.postgres.connection import AsyncPostgresConnection

if TYPE_CHECKING:
    from tests.simulation.scheduled_world import Currents

LOCK_SECONDS = TIMEOUTS.get("lock_timeout", 1e9)
DEADLOCK_SECONDS = 1.0
"""PostgreSQL's own default, after which it looks for a circle."""
NEVER_WAITS = {"claim", "promote", "prune_jobs", "prune_workers"}
"""What takes only rows that nobody holds."""


class ScheduledServer(Server):
    """A PostgreSQL whose every step is the seed's."""

    def __init__(
        self,
        loop: SimulatedLoop,
        currents: Currents,
        controller: Controller,
        open: Callable[[], tuple[Session, AsyncPostgresConnection]],
        saw: Callable[[Process, str], None],
        held_up: Callable[[Process], None],
        tell: Callable[[str, str], None],
        found: Callable[[str, str], None],
        is_worth_it: Callable[[str], bool],
        clock: Callable[[], int],
        dice: random.Random,
    ):
        super().__init__(loop, currents, open, saw, held_up, tell, is_sql=True)  # type: ignore[arg-type]
        self.controller = controller
        self.currents = currents
        self.clock = clock
        self.dice = dice
        self._found = found
        self.is_worth_it = is_worth_it
        """Whether that statement will find any row to hold until its commit."""
        self.errands: list[Errand] = []
        self.waits = 0
        self.began = 0.0
        """When what was just committed began."""
        self.settled_us: int | None = None
        """What the store's clock was when it first asked for an ending, if it did."""
        self.circles: list[str] = []
        self._open_wires: list[ScheduledWire] = []

    def wire(self, process: Process) -> ScheduledWire:
        wire = ScheduledWire(self, process)
        self._open_wires.append(wire)
        return wire

    # A message arrives

    def send(self, wire: Any, words: str, act: Any, is_write: bool, future: asyncio.Future[Any]) -> None:
        wire.is_under_way = True
        super().send(wire, words, act, is_write, future)

    def _arrive(self, message: Message) -> None:
        wire: Any = message.wire
        if self.loop.now >= self.stalled_until:
            wire.is_under_way = False
            if message.fate is Fate.VANISHED:
                wire.is_cut_off = True
        super()._arrive(message)

    def is_deaf_to(self, wire: Any) -> bool:
        return wire.session is None or (wire.is_broken and not wire.has_last_word)

    def _apply(self, message: Message) -> None:
        wire: Any = message.wire
        words, session, currents = message.words, wire.session, self.currents
        wire.turn += 1
        errand = wire.errand = Errand(
            wire, words, message.is_write, message.fate, message.back, message.future
        )
        if not session.is_inside:
            wire.began, wire.settled_us = self.loop.now, None
        if words.startswith("settle"):
            wire.settled_us = min(wire.settled_us or self.clock(), self.clock())
        self.errands.append(errand)
        self.controller.disarm(session)
        if wire.changes(words):
            if wire.is_gated and (steps := currents.steps_inside()):
                self.controller.arm(session, steps)
            errand.is_split = wire.mode is Mode.WRITE and self.is_worth_it(words) and currents.splits()
        if errand.is_split:
            self.controller.now(session, "BEGIN")
        self._ran(errand, self.controller.run(session, message.act()))

    def _ran(self, errand: Errand, answer: Answer | None) -> None:
        if answer is not None:
            self._ended(errand, answer)
        session = errand.wire.session
        if answer is None or session is None or not session.is_inside or answer.error is not None:
            self._look_around(errand if answer is None else None)

    def _look_around(self, new: Errand | None = None) -> None:
        """Who waits for whom now: sends the woken on their way, notes who began to wait."""
        if new is None and not any(errand.state == "waits" for errand in self.errands):
            return
        waits = self.controller.waits()
        for errand in list(self.errands):
            session = errand.wire.session
            if not session.is_aside or errand.state == "woken":
                continue
            blockers = waits[session.pid]
            if errand is new and blockers:
                self._set_aside(errand, blockers)
            elif not blockers:
                errand.state = "woken"
                errand.turn += 1
                self.loop.after(self.currents.turn(), self._go_on, errand, errand.turn)
        if new is not None and (circle := self._circle(new, waits)):
            names = " and ".join(f"{each.words} of {each.wire.process}" for each in circle)
            self._tell("store", f"a circle: {names}")
            self.circles.append(names)
            self._found("nobody waits in a circle", names)
            self.loop.after(DEADLOCK_SECONDS, self._break_circle, new, new.turn)

    def _set_aside(self, errand: Errand, blockers: Sequence[int]) -> None:
        errand.turn += 1
        errand.since = self.loop.now
        process = errand.wire.process
        if self.controller.is_at_gate(blockers):
            errand.state = "paused"
            self.loop.after(self.currents.pause(), self._open_gate, errand, errand.turn)
        else:
            errand.state = "waits"
            self.waits += 1
            names = sorted(self._name(pid) for pid in blockers)
            self._tell(process.name, f"{errand.words} waits for {', '.join(names)}")
            self._held_up(process)
            if errand.words in NEVER_WAITS:
                self._found("claims do not wait", f"{errand.words} of {process} waits for {', '.join(names)}")
            if errand.wire.mode is Mode.TRANSACTION:
                self.loop.after(LOCK_SECONDS, self._waited_too_long, errand, errand.turn)
        if self.currents.cancels():
            self.loop.after(self.currents.pause(), self._cancel, errand, errand.turn)

    def _name(self, pid: int) -> str:
        for errand in self.errands:
            if errand.wire.session.pid == pid:
                return f"{errand.words} of {errand.wire.process}"
        return next(
            (f"{wire.process} ({wire.name})" for wire in self._open_wires if wire.holds(pid)), "somebody"
        )

    # A statement that was set aside moves

    def _is_due(self, errand: Errand, turn: int, again: Callable[..., None]) -> bool:
        if self.is_over or errand not in self.errands or errand.turn != turn:
            return False
        if self.loop.now < self.stalled_until:
            self._hold(self.stalled_until, errand.back, again, errand, turn)
            return False
        return True

    def _go_on(self, errand: Errand, turn: int) -> None:
        if self._is_due(errand, turn, self._go_on):
            errand.state = "runs"
            self._ran(errand, self.controller.proceed(errand.wire.session))

    def _open_gate(self, errand: Errand, turn: int) -> None:
        if self._is_due(errand, turn, self._open_gate):
            errand.state = "runs"
            self._ran(errand, self.controller.pass_gate(errand.wire.session))

    def _waited_too_long(self, errand: Errand, turn: int) -> None:
        if self._is_due(errand, turn, self._waited_too_long):
            self._give_up(errand, psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"))

    def _cancel(self, errand: Errand, turn: int) -> None:
        if self._is_due(errand, turn, self._cancel):
            self._tell(errand.wire.process.name, f"{errand.words} is cancelled by an administrator")
            self._held_up(errand.wire.process)
            self._give_up(errand, None)

    def _break_circle(self, errand: Errand, turn: int) -> None:
        if not self._is_due(errand, turn, self._break_circle):
            return
        if circle := self._circle(errand, self.controller.waits()):
            victim = min(circle, key=lambda each: each.since)
            self._give_up(victim, psycopg.errors.DeadlockDetected("deadlock detected"))

    def _give_up(self, errand: Errand, instead: psycopg.Error | None) -> None:
        errand.state = "runs"
        errand.turn += 1
        self._ran(errand, self.controller.cancel(errand.wire.session, instead))

    def _circle(self, errand: Errand, waits: dict[int, list[int]]) -> list[Errand]:
        """The errands that wait for each other, this one among them; none if there is a way out."""
        mine = {each.wire.session.pid: each for each in self.errands if each.state == "waits"}

        def search(pid: int, path: list[int]) -> list[int]:
            for blocker in waits.get(pid, ()):
                if blocker == path[0]:
                    return path
                if blocker in mine and blocker not in path and (found := search(blocker, [*path, blocker])):
                    return found
            return []

        start = errand.wire.session.pid
        return [mine[pid] for pid in search(start, [start])] if start in mine else []

    # A statement has ended

    def _ended(self, errand: Errand, answer: Answer) -> None:
        session = errand.wire.session
        self.controller.disarm(session)
        if errand.is_split and answer.error is None:
            errand.state = "commits"
            errand.turn += 1
            self.loop.after(self.currents.commit_delay(), self._commit, errand, errand.turn, answer)
            return
        if errand.is_split:
            self.controller.rollback(session)
        self._conclude(errand, answer)

    def _commit(self, errand: Errand, turn: int, answer: Answer) -> None:
        if self._is_due(errand, turn, lambda *again: self._commit(*again, answer)):
            self.controller.now(errand.wire.session, "COMMIT")
            self._conclude(errand, answer)
            self._look_around()

    def _conclude(self, errand: Errand, answer: Answer) -> None:
        wire, fate, future = errand.wire, errand.fate, errand.future
        self.errands.remove(errand)
        wire.errand = None
        value = answer.error or answer.value
        if answer.value and wire.changes(errand.words):
            wire.is_dirty = True
        if errand.is_write and wire.is_dirty:
            wire.is_dirty = False
            self.began, self.settled_us = wire.began, wire.settled_us
            self._saw(wire.process, errand.words)
        if wire.is_broken:
            wire.leave()
            return
        if fate is Fate.UNANSWERED:
            wire.sever()
            value = (OutcomeUnknown if errand.is_write else StoreUnavailable)("the answer was lost")
        elif wire.session.is_inside:
            self.loop.after(IDLE_SECONDS, self._stood_too_long, wire, wire.turn)
            self.currents.stop_inside(wire.process)
        if fate is Fate.SILENT:
            wire.is_cut_off = True
            return
        self.loop.after(errand.back, self._answer, future, value)

    def _stood_too_long(self, wire: ScheduledWire, turn: int) -> None:
        """A client that does not come back loses its transaction, and its connection with it."""
        if wire.session is not None and wire.turn == turn and wire.errand is None:
            self._tell(wire.process.name, f"{wire.name} stood too long in its transaction")
            self._held_up(wire.process)
            wire.is_broken = True
            wire.leave()

    # Connections go

    def restart(self) -> None:
        """Every connection dies; what was under way is undone, and whoever waits for it hears that it went."""
        for errand in list(self.errands):
            session = errand.wire.session
            if session.is_aside:
                self.controller.cancel(session)
            self.errands.remove(errand)
            errand.wire.errand = None
            kind = OutcomeUnknown if errand.is_write else StoreUnavailable
            self._answer(errand.future, kind("the server closed the connection"))
        for wire in list(self._open_wires):
            if wire.session is not None:
                wire.is_broken = True
                wire.leave()
            if wire.waits is not None:
                kind = OutcomeUnknown if wire.in_doubt else StoreUnavailable
                self._answer(wire.waits, kind("the server closed the connection"))
        self.wires = []

    def left(self, wire: ScheduledWire) -> None:
        """The server has let go of this connection."""
        self._open_wires.remove(wire)
        self._look_around()

    def is_inside(self, process: Process) -> bool:
        """What a stopped client holds is given back by the timeout of its transaction, so nobody is excused."""
        return False

    def close(self) -> None:
        self.is_over = True
        self.restart()
