"""The pure parts of the benchmarks: what a table of theirs claims must follow from the samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.floors import Floor, judged
from benchmarks.peers import all_peers, find
from benchmarks.processes import Processors, parse_rollup, parse_stat
from benchmarks.stamps import Stamps, stamp
from benchmarks.statistics import Book, percentile, spread_of


def test_a_percentile_is_a_sample_that_enough_do_not_exceed() -> None:
    samples = [float(n) for n in range(100, 0, -1)]
    assert spread_of(samples) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert percentile([7.0], 0.01) == percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError):
        percentile([], 0.5)


def test_a_ratio_is_of_medians_and_only_where_both_sides_were_measured() -> None:
    book = Book()
    for number, (ours, theirs) in enumerate([(10.0, 5.0), (90.0, 1.0), (20.0, 4.0)]):
        book.add("ours", {"rate": ours}, number, 0.0)
        book.add("theirs", {"rate": theirs, "idle": 0.0}, number, 0.2 if number == 1 else 0.0)
    assert book.ratio(("ours", "rate"), ("theirs", "rate")) == 5.0
    assert book.ratio(("ours", "rate"), ("theirs", "idle")) is None
    assert book.ratio(("ours", "idle"), ("theirs", "idle")) is None
    assert book.stolen("theirs", "rate") == 0.2
    assert Book.of(book.as_json()["samples"]).median("ours", "rate") == 20.0


@pytest.mark.parametrize(
    ("value", "at_most", "is_met"),
    [(2.5, False, True), (2.4, False, False), (2.5, True, True), (2.6, True, False)],
)
def test_a_floor_is_met_from_the_right_side(value: float, at_most: bool, is_met: bool) -> None:
    book = Book()
    book.add("ours", {"rate": value}, 1, 0.0)
    book.add("theirs", {"rate": 1.0}, 1, 0.0)
    floor = Floor("drain", ("ours", "rate"), ("theirs", "rate"), 2.5, at_most=at_most)
    absent = Floor("drain", ("ours", "rate"), ("nobody", "rate"), 2.5)
    assert [row.is_met for row in judged(book, (floor, absent))] == [is_met]


def test_what_the_kernel_says_is_read_whatever_a_process_is_called() -> None:
    stat = "77 (a) b (c) S 12 77 77 0 -1 4194304 100 200 0 0 150 50 25 75 20 0 1 0 1000 0 0"
    seen = parse_stat(stat)
    assert (seen.parent, seen.cpu * 100) == (12, pytest.approx(300))
    rollup = (
        "00400000-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  2048 kB\nPss:  1024 kB\nShared_Clean: 5 kB\n"
    )
    assert parse_rollup(rollup) == (2.0, 1.0)
    before = Processors.parse("cpu  100 0 100 700 0 0 0 100 0 0\ncpu0 1 2 3")
    after = Processors.parse("cpu  150 0 150 750 0 0 0 150 9 9\ncpu0 1 2 3")
    assert after.stolen_since(before) == 0.25


def test_the_page_knows_the_first_start_and_whether_all_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = Stamps(tmp_path / "stamps", 4)
    monkeypatch.setenv("UNSTUCK_BENCH_STAMPS", str(stamps.path))
    monkeypatch.setattr("benchmarks.stamps._page", None)
    assert not stamps.anyone(4) and stamps.first(4) == 0
    for n in (2, 0, 1):
        stamp(n)
    assert stamps.anyone(4) and not stamps.started(4)
    moments = stamps.moments(4)
    assert stamps.first(4) == moments[2] <= moments[0] <= moments[1] and moments[3] == 0
    stamp(3)
    assert stamps.started(4) and stamps.started(2, first=2)
    stamps.close()


def test_every_peer_says_how_it_is_set_up() -> None:
    for name, peer in all_peers().items():
        assert find(name) is peer and peer.settings and peer.packages
        assert peer.store in ("postgres", "redis", "sqlite") and peer.modes
    with pytest.raises(KeyError, match="there are"):
        find("nobody")
