"""The pure parts of the benchmarks: what a table of theirs claims must follow from the samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.charts import draw
from benchmarks.filling import KINDS, statement
from benchmarks.floors import Floor, judged
from benchmarks.growth import rate_of, tenths, waits_of
from benchmarks.peers import all_peers, find
from benchmarks.processes import Processors, parse_rollup, parse_stat
from benchmarks.spending import CLAIMS, LOOKS, SWEEPS, shares
from benchmarks.stamps import Stamps, stamp
from benchmarks.statistics import Book, percentile, spread_of
from benchmarks.workloads import long_at_once
from unstuck.storage.postgres.dialect import PostgresDialect


def test_a_percentile_is_a_sample_that_enough_do_not_exceed() -> None:
    samples = [float(n) for n in range(100, 0, -1)]
    assert spread_of(samples) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert percentile([7.0], 0.01) == percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError):
        percentile([], 0.5)


def test_what_sweeps_and_looks_cost_is_counted_by_the_names_of_their_statements() -> None:
    assert set(PostgresDialect().blocks) >= SWEEPS | LOOKS | CLAIMS
    seconds = {"head": 0.3, "signs": 0.1, "look": 0.5, "glance": 0.5, "claim": 2.0, "insert": 4.0, "": 1.0}
    assert shares(seconds, looked_back=0.4, over=10.0) == pytest.approx(
        {
            "sweeps, % of a core": 4.0,
            "looks, % of a core": 10.0,
            "claims, % of a core": 20.0,
            "looking back, % of a core": 4.0,
            "sweeps and looking back, % of a core": 8.0,
        }
    )


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


def test_a_long_drain_is_told_in_tenths_whatever_the_order_of_its_jobs() -> None:
    slow = [n * 2_000_000_000 for n in range(50)]
    quick = [slow[-1] + (n + 1) * 1_000_000_000 for n in range(50)]
    rates = tenths([*quick, *slow])
    assert rates[0] == pytest.approx(0.5) and rates[-2] == pytest.approx(1.0)
    assert rate_of([0, 500_000_000, 2_000_000_000]) == pytest.approx(1.5)


def test_a_steady_stream_is_judged_by_kind_and_delays_are_taken_off() -> None:
    called = [0] * 400
    started = [1_000_000 * (1003 if n % 20 in (0, 1, 2) else 7 if n % 20 == 3 else 2) for n in range(400)]
    started[-1] = 20_000_000
    line = waits_of(called, started)
    assert line["plain p99 ms, first tenth"] == 2.0 and line["plain p99 ms, last tenth"] == 20.0
    assert line["plain p99, last tenth / first"] == 10.0
    assert (line["delayed p99 ms"], line["again worst ms"], line["urgent worst ms"]) == (3.0, 3.0, 7.0)


def test_how_many_long_handlers_ran_at_once_follows_from_their_starts() -> None:
    second = 1_000_000_000
    assert long_at_once([n // 100 * second for n in range(2000)]) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_have_ids_of_their_own(kind: str) -> None:
    text = statement(kind, 1, 10, 0)
    assert f"-7000-8{KINDS.index(kind)}00-" in text and "{" not in text.replace("'{\"n\":'", "")


def test_charts_are_pictures_and_nothing_else(tmp_path: Path) -> None:
    book = Book()
    line = {"drain async 1p/s": 5.0, "alone: drain/s": 4.0, "1,000 waiting: drain/s": 3.0}
    book.add("ours", line | {f"burst: tenth {n}/s": float(n) for n in range(1, 11)}, 1, 0.0)
    assert draw(tmp_path, book) == ["drain.svg", "growth.svg", "long-drains.svg"]
    for path in tmp_path.iterdir():
        text = path.read_text()
        assert text.rstrip().endswith("</svg>") and "<script" not in text
