"""The controller of the world on PostgreSQL does what its worlds rely on: it tells waiting from working, keeps
those that wait away until they are called, breaks circles, and stops statements between snapshot and lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.simulation.controller import Answer, Controller, Session
from tests.simulation.postgres_ground import GATED, PLAIN, Stand, WatchedDialect
from unstuck.storage.plan import Statement
from unstuck.storage.postgres.dialect import NOW
from unstuck.storage.sql.library import Style

Run = Callable[[Session, str], Answer | None]


@pytest.fixture
def controller(postgres_stand: Stand) -> Controller:
    postgres_stand.empty(GATED)
    postgres_stand.eye.execute(
        "INSERT INTO gated_jobs (id, queue, task, state, priority, line, created_at, args)"
        " SELECT (lpad(n::text, 8, '0') || '-0000-7000-8000-000000000000')::uuid, 'q', 't', 'ready', 0, n, now(), ''"
        " FROM generate_series(1, 3) AS n"
    )
    return postgres_stand.controller


@pytest.fixture
def sessions(controller: Controller) -> Iterator[list[Session]]:
    opened = [controller.open() for _ in range(3)]
    yield opened
    for session in list(controller.aside):
        controller.cancel(session)
    for session in opened:
        if session.is_inside:
            controller.rollback(session)
        controller.disarm(session)
        controller.give_back(session)


def say(controller: Controller, session: Session, text: str) -> Answer | None:
    return controller.run(session, session.raw.execute(text.encode()))


def change(number: int, what: str = "line = line + 10") -> str:
    return f"UPDATE gated_jobs SET {what} WHERE id = '{number:08}-0000-7000-8000-000000000000' AND state = 'ready'"


def changed(answer: Answer | None) -> int:
    assert answer is not None and answer.error is None
    rows: int = answer.value.rowcount
    return rows


def test_one_that_waits_is_set_aside_until_its_blocker_moves_and_it_is_called(
    controller: Controller, sessions: list[Session]
) -> None:
    holder, waiter, other = sessions
    controller.now(holder, "BEGIN")
    assert changed(say(controller, holder, change(1, "state = 'waiting', wake_at = now()"))) == 1
    assert say(controller, waiter, change(1)) is None
    assert controller.waits() == {waiter.pid: [holder.pid]}
    assert changed(say(controller, other, change(2))) == 1, "who waits for nobody is not held up"
    controller.now(holder, "COMMIT")
    assert controller.waits() == {waiter.pid: []}, "granted, and still not on its way"
    assert changed(controller.proceed(waiter)) == 0, "it looks again at what its blocker left"


def test_two_that_one_commit_wakes_go_on_in_the_order_in_which_they_are_called(
    controller: Controller, sessions: list[Session]
) -> None:
    holder, first, second = sessions
    controller.now(holder, "BEGIN")
    for number in (1, 2):
        say(controller, holder, change(number))
    for session, own in ((first, 1), (second, 2)):
        controller.now(session, "BEGIN")
        assert say(controller, session, change(own)) is None
    controller.now(holder, "COMMIT")
    assert controller.waits() == {first.pid: [], second.pid: []}
    assert changed(controller.proceed(second)) == 1
    assert changed(say(controller, second, change(3))) == 1
    assert changed(controller.proceed(first)) == 1
    assert say(controller, first, change(3)) is None, "the other came first"


def test_a_circle_is_seen_and_its_victim_is_told_what_postgresql_tells(
    controller: Controller, sessions: list[Session]
) -> None:
    one, two, _ = sessions
    for session, own in ((one, 1), (two, 2)):
        controller.now(session, "BEGIN")
        say(controller, session, change(own))
    assert say(controller, one, change(2)) is None
    assert say(controller, two, change(1)) is None
    assert controller.waits() == {one.pid: [two.pid], two.pid: [one.pid]}
    told = controller.cancel(one, psycopg.errors.DeadlockDetected("deadlock detected"))
    assert isinstance(told.error, psycopg.errors.DeadlockDetected)
    assert controller.waits() == {two.pid: []}
    assert changed(controller.proceed(two)) == 1


def test_a_row_can_change_between_a_statements_snapshot_and_its_lock(
    controller: Controller, sessions: list[Session]
) -> None:
    slow, quick, _ = sessions
    controller.arm(slow, 1)
    assert say(controller, slow, change(1, "state = 'running', worker_id = id")) is None
    assert controller.is_at_gate(controller.waits()[slow.pid])
    assert changed(say(controller, quick, change(1, "state = 'waiting', wake_at = now()"))) == 1
    assert changed(controller.pass_gate(slow)) == 0, "its snapshot says ready, the row does not"


def test_a_statement_can_stop_between_two_rows(controller: Controller, sessions: list[Session]) -> None:
    slow, quick, _ = sessions
    controller.arm(slow, 3)
    assert say(controller, slow, "UPDATE gated_jobs SET line = line + 10") is None
    answer = say(controller, quick, "SELECT id FROM gated_jobs FOR UPDATE SKIP LOCKED")
    assert changed(answer) == 1, "two of three rows are locked: one changed, one about to be"
    assert changed(controller.pass_gate(slow)) == 3


class Clock:
    now_us = 5_000_000

    def __call__(self) -> int:
        return self.now_us


@pytest.mark.parametrize(("written", "shown"), [(NOW, 7_000_000), ("now()", 5_000_000)])
def test_the_clock_is_the_worlds_and_tells_a_statement_from_its_transaction(
    written: str, shown: int, postgres_stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    dialect = WatchedDialect(PLAIN, clock)
    monkeypatch.setattr(dialect, "now", written)
    dialect.begun_us = clock.now_us
    clock.now_us = 7_000_000
    text, names = dialect.spelling("clock", Style.PYFORMAT)
    values: Any = next(dialect.bind(Statement("clock"), text, names)).values
    assert postgres_stand.eye.execute(text.encode(), values).fetchone() == (shown,)
