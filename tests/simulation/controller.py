"""Statements released to a real PostgreSQL one at a time, so that a seed, and not the scheduler, orders them.

Each simulated connection has a real one, of the very class that the engine uses; only where that would wait
for its socket it hands back to us (`Stepped`). A released statement is driven until it has answered or is
found waiting for a lock: `pg_blocking_pids` says so, never a clock. Then its server process is stopped
(SIGSTOP) and set aside with the statement. When somebody lets go of a lock PostgreSQL grants it to the
first in its queue, as always, but whoever was set aside goes on only when the seed says so. So at most one
server process runs at any moment, and two that are woken by the same COMMIT do not race.

A waiting process holds none of the server's inner locks, so it may be stopped; its timers are switched off
(`deadlock_timeout`, `lock_timeout`), and their time passes virtually, in `schedule`. A circle of waiting
statements is read from the same function and broken by cancelling one; it is told what PostgreSQL's
own detector would tell it.

A statement can also be stopped *inside*: triggers on the tables ask before the first row is sought, after
its snapshot was taken, and before each single row is changed (`GATES`). That is how a row comes to be changed
between a statement's snapshot and its lock, which is what EvalPlanQual is for.
"""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import generators, waiting
from psycopg.pq import ExecStatus, TransactionStatus

from unstuck.storage.postgres.connection import BEGIN

REAL_PATIENCE_SECONDS = 60.0
"""After so long without an answer and without a lock to wait for something is wrong with the machine."""

TIMEOUTS = {name: float(seconds) for name, seconds in re.findall(r"SET LOCAL (\w+) = '(\d+)s'", BEGIN)}
"""What a transaction of ours sets for itself, in seconds: its time passes virtually."""
PLAIN_BEGIN = re.sub(r"; SET LOCAL [^;]*", "", BEGIN)

GATES = """
CREATE FUNCTION world_gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    steps integer := current_setting('world.steps')::integer - 1;
BEGIN
    PERFORM set_config('world.steps', steps::text, false);
    IF steps = 0 THEN
        PERFORM pg_advisory_lock(current_setting('world.key')::bigint);
        PERFORM pg_advisory_unlock(current_setting('world.key')::bigint);
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
"""
GATE = """
CREATE TRIGGER world_before BEFORE UPDATE OR DELETE ON {table} FOR EACH STATEMENT
WHEN (current_setting('world.steps', true) > '0') EXECUTE FUNCTION world_gate();
CREATE TRIGGER world_each BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW
WHEN (current_setting('world.steps', true) > '0') EXECUTE FUNCTION world_gate();
"""


class _Wanting:
    """What an errand waits for at its socket."""

    def __init__(self, state: Any):
        self.state = state

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self.state)


class Stepped(psycopg.AsyncConnection[Any]):
    """A connection that asks its controller instead of an event loop; virtual timeouts instead of real ones."""

    instead: psycopg.Error | None = None
    """What a cancelled statement is told."""

    async def wait(self, gen: Any, interval: float = 0.0, timeout: float | None = None) -> Any:
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send(await _Wanting(wanted))
        except StopIteration as stop:
            return stop.value
        except psycopg.errors.QueryCanceled:
            if self.instead is not None:
                raise self.instead from None
            raise

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        return await super().execute(PLAIN_BEGIN if query == BEGIN else query, params, **options)


@dataclass(frozen=True)
class Answer:
    """How an errand came back."""

    value: Any = None
    error: Exception | None = None


class Session:
    """One real connection; `key` is its gate."""

    def __init__(self, pgconn: Any, key: int):
        self.raw = Stepped(pgconn)
        self.raw._autocommit = True
        self.raw.prepare_threshold = None
        self.pgconn = pgconn
        self.pid = pgconn.backend_pid
        self.key = key
        self.character: tuple[str, ...] = ()
        self.errand: Coroutine[Any, Any, Any] | None = None
        self.wanted: Any = None
        self.is_aside = False
        self.is_armed = False
        self.was_armed = False

    @property
    def is_inside(self) -> bool:
        """Whether a transaction is open, as the server says."""
        return self.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)


