"""The way to the store: every statement and every COMMIT is a message that can be lost, late or unanswered.

A `Wire` is one connection of one simulated process. What the process sends travels some milliseconds,
is applied by the store outside all processes, and the answer travels back; so a process may be killed or
paused while its statement is under way, and the statement is applied all the same. A wire that breaks
inside a transaction rolls it back; one that breaks after an autocommit statement was sent does not take
it back. `SimulatedLane` runs plans over wires with the production runner, one at a time, within the
deadline that the engine asks for, and heals by opening the next wire.

The fate of each message is the weather's. The auditor sees the rows after every message that may have
changed them, and the answers to `settle` as the process receives them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tests.simulation.deadlines import Deadlines
from tests.simulation.loop import Call, Process, SimulatedLoop
from tests.simulation.message import CONFLICT, FINE, Fate, Message
from tests.simulation.turn import Turn
from unstuck.model.errors import OutcomeUnknown, StoreConflict, StoreError, StoreUnavailable
from unstuck.storage.plan import BlockingConnection, Mode, Plan, Request, run_async

if TYPE_CHECKING:
    from tests.simulation.weather import Weather

R = TypeVar("R")

BUSY_PAUSE = 0.05
BUSY_PATIENCE = 2.0
"""Seconds for which a statement that finds the file locked is tried again by the store itself."""


class Connection(BlockingConnection, Protocol):
    """A blocking connection that can be closed."""

    def close(self) -> None: ...


class Server:
    """The store at the other end of all wires.

    `open` makes a connection, `saw` is told of every write, `held_up` of who found the file locked.
    """

    def __init__(
        self,
        loop: SimulatedLoop,
        weather: Weather,
        open: Callable[[], Connection],
        saw: Callable[[Process, str], None],
        held_up: Callable[[Process], None],
        tell: Callable[[str, str], None],
        *,
        is_sql: bool,
    ):
        self.loop = loop
        self.weather = weather
        self.open = open
        self.is_sql = is_sql
        self.is_over = False
        self.stalled_until = 0.0
        self.down_until = 0.0
        self.locked_until = 0.0
        self._held: list[tuple[Call, float]] = []
        """What waits until the store answers again, or until its lock is free, and how long it then takes."""
        self.wires: list[Wire] = []
        self._waiting: dict[Message, Call] = {}
        """Who has found the file locked and asks again and again, and when he gives up."""
        self.messages = 0
        self.trail: list[tuple[float, str, str, str]] = []
        """Each message: when it arrived, whose it was, its words, its fate."""
        self._saw = saw
        self._held_up = held_up
        self._tell = tell

    def send(
        self, wire: Wire, words: str, act: Callable[[], Any], is_write: bool, future: asyncio.Future[Any]
    ) -> None:
        fate, there, back = self.weather.fate(wire.process, is_write, wire.name)
        if wire.is_inside:
            self.weather.inside(wire.process)
        if fate is not FINE:
            self._tell(wire.process.name, f"{words}: {fate.value}")
        message = Message(wire, words, act, is_write, fate, back, future, self.loop.now)
        self.loop.after(there, self._arrive, message)

    def _arrive(self, message: Message) -> None:
        now, wire, fate, future = self.loop.now, message.wire, message.fate, message.future
        self.messages += 1
        self.trail.append((now, wire.process.name, message.words, fate._value_))
        if self.is_over:
            return self._answer(future, StoreUnavailable("the world is over"))
        if now < self.stalled_until:
            return self._hold(self.stalled_until, message.back, self._arrive, message)
        if now < self.down_until:
            wire.sever()
            return self._answer(future, StoreUnavailable("the store is down"))
        if now < self.locked_until and message.is_write and not self.is_sql:
            return self._hold(self.locked_until, message.back, self._arrive, message)
        if fate is not FINE and (is_settled := self._befell(message)):
            return None if is_settled is True else self._answer(future, is_settled)
        if wire.is_broken and self.is_deaf_to(wire):
            return None
        if fate is CONFLICT:
            wire.undo()
            return self._answer(future, StoreConflict("deadlock detected"))
        return self._apply(message)

    def _hold(self, until: float, back: float, again: Callable[..., None], *args: Any) -> None:
        self._held.append((self.loop.after(until - self.loop.now + back, again, *args), back))

    def heal(self) -> None:
        """Nothing holds up anybody any more, nor what the dead have sent: it comes now, not long after them."""
        self.stalled_until = self.down_until = self.locked_until = 0.0
        for call, back in self._held:
            if call.when() > self.loop.now + back:
                self.loop.after(back, call[2], *call[3])
                call.cancel()

    def _befell(self, message: Message) -> StoreError | bool:
        """What the sender hears where the message never reached the store; True where it hears nothing."""
        fate, wire = message.fate, message.wire
        if fate is Fate.VANISHED:
            return True
        if fate is Fate.LOST:
            wire.sever()
            return StoreUnavailable("the connection was lost")
        if fate is Fate.LOST_UNSURE:
            wire.sever()
            return (OutcomeUnknown if message.is_write else StoreUnavailable)("the connection was lost")
        return False

    def is_deaf_to(self, wire: Wire) -> bool:
        """Whether what still arrives over this broken wire is not heard any more."""
        return self.is_sql

    def _apply(self, message: Message) -> None:
        wire, fate, value = message.wire, message.fate, None
        try:
            value = message.act()
        except StoreConflict as error:
            if self.is_sql:
                self._held_up(wire.process)
                if self.loop.now - message.sent < BUSY_PATIENCE:
                    return self._wait(message)
            value = error
        except Exception as error:
            value = error
        if message.is_write:
            self._saw(wire.process, message.words)
            if fate is FINE and self.weather.ambushes.swallows(wire.process):
                fate = Fate.UNANSWERED
                self.weather.lose_answer(wire.process, message.words)
        if wire.is_broken:
            wire.undo()
        if fate is not FINE:
            if fate is Fate.SILENT:
                return
            wire.sever()  # the answer was lost
            value = (OutcomeUnknown if message.is_write else StoreUnavailable)("the answer was lost")
        self.loop.after(message.back, self._answer, message.future, value)

    def _wait(self, message: Message) -> None:
        """It asks again and again until the file is free or its patience is over. Nothing can come of that while
        nobody has let go of anything, so until then nothing is done."""
        message.waits_since = self.loop.now
        left = message.sent + BUSY_PATIENCE - self.loop.now + 1e-6
        self._waiting[message] = self.loop.after(left, self._ask_again, message)

    def _ask_again(self, message: Message) -> None:
        self._waiting.pop(message, None)
        self._arrive(message)

    def let_go(self) -> None:
        """Somebody may have let go of the file: each of those who wait finds out when he next asks."""
        now, waiting = self.loop.now, self._waiting
        self._waiting = {}
        for message, end in waiting.items():
            end.cancel()
            self._held_up(message.wire.process)
            period = BUSY_PAUSE + message.back
            self.loop.after(period - (now - message.waits_since) % period, self._arrive, message)

    def _answer(self, future: asyncio.Future[Any], value: Any) -> None:
        if not future.done():
            future.set_result(value)

    def wire(self, process: Process) -> Wire:
        """One more connection for this process."""
        return Wire(self, process)

    def restart(self) -> None:
        """Every connection dies, and everybody who waits for an answer hears that at once."""
        for wire in self.wires:
            wire.sever()
            if wire.waits is not None:
                kind = OutcomeUnknown if wire.in_doubt else StoreUnavailable
                self._answer(wire.waits, kind("the server closed the connection"))
        self.wires = []

    def is_inside(self, process: Process) -> bool:
        """Whether this process is in the middle of a transaction."""
        return any(wire.is_inside for wire in self.wires if wire.process is process)

    def forget(self, process: Process) -> None:
        """The operating system closes the sockets of a process that is gone."""
        for wire in self.wires:
            if wire.process is process:
                wire.sever()
        self.wires = [wire for wire in self.wires if not wire.is_broken]

    def close(self) -> None:
        self.is_over = True
        for wire in self.wires:
            wire.sever()


class Wire:
    """One connection, as the runner of plans wants it."""

    def __init__(self, server: Server, process: Process):
        self.process = process
        self.is_broken = False
        self.is_inside = False
        self.in_doubt = False
        self.waits: asyncio.Future[Any] | None = None
        self.name = ""
        self._server = server
        self._connection = server.open()
        self._mode = Mode.READ
        server.wires.append(self)

    async def begin(self, mode: Mode) -> None:
        self._mode = mode
        # Who only reads says neither beginning nor end to any store.
        if self._server.is_sql and mode is not Mode.READ:
            await self._ask("begin", lambda: self._connection.begin(mode), is_write=False)
            self.is_inside = True

    async def execute(self, request: Request) -> Any:
        writes = self._mode is Mode.WRITE and not self._server.is_sql
        words = getattr(request, "block", self.name)
        is_bare = self._server.is_sql and self._mode is Mode.READ
        act = self._read if is_bare else self._connection.execute
        value = await self._asked(words, partial(act, request), writes)
        self.in_doubt, self.waits = False, None
        if isinstance(value, Exception):
            raise value
        return value

    def _read(self, request: Request) -> Any:
        self._connection.begin(Mode.READ)
        return self._connection.execute(request)

    async def commit(self, mode: Mode) -> None:
        if self._server.is_sql and mode is not Mode.READ:
            await self._ask(f"commit {self.name}", self._commit, is_write=not mode.is_reading)

    async def rollback(self, mode: Mode) -> None:
        if not self._server.is_sql or self.is_broken:
            return
        if self.in_doubt:
            self.sever()
        else:
            self.undo()

    def _commit(self) -> None:
        self._connection.commit(self._mode)
        self.is_inside = False
        self._server.let_go()

    def _asked(self, words: str, act: Callable[[], Any], is_write: bool) -> asyncio.Future[Any]:
        """Send it; what arrives in the future may be an error."""
        server = self._server
        if self.is_broken:
            raise StoreUnavailable("the connection is closed")
        if server.is_over:
            raise StoreUnavailable("the world is over")
        future: asyncio.Future[Any] = asyncio.Future(loop=server.loop)
        self.waits = future
        self.in_doubt = is_write
        server.send(self, words, act, is_write, future)
        return future

    async def _ask(self, words: str, act: Callable[[], Any], is_write: bool) -> Any:
        value = await self._asked(words, act, is_write)
        self.in_doubt, self.waits = False, None
        if isinstance(value, Exception):
            raise value
        return value

    def undo(self) -> None:
        """What an open transaction did is gone."""
        if self.is_inside:
            self.is_inside = False
            self._connection.rollback(self._mode)
            self._server.let_go()

    def sever(self) -> None:
        """The connection is gone; the store rolls back what was open."""
        if not self.is_broken:
            self.is_broken = True
            self.undo()
            self._connection.close()
            self._server.let_go()


class SimulatedLane:
    """A lane of one process. `heard` is told each answer that arrives."""

    def __init__(
        self,
        server: Server,
        process: Process,
        name: str,
        seed: int,
        heard: Callable[[Process, Plan[Any], Any], None],
    ):
        self.name = name
        self._server = server
        self._process = process
        self._seed = seed
        self._dice: random.Random | None = None
        self._heard = heard
        self._wire: Wire | None = None
        self._turn = Turn()
        self._was_in_doubt = False
        self._deadlines = Deadlines(server.loop)

    async def run(self, plan: Plan[R], deadline: float | None = None) -> R:
        self._was_in_doubt = False
        until = None if deadline is None else self._deadlines.begin(deadline)
        try:
            if not self._turn.take():
                await self._turn.wait()
            wire = self._wire
            if wire is None or wire.is_broken:
                wire = self._wire = self._server.wire(self._process)
            wire.name = plan.name
            try:
                answer = await run_async(wire, plan, self._spread)
            except StoreConflict:
                raise
            except StoreUnavailable:
                wire.sever()
                raise
            except StoreError:
                raise
            except BaseException:
                self._was_in_doubt = wire.in_doubt
                wire.sever()
                raise
            finally:
                self._turn.leave()
        except asyncio.CancelledError:
            if until is None or not self._deadlines.has_passed(until):
                raise
            kind = OutcomeUnknown if self._was_in_doubt else StoreUnavailable
            raise kind(f"{plan.name}: no answer within {deadline} s") from None
        finally:
            if until is not None:
                self._deadlines.end(until)
        self._heard(self._process, plan, answer)
        return answer

    def _spread(self, low: float, high: float) -> float:
        if self._dice is None:
            self._dice = random.Random(f"lane {self.name} of {self._process} in {self._seed}")
        return self._dice.uniform(low, high)

    async def aclose(self) -> None:
        self._deadlines.close()
        if self._wire is not None:
            self._wire.sever()
            self._wire = None
