"""A real PostgreSQL for many worlds, one after the other, and its clock in virtual time.

A `Stand` is one private server with one migrated database. It is started when the first world needs it and
used until the process is over: a world begins by emptying the tables. There are three sets of them, one as it
is in production, one with gates on its tables (`controller.GATES`) and one that keeps the event log behind such
gates; the seed picks. The server never syncs, because here processes die and machines do not, and never vacuums or plans in parallel, because
that would come from the air. What stands in the rows is read by one more connection that only looks.

The clock is the world's. `statement_timestamp()` in the statements of the product is replaced by the moment at
which the world releases the statement, bound as a value, and `now()`, where somebody should write it, by
the moment of its BEGIN: the very difference between the two, in virtual time.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, cast
from uuid import UUID

from tests.servers.postgres import USER, PostgresServer
from tests.simulation.controller import GATE, GATES, Controller, Session
from tests.simulation.ground import Ground, Rows, SeenWorker
from unstuck.storage.event_log import turn_on
from unstuck.storage.plan import Plan, Statement, run
from unstuck.storage.postgres.address import Address
from unstuck.storage.postgres.connection import AsyncPostgresConnection, PostgresConnection
from unstuck.storage.postgres.dialect import PostgresDialect
from unstuck.storage.postgres.keeper import PostgresKeeper
from unstuck.storage.postgres.store import PostgresStore
from unstuck.storage.sql import rows as shape
from unstuck.storage.sql.library import Spelled

SERVER = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "shared_buffers": "32MB",
    "max_connections": "120",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # Its time passes virtually, in the schedule.
    "deadlock_timeout": "1h",
}
PLAIN, GATED, LOGGED = "plain_", "gated_", "logged_"
EMPTIED = ("jobs", "attempts", "job_logs", "workers", "worker_tasks", "queues", "notices")
SOCKET_PATH_MAX = 90
LOOK = (
    "SELECT {part job} FROM {jobs} AS j ORDER BY j.id;"
    " SELECT w.id, w.lease_until, w.ended_at, w.reason FROM {workers} AS w ORDER BY w.id"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_INNERMOST = re.compile(r"\([^()]*\)")
_CHANGE = r"(UPDATE|INSERT INTO|DELETE FROM) {}(jobs|workers)\b"
_CLOCKS = {
    r"\b(statement_timestamp|clock_timestamp)\(\)": ":world_statement_at::timestamptz",
    r"\b(now|transaction_timestamp)\(\)|\bCURRENT_TIMESTAMP\b": ":world_transaction_at::timestamptz",
}


class WatchedDialect(PostgresDialect):
    """The product's texts, with the world's clock in place of the server's. Each connection has a copy."""

    def __init__(self, prefix: str, clock: Callable[[], int]):
        super().__init__(prefix)
        self.clock = clock
        self.begun_us: int | None = None
        """When the open transaction began, by that clock; None where none is open."""
        self.is_gated = prefix != PLAIN
        self._ordered: dict[str, bool] = {}
        self._changes: dict[str, bool] = {}

    def resolve(self, text: str, origin: str = "text") -> str:
        text = super().resolve(text, origin)
        for words, parameter in _CLOCKS.items():
            text = re.sub(words, parameter, text, flags=re.IGNORECASE)
        return text

    def bind(self, statement: Statement, text: str, names: tuple[str, ...]) -> Iterator[Spelled]:
        now = self.clock()
        begun = now if self.begun_us is None else self.begun_us
        moments = {"world_statement_at": now, "world_transaction_at": begun}
        said = {name: EPOCH + timedelta(microseconds=us) for name, us in moments.items() if name in names}
        for spelled in super().bind(statement, text, names):
            yield Spelled(spelled.text, spelled.names, {**spelled.values, **said})

    def is_ordered(self, name: str) -> bool:
        """Whether a block promises an order of its rows."""
        if name not in self._ordered:
            text = self.resolve(self.blocks[name].text, name)
            while (outer := _INNERMOST.sub("", text)) != text:
                text = outer
            self._ordered[name] = text.startswith(("SELECT", "WITH")) and "ORDER BY" in text
        return self._ordered[name]

    def changes(self, name: str) -> bool:
        """Whether a block changes rows of jobs or workers, and answers which."""
        if name not in self._changes:
            text = self.resolve(self.blocks[name].text, name) if name in self.blocks else ""
            self._changes[name] = bool(re.match(_CHANGE.format(self.prefix), text))
        return self._changes[name]


