"""A wire of the third world: one client's connection, and the real session at the other end of it.

Client and server end it apart from each other. When the client is gone (`sever`), what is at the server goes on:
a statement that waits or pauses is finished there, what was still travelling may arrive, and a transaction
whose client nobody heard going stays open until its timeout. Only when the server lets go (`leave`) is the
session given back, with whatever was open rolled back. What a statement answers in no promised order is
shuffled by the seed before the client sees it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulation.controller import TIMEOUTS, Session
from tests.simulation.lane import Wire
from tests.simulation.loop import Process
from tests.simulation.message import Fate
from unstuck.storage.plan import Mode, Request, Statement

if TYPE_CHECKING:
    from tests.simulation.postgres_ground import WatchedDialect
    from tests.simulation.schedule import ScheduledServer

IDLE_SECONDS = TIMEOUTS.get("idle_in_transaction_session_timeout", 1e9)


@dataclass
class Errand:
    """One statement at the server, and what will become of its answer."""

    wire: ScheduledWire
    words: str
    is_write: bool
    fate: Fate
    back: float
    future: asyncio.Future[Any]
    is_split: bool = False
    state: str = "runs"
    turn: int = 0
    since: float = 0.0


class ScheduledWire(Wire):
    """One connection of one process, with a real session behind it."""

    def __init__(self, server: ScheduledServer, process: Process):
        super().__init__(server, process)
        self.server = server
        session, self._postgres = self._connection  # type: ignore[misc]
        self._dialect: WatchedDialect = self._postgres._dialect
        self.session: Session | None = session
        self.waits: asyncio.Future[Any] | None = None
        self.mode = Mode.READ
        self.errand: Errand | None = None
        self.turn = 0
        self.is_under_way = False
        self.has_last_word = False
        self.is_cut_off = False
        self.began = 0.0
        """When its last transaction began, or the statement that was one."""
        self.settled_us: int | None = None
        self.is_dirty = False
        """Whether its open transaction has changed jobs or workers."""

    @property
    def is_gated(self) -> bool:
        """Whether its tables have gates."""
        return self._dialect.is_gated

    def changes(self, words: str) -> bool:
        """Whether that block changes jobs or workers, if it finds any."""
        return self._dialect.changes(words)

    def holds(self, pid: int) -> bool:
        """Whether it has the session of that process id."""
        return self.session is not None and self.session.pid == pid

    async def begin(self, mode: Mode) -> None:
        self.mode = self._mode = mode
        if mode is Mode.TRANSACTION:
            self.is_dirty = False
            await self._ask("begin", self._begin, is_write=False)
        else:
            self._dialect.begun_us = None
            await self._postgres.begin(mode)  # sends nothing

    async def _begin(self) -> None:
        self._dialect.begun_us = self._dialect.clock()
        await self._postgres.begin(Mode.TRANSACTION)

    async def execute(self, request: Request) -> Any:
        words = getattr(request, "block", self.name)
        return await self._ask(words, lambda: self._rows(request), is_write=self.mode is Mode.WRITE)

    async def commit(self, mode: Mode) -> None:
        if mode is Mode.TRANSACTION:
            await self._ask(f"commit {self.name}", lambda: self._postgres.commit(mode), is_write=True)

    async def _rows(self, request: Request) -> Any:
        rows = await self._postgres.execute(request)
        if isinstance(request, Statement) and not self._dialect.is_ordered(request.block):
            rows.sort(key=repr)
            self.server.dice.shuffle(rows)
        return rows

    async def rollback(self, mode: Mode) -> None:
        if self.is_under_way or self.errand is not None:
            self.sever()
        else:
            await super().rollback(mode)

    def undo(self) -> None:
        """What an open transaction did is gone."""
        if self.session is not None and self.errand is None and self.session.is_inside:
            self.server.controller.rollback(self.session)
            self.server._look_around()

    def sever(self) -> None:
        """The client is gone. What is at the server goes on; what travels may still arrive."""
        if self.is_broken:
            return
        self.is_broken = True
        if self.session is None or self.errand is not None:
            return
        if self.is_under_way and self.server.currents.arrives():
            self.has_last_word = True
        elif not (self.is_cut_off and self.session.is_inside):
            self.leave()
            return
        self.server.loop.after(IDLE_SECONDS, self._forgotten, self.turn)

    def leave(self) -> None:
        """The server lets go of the connection and rolls back what was open."""
        session, self.session = self.session, None
        if session is not None:
            if session.is_inside:
                self.server.controller.rollback(session)
            self.server.controller.give_back(session)
            self.server.left(self)

    def _forgotten(self, turn: int) -> None:
        if self.errand is None and self.turn == turn:
            self.leave()
