"""Progress and log lines ride along; they never stand in the way."""

from __future__ import annotations

import math
from typing import Any
from uuid import uuid4

import pytest

from tests.unit.engine.handling import Task, worked
from tests.unit.making import claimed
from unstuck.engine.context import Context, current
from unstuck.model.errors import StoreUnavailable
from unstuck.model.states import State
from unstuck.storage.memory.store import MemoryStore
from unstuck.storage.plan import Plan


def test_progress_that_is_no_number_is_not_kept() -> None:
    context = Context(claimed(), uuid4())
    for done, total in ((math.nan, None), (math.inf, 1.0), (1.0, math.nan)):
        context.progress(done, total)
    assert context.take_progress() is None
    context.progress(1, 4, "half\ud800\x00")
    assert context.take_progress() == (1.0, 4.0, "half?�")


@pytest.mark.parametrize("what", ["write_logs", "write_progress"])
def test_words_that_nobody_takes_do_not_hold_up_endings(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Plan[Any]:
        raise StoreUnavailable("the table is locked")

    def function() -> None:
        current().log("a line")
        current().progress(1.0)

    monkeypatch.setattr(MemoryStore, what, refuse)
    assert worked(Task(function), lambda job: job.is_final).state is State.SUCCEEDED