class Controller:
    """Releases, sets aside, wakes and cancels. `eye` is a connection of its own that looks and holds the gates."""

    def __init__(self, conninfo: str, eye: psycopg.Connection[Any]):
        self._conninfo = conninfo
        self._eye = eye
        self._pid = eye.info.backend_pid
        self._idle: list[Session] = []
        self._all: list[Session] = []
        self._busy: dict[Session, None] = {}
        self.aside: list[Session] = []

    def open(self, character: Sequence[str] = ()) -> Session:
        """A session at rest. `character`: settings that it has, such as ("enable_seqscan", "off")."""
        if self._idle:
            session = self._idle.pop()
            self.now(session, "DEALLOCATE ALL")  # a new connection knows of nothing prepared
        else:
            key = len(self._all) + 1
            session = Session(waiting.wait_conn(generators.connect(self._conninfo), 0.1), key)
            self._eye.execute("SELECT pg_advisory_lock(%s)", [key])
            self.now(session, f"SELECT set_config('world.key', '{key}', false)")
            self._all.append(session)
        self._busy[session] = None
        if session.character != tuple(character):
            settings = [f"RESET {name}" for name in session.character[::2]]
            pairs = zip(character[::2], character[1::2], strict=True)
            settings += [f"SET {name} = {value}" for name, value in pairs]
            self.now(session, "; ".join(settings))
            session.character = tuple(character)
        return session

    def give_back(self, session: Session) -> None:
        """The session is not needed any more."""
        assert session.errand is None and not session.is_inside
        del self._busy[session]
        self._idle.append(session)

    def arm(self, session: Session, steps: int) -> None:
        """The next statement stops at the gate when it has asked so many times."""
        self.now(session, f"SELECT set_config('world.steps', '{steps}', false)")
        session.is_armed = session.was_armed = True

    def disarm(self, session: Session) -> None:
        """No gate for this session any more; an aborted transaction has to end first."""
        if session.is_armed and session.pgconn.transaction_status != TransactionStatus.INERROR:
            self.now(session, "SELECT set_config('world.steps', '0', false)")
            session.is_armed = False

    def rollback(self, session: Session) -> None:
        """Undo what is open; a setting that was taken back in it comes back with it."""
        self.now(session, "ROLLBACK")
        if session.was_armed:
            session.is_armed = True
            self.disarm(session)
            session.was_armed = False

    def now(self, session: Session, text: str) -> None:
        """A statement that nobody can block; so it is waited for in one call."""
        assert session.errand is None
        result = session.pgconn.exec_(text.encode())
        if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            raise psycopg.errors.error_from_result(result)

    def run(self, session: Session, errand: Coroutine[Any, Any, Any]) -> Answer | None:
        """Release; None where the statement was found waiting and set aside."""
        assert session.errand is None
        session.errand = errand
        try:
            session.wanted = errand.send(None)
        except StopIteration as stop:
            session.errand = None
            return Answer(stop.value)
        except Exception as error:
            session.errand = None
            return Answer(error=error)
        return self._drive(session)

    def proceed(self, session: Session) -> Answer | None:
        """Let one that was set aside go on, granted or not."""
        self._wake(session)
        return self._drive(session)

    def cancel(self, session: Session, instead: psycopg.Error | None = None) -> Answer:
        """End the statement of one that was set aside."""
        session.raw.instead = instead
        self._eye.execute("SELECT pg_cancel_backend(%s)", [session.pid])
        self._wake(session)
        answer = self._drive(session, must_answer=True)
        session.raw.instead = None
        assert answer is not None
        return answer

    def pass_gate(self, session: Session) -> Answer | None:
        """Let one that stands before its gate go on."""
        self._eye.execute("SELECT pg_advisory_unlock(%s)", [session.key])
        answer = self.proceed(session)
        self._eye.execute("SELECT pg_advisory_lock(%s)", [session.key])
        return answer

    def waits(self) -> dict[int, list[int]]:
        """Of all set aside: for whom they wait, by process id; for nobody where the lock was granted."""
        pids = [session.pid for session in self.aside]
        found = self._eye.execute("SELECT p, pg_blocking_pids(p) FROM unnest(%s::int[]) AS p", [pids])
        return {pid: list(dict.fromkeys(blockers)) for pid, blockers in found}

    def is_at_gate(self, blockers: Sequence[int]) -> bool:
        """Whether it is we who hold it up."""
        return self._pid in blockers

    def session(self, pid: int) -> Session:
        """The session of that process id."""
        return next(session for session in self._all if session.pid == pid)

    def close(self) -> None:
        """Nobody is left stopped."""
        for session in list(self.aside):
            self._wake(session)
        for session in self._all:
            session.pgconn.finish()
            if session.errand is not None:
                session.errand.close()
        self._all = []

    def _drive(self, session: Session, *, must_answer: bool = False) -> Answer | None:
        assert session.errand is not None
        patience, waited = 0.005 if self._may_wait(session) else 1.0, 0.0
        while True:
            if ready := _ready(session.pgconn.socket, session.wanted, patience):
                try:
                    session.wanted = session.errand.send(ready)
                except StopIteration as stop:
                    session.errand = None
                    return Answer(stop.value)
                except Exception as error:
                    session.errand = None
                    return Answer(error=error)
            elif not must_answer and self._is_blocked(session):
                os.kill(session.pid, signal.SIGSTOP)
                session.is_aside = True
                self.aside.append(session)
                return None
            elif (waited := waited + patience) > REAL_PATIENCE_SECONDS:
                raise RuntimeError("a statement neither answers nor waits for a lock")
            else:
                patience = min(2 * patience, 1.0)

    def _may_wait(self, session: Session) -> bool:
        """Whether anybody could hold it up: only a reason to ask early."""
        return session.is_armed or any(
            each.is_aside or each.is_inside for each in self._busy if each is not session
        )

    def _is_blocked(self, session: Session) -> bool:
        asked = self._eye.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [session.pid])
        return asked.fetchone() == (True,)

    def _wake(self, session: Session) -> None:
        session.is_aside = False
        self.aside.remove(session)
        os.kill(session.pid, signal.SIGCONT)


def _ready(descriptor: int, wanted: int, seconds: float) -> int:
    """psycopg's words for what the socket is ready for: 1 to read, 2 to write, 0 for nothing."""
    events = (select.POLLIN if wanted & 1 else 0) | (select.POLLOUT if wanted & 2 else 0)
    poll = select.poll()
    poll.register(descriptor, events)
    ready = 0
    for _, found in poll.poll(seconds * 1000):
        if found & ~select.POLLOUT:
            ready |= 1
        if found & select.POLLOUT:
            ready |= 2
    return ready & wanted if ready & wanted else ready
