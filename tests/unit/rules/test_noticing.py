"""What is said where neither an owner nor an alarm has helped."""

from __future__ import annotations

import pytest

from tests.unit.making import NOW, worker
from unstuck.model.notice import Kind
from unstuck.rules import noticing
from unstuck.rules.noticing import STALL_SHOWN, queue_finding, stall_finding, task_finding, worker_finding

BOUND_US = 41_000_000
IDLE = worker(report={"free": 3, "idle": 60.0})
BUSY = worker(report={"free": 3, "idle": 0.5})


@pytest.mark.parametrize(
    ("oldest_us", "is_paused", "workers", "kind"),
    [
        (1, False, [], Kind.NO_WORKER),
        (1, False, [worker(queues=("other",))], Kind.NO_WORKER),
        (1, False, [worker(draining_at=NOW)], Kind.NO_WORKER),
        (1, True, [], None),
        (0, False, [], None),
        (BOUND_US, False, [IDLE], None),
        (BOUND_US + 1, False, [IDLE], Kind.UNATTENDED),
        (BOUND_US + 1, False, [BUSY], None),
        (BOUND_US + 1, False, [BUSY, IDLE], Kind.UNATTENDED),
    ],
)
def test_a_queue_is_on_notice_where_nobody_takes_what_is_due(
    oldest_us: int, is_paused: bool, workers: list[object], kind: Kind | None
) -> None:
    found = queue_finding("q", oldest_us, is_paused, workers, BOUND_US)  # type: ignore[arg-type]
    assert (found and found.kind) == kind
    assert found is None or found.subject == "q"


def test_a_stalled_child_is_on_notice() -> None:
    assert worker_finding(worker()) is None
    found = worker_finding(worker(stalled_at=NOW))
    assert found is not None
    assert found.kind is Kind.STALLED
    assert "pid 7 on host" in found.sentence


def test_a_stall_of_the_store_is_shown_for_ten_minutes() -> None:
    assert stall_finding(None, 5.0) is None
    assert stall_finding((100.0, 20.0), 100.0 + STALL_SHOWN + 1) is None
    found = stall_finding((100.0, 20.0), 100.0 + STALL_SHOWN)
    assert found is not None
    assert "20.0 s" in found.sentence


def test_an_unknown_task_is_named() -> None:
    assert task_finding("shop.send").subject == "shop.send"


def test_who_holds_back_cleaning_is_told_in_a_sentence_of_its_own() -> None:
    for kind in ("session", "prepared", "slot", "standby", "reader"):
        found = noticing.holder_finding(kind, "it", 400, 3 * 1_048_576)
        assert (found.kind, found.subject) == (Kind.OLD_SNAPSHOT, f"{kind} it")
        assert "it" in found.sentence
    assert "for 400 s" in noticing.holder_finding("session", "it", 400, None).sentence
    assert "grown to 3 MiB" in noticing.holder_finding("slot", "it", None, 3 * 1_048_576).sentence