class Stand:
    """A server, a database and a controller, for as many worlds as there are."""

    def __init__(self) -> None:
        self.server = PostgresServer(**SERVER)
        try:
            self.server.start()
            url = self.server.create_database("worlds")
            place = str(self.server.folder)
            if len(place) < SOCKET_PATH_MAX:
                secret, port = self.server.password, self.server.port
                url = f"postgresql://{USER}:{secret}@/worlds?host={place}&port={port}"
            self.address = Address.of(url, "a world")
            self.stores = {prefix: self._prepare(url, prefix) for prefix in (PLAIN, GATED, LOGGED)}
            self.eyes = {
                prefix: PostgresConnection(self.address, PostgresDialect(prefix)) for prefix in self.stores
            }
            self.eye = self.eyes[PLAIN]._raw
            gated = [prefix + table for prefix in (GATED, LOGGED) for table in ("jobs", "workers")]
            self._execute(GATES + "".join(GATE.format(table=table) for table in gated))
            run(self.eyes[LOGGED], turn_on(PostgresDialect(LOGGED)))
            self.controller = Controller(self.address.conninfo, self.eye)
        except BaseException:
            self.server.close()
            raise

    def empty(self, prefix: str) -> None:
        """Nothing is left of the world before."""
        emptied = (*EMPTIED, "events") if prefix == LOGGED else EMPTIED
        self._execute("TRUNCATE " + ", ".join(prefix + table for table in emptied))

    def close(self) -> None:
        """The server goes, and all that is connected with it."""
        self.controller.close()
        for eye in self.eyes.values():
            eye.close()
        self.server.close()

    def _prepare(self, url: str, prefix: str) -> PostgresStore:
        keeper = PostgresKeeper(url, prefix)
        keeper.migrator.apply()
        keeper.close()
        return keeper.store

    def _execute(self, text: str) -> None:
        self.eye.execute(cast(LiteralString, text))


_stand: Stand | None = None


def stand() -> Stand:
    """The stand of this process; raises NotAvailable where the machine has no PostgreSQL."""
    global _stand
    if _stand is None:
        _stand = Stand()
    return _stand


def leave_stand() -> None:
    """Give the server back, if there is one."""
    global _stand
    if _stand is not None:
        _stand.close()
        _stand = None


class PostgresGround(Ground):
    """The tables of one world in the database of the stand."""

    engine = "postgres"
    is_serial = False
    tells_time = False

    def __init__(self, clock: Callable[[], int], dice: random.Random, *, is_logged: bool):
        self.stand = stand()
        self.prefix = LOGGED if is_logged else dice.choice([PLAIN, GATED])
        self.character: Sequence[str] = ("enable_seqscan", dice.choice(["on", "off"]))
        self.store = self.stand.stores[self.prefix]
        self._dialect = WatchedDialect(self.prefix, clock)
        self._eye = self.stand.eyes[self.prefix]
        self._look = self._dialect.resolve(LOOK).encode()
        self.stand.empty(self.prefix)
        self._seen: dict[UUID, tuple[Any, ...]] = {}
        self._jobs: dict[UUID, Any] = {}
        self._workers: dict[UUID, Any] = {}

    def connect(self) -> Any:
        """A session at rest, and the connection of the engine over it."""
        session: Session = self.stand.controller.open(self.character)
        return session, AsyncPostgresConnection(session.raw, self.stand.address, copy.copy(self._dialect))

    def keep_events(self) -> bool:
        return self.prefix == LOGGED

    def read(self, plan: Plan[Any]) -> Any:
        return run(self._eye, plan)

    def eye(self) -> PostgresConnection:
        return PostgresConnection(self.stand.address, copy.copy(self._dialect))

    def rows(self) -> Rows:
        cursor = self._eye._raw.execute(self._look)
        self._see_jobs({shape.uuid(row[0]): row for row in cursor.fetchall()})
        cursor.nextset()
        self._see_workers(cursor.fetchall())
        return self._jobs, self._workers

    def _see_jobs(self, seen: dict[UUID, tuple[Any, ...]]) -> None:
        if seen == self._seen:
            return
        kept = {job_id: job for job_id, job in self._jobs.items() if seen.get(job_id) == self._seen[job_id]}
        read = {job_id: shape.job(row) for job_id, row in seen.items() if job_id not in kept}
        order = dict.fromkeys([*(job_id for job_id in self._jobs if job_id in seen), *seen])
        both = kept | read
        self._seen, self._jobs = seen, {job_id: both[job_id] for job_id in order}

    def _see_workers(self, seen: list[tuple[Any, ...]]) -> None:
        found = [SeenWorker(shape.uuid(row[0]), *row[1:]) for row in seen]
        workers = {worker.id: worker for worker in found}
        before = {
            each: row if workers[each] == row else workers[each]
            for each, row in self._workers.items()
            if each in workers
        }
        self._workers = before | {each: row for each, row in workers.items() if each not in before}

    def close(self) -> None:
        """Nothing to give back: the next world empties the tables."""
