"""The runners of plans: what conflicts begins again, what fails is undone, in both colours alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from unstuck.model.errors import OutcomeUnknown, StoreConflict, StoreError
from unstuck.storage.plan import CONFLICT_TRIES, Mode, Plan, Request, Requests, Statement, run, run_async


class Recorded:
    """A connection that notes what it is asked, and raises what the test has laid ready, one after the other."""

    def __init__(self, *errors: StoreError) -> None:
        self.errors = list(errors)
        self.asked: list[str] = []

    def begin(self, mode: Mode) -> None:
        self.asked.append("begin")

    def execute(self, request: Request) -> Any:
        assert isinstance(request, Statement)
        self.asked.append(request.block)
        if request.block == "second" and self.errors:
            raise self.errors.pop(0)
        return ()

    def commit(self, mode: Mode) -> None:
        self.asked.append("commit")

    def rollback(self, mode: Mode) -> None:
        self.asked.append("rollback")


class Awaited:
    """The same in the other colour."""

    def __init__(self, connection: Recorded) -> None:
        self._connection = connection

    async def begin(self, mode: Mode) -> None:
        self._connection.begin(mode)

    async def execute(self, request: Request) -> Any:
        return self._connection.execute(request)

    async def commit(self, mode: Mode) -> None:
        self._connection.commit(mode)

    async def rollback(self, mode: Mode) -> None:
        self._connection.rollback(mode)


Runner = Callable[[Recorded, Plan[int]], int]
RUNNERS: dict[str, Runner] = {
    "blocking": lambda connection, plan: run(connection, plan, sleep=lambda seconds: None),
    "async": lambda connection, plan: asyncio.run(
        run_async(Awaited(connection), plan, lambda low, high: 0.0)
    ),
}


@pytest.fixture(params=list(RUNNERS))
def runner(request: pytest.FixtureRequest) -> Runner:
    return RUNNERS[request.param]


def two_statements() -> Requests[int]:
    yield Statement("first")
    yield Statement("second")
    return 7


PLAN = Plan("two", Mode.TRANSACTION, two_statements)
UNDONE, WHOLE = ["begin", "first", "second", "rollback"], ["begin", "first", "second", "commit"]


def test_what_conflicts_is_undone_and_begins_again_from_the_first_statement(runner: Runner) -> None:
    connection = Recorded(StoreConflict("deadlock"), StoreConflict("deadlock"))
    assert runner(connection, PLAN) == 7
    assert connection.asked == [*UNDONE, *UNDONE, *WHOLE]


def test_what_conflicts_for_ever_is_given_up(runner: Runner) -> None:
    connection = Recorded(*[StoreConflict("deadlock")] * 100)
    with pytest.raises(StoreConflict):
        runner(connection, PLAN)
    assert connection.asked == UNDONE * CONFLICT_TRIES


def test_what_fails_is_undone_and_not_repeated(runner: Runner) -> None:
    connection = Recorded(OutcomeUnknown("the answer was lost"))
    with pytest.raises(OutcomeUnknown):
        runner(connection, PLAN)
    assert connection.asked == UNDONE
