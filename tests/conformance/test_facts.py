"""What doctor asks of the store itself: every keeper answers, and a store that is sound lacks nothing."""

from __future__ import annotations

from tests.conformance.trying import Trial
from unstuck.model.invariant import SCANS, Invariant, Portion
from unstuck.storage.protocol import HolderLimits


def test_a_sound_store_lacks_nothing_and_is_whole(trial: Trial) -> None:
    assert trial.lacking() == []
    assert trial.integrity() == []
    assert trial.check()["wrong"] == []
    assert all(size.bytes >= 0 for size in trial.sizes())
    assert trial.holders(HolderLimits(seconds=86_400.0, bytes=2**50, transactions=2**30)) == []


def test_a_scan_in_portions_finds_what_a_whole_one_finds(trial: Trial) -> None:
    worker = trial.add_worker()
    jobs = [trial.start(worker).id for _ in range(5)]
    trial.ground.forget_worker(worker)
    for scan, invariants in SCANS.items():
        whole = trial.inspect(scan)
        found, after = [], None
        while True:
            portion: Portion = trial.inspect(scan, after=after, limit=2)
            found += portion.found
            after = portion.after
            if after is None:
                break
        assert sorted(found) == sorted(whole.found)
        assert {invariant for invariant, _ in found} <= set(invariants)
    assert sorted(id for _, id in trial.inspect("owners").found) == sorted(str(id) for id in jobs)
    assert {one for one, _ in trial.inspect("owners").found} == {Invariant.OWNER_MISSING}
    trial.ground.empty()
