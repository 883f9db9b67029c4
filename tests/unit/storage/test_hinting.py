"""How often a queue is named: soon for jobs that come one by one, seldom for a stream."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from unstuck.storage.postgres import hinting
from unstuck.storage.postgres.address import Address
from unstuck.storage.postgres.hinting import GAP_OF_A_STREAM_SECONDS, GAP_SECONDS, Hinter


@pytest.mark.parametrize(
    ("calls", "gap"), [(1, GAP_SECONDS), (2, GAP_OF_A_STREAM_SECONDS), (500, GAP_OF_A_STREAM_SECONDS)]
)
def test_a_queue_rests_by_how_many_jobs_its_last_hint_stood_for(
    calls: int, gap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(hinting.time, "monotonic", lambda: clock.now)
    hinter = Hinter(Address("host=nowhere.invalid", "nowhere"), "channel")
    hinter._thread = SimpleNamespace()  # type: ignore[assignment]  # nobody sends: this test takes what is due
    for _ in range(calls):
        hinter.say(["a"])
    assert hinter._next() == {"a"}
    assert hinter._resting["a"] == pytest.approx(clock.now + gap)

    hinter.say(["a", "b"])
    assert hinter._next() == {"b"}, "another queue does not wait for this one"
    assert hinter._pending.keys() == {"a"}
    clock.now = hinter._resting["a"]
    assert hinter._next() == {"a"}
