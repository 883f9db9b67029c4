"""The checker passes a good history and refuses each spoiled one: a check that cannot fail proves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checker.book import INVARIANTS, NOT_BUILT
from tests.checker.checking import checked
from tests.checker.made import BEGIN, NOW, SECOND, Spoiled, good

Spoil = Callable[[Spoiled], object]


def extra(spoiled: Spoiled, after: tuple[str, int], name: str, **changes: object) -> None:
    """One line more, behind this one; what comes after it is numbered anew."""
    line = spoiled.line(*after)
    events = spoiled.parts["events"]
    place = events.index(line) + 1
    facts = {} if name == "deleted" else {**line["facts"], **changes}
    events.insert(place, {**line, "name": name, "facts": facts})
    for number, each in enumerate([one for one in events if one["record"] == after[0]], 1):
        each["number"] = number


def word(spoiled: Spoiled, what: str, at: float, job: str, fence: int, worker: str) -> None:
    spoiled.parts["witness"].append({"what": what, "at": at, "job": job, "fence": fence, "worker": worker})


SPOILED: list[tuple[str, str, Spoil]] = [
    ("S1", "a scheduled job has no alarm", lambda s: s.row("e", wake_at=None)),
    ("S1", "an alarm beyond the horizon", lambda s: s.row("e", wake_at=NOW + 20 * 366 * 86_400 * SECOND)),
    ("S1", "a state that nobody knows", lambda s: s.row("e", state="lost")),
    ("S1", "a worker with neither lease nor end", lambda s: s.row("well", lease_until=None)),
    ("S2", "an alarm that nobody heard", lambda s: s.row("e", wake_at=NOW - 100 * SECOND)),
    ("S3", "an owner without running", lambda s: s.row("e", worker_id="well")),
    ("S3", "running without an owner", lambda s: s.facts("f", 2, worker_id=None)),
    ("S4", "more failures than tries", lambda s: s.row("a", failures=4)),
    ("S4", "more crashes than the usual limit", lambda s: s.row("a", crashes=4)),
    ("S5", "ended with an alarm", lambda s: s.row("c", wake_at=NOW)),
    ("S5", "ended without retention", lambda s: s.row("c", keep_until=None)),
    ("S5", "not ended, with a moment of its end", lambda s: s.row("e", finished_at=NOW)),
    ("S6", "more losses than allowed, once", lambda s: s.line("a", 6)["facts"].update(losses=11)),
    ("S13", "an owner that has no row", lambda s: s.row("f", worker_id="nobody")),
    ("S13", "an owner that ended long ago", lambda s: s.row("well", ended_at=NOW - 100 * SECOND)),
    ("S15", "alive, with a lease long over", lambda s: s.row("well", lease_until=NOW - 100 * SECOND)),
    ("S19", "an attempt of no job", lambda s: s.parts["snapshot"]["attempts"][0].update(job_id="x")),
    ("S19", "an attempt beyond its job's fence", lambda s: s.parts["snapshot"]["attempts"][0].update(fence=4)),
    ("S20", "ended before it was claimed", lambda s: s.facts("a", 9, finished_at=BEGIN)),
    ("S20", "claimed before it was due", lambda s: s.line("a", 5)["facts"].update(claimed_at=BEGIN + 2 * SECOND)),
    ("H1", "acknowledged, and in no log", lambda s: s.drop("events", record="c")),
    ("H1", "acknowledged, and deleted while it waited", lambda s: extra(s, ("e", 1), "deleted")),
    ("H2", "a job that nobody asked for", lambda s: s.drop("client_log", call="2")),
    ("H3", "inserted twice", lambda s: extra(s, ("e", 1), "inserted")),
    ("H3", "not inserted at all", lambda s: s.line("e", 1).update(name="promoted")),
    ("H4", "a second ending", lambda s: extra(s, ("a", 9), "settled", state="failed", verdict_id="v9")),
    ("H4", "a new generation that nobody opened", lambda s: s.facts("a", 7, generation=2)),
    ("H4", "revived in the old generation", lambda s: s.facts("b", 5, generation=1)),
    ("H5", "running straight from scheduled", lambda s: s.drop("events", record="a", number=4)),
    ("H5", "an ending undone", lambda s: extra(s, ("c", 5), "woken", state="ready")),
    ("H5", "hands in a job's row", lambda s: extra(s, ("e", 1), "changed", queue="other")),
    ("H5", "hands in a worker's row", lambda s: extra(s, ("well", 1), "changed", pid=3)),
    ("H6", "a claim without a new fence", lambda s: s.facts("a", 5, fence=1)),
    ("H6", "a fence that rises at an ending", lambda s: s.facts("a", 6, fence=3)),
    ("H6", "one verdict for two endings", lambda s: s.line("a", 9)["facts"].update(verdict_id="v1")),
    ("H6", "an ending without a verdict", lambda s: s.line("a", 3)["facts"].update(verdict_id=None)),
    ("H6", "a verdict that changes at a claim", lambda s: s.line("a", 5)["facts"].update(verdict_id="v7")),
    ("H7", "an owner who changes while it runs", lambda s: s.line("b", 3)["facts"].update(worker_id="lost")),
    ("H7", "claimed while it has an owner", lambda s: s.line("a", 1)["facts"].update(worker_id="well")),
    (
        "H8",
        "two handlers at once, and nobody was lost",
        lambda s: (s.facts("lost", 3, reason="stopped"), s.row("lost", reason="stopped")),
    ),
    ("H9", "started under a fence that was never claimed", lambda s: word(s, "start", 50.0, "a", 9, "well")),
    ("H9", "started twice under one fence", lambda s: word(s, "start", 50.0, "a", 3, "well")),
    ("H9", "started by somebody who had not claimed it", lambda s: word(s, "start", 49.0, "b", 2, "lost")),
    ("H9", "a handler of a job that is in no log", lambda s: word(s, "start", 1.0, "x", 1, "well")),
    ("H10", "a start with all tries spent", lambda s: [s.line("a", n)["facts"].update(tries=1) for n in (4, 5)]),
    ("H10", "an ending that counts two things", lambda s: s.facts("a", 3, failures=2)),
    ("H10", "a claim that counts", lambda s: s.facts("a", 5, handbacks=1)),
    ("H10", "born with a count", lambda s: s.facts("c", 1, crashes=1)),
    ("H11", "succeeded, and had raised", lambda s: s.parts["witness"][5].update(how="ValueError")),
    ("H11", "succeeded, and had not ended", lambda s: s.drop("witness", what="end", fence=3)),
    ("H11", "succeeded, and never started", lambda s: s.drop("witness", job="a")),
    ("H12", "rolled back, and there", lambda s: s.parts["events"].append({**s.line("e", 1), "record": "d"})),
    ("H13", "a success without its effect", lambda s: s.drop("effects", job="a")),
    ("H13", "an effect that was had twice", lambda s: s.parts["effects"].append({"job": "a", "fence": 3})),
    ("H13", "an effect of an attempt that was lost", lambda s: s.parts["effects"].append({"job": "a", "fence": 2})),
    ("H13", "an effect of what is in no log", lambda s: s.parts["effects"].append({"job": "x", "fence": 1})),
    ("H18", "a follow-up of what did not succeed", lambda s: s.facts("a", 9, state="failed")),
    ("H18", "a success without its follow-up", lambda s: s.drop("events", record="b")),
    ("H22", "asked to cancel, and fails", lambda s: s.line("b", 4)["facts"].update(state="failed")),
    (
        "H22",
        "a cancel that was acknowledged and is nowhere",
        lambda s: s.parts["client_log"][6].update(id="e"),
    ),
    ("H23", "claimed from a paused queue", lambda s: s.facts("a", 5, claimed_at=BEGIN + 20 * SECOND)),
    ("H24", "passed over again and again", lambda s: [s.facts(job, 1, line=BEGIN + SECOND) for job in "ab"]),
    ("H25", "an ending that a later reader did not see", lambda s: s.read("7", state="running")),
    ("H25", "an ending that is another for a later reader", lambda s: s.read("7", state="failed")),
    ("H25", "a generation that goes back", lambda s: s.read("8", state="cancelled", generation=0)),
    ("H26", "a row that the log does not know", lambda s: s.drop("events", record="f")),
    ("H26", "a row that is gone, and no line says so", lambda s: s.parts["snapshot"]["jobs"].pop()),
    ("H26", "a row that differs from its log", lambda s: s.row("e", priority=9)),
    ("H26", "a deleted job that is there", lambda s: s.parts["snapshot"]["jobs"].append({"id": "b", **s.line("b", 1)["facts"]})),
    ("H26", "a line is missing", lambda s: s.drop("events", record="c", number=2)),
    ("H26", "a worker's row that differs", lambda s: s.row("lost", reason="stopped")),
    ("H27", "a loss while the owner lives", lambda s: s.drop("events", record="lost", number=3)),
    ("H28", "claimed by a worker that drains", lambda s: s.facts("well", 1, draining_at=BEGIN + 10 * SECOND)),
    ("H28", "claimed by a worker that has ended", lambda s: s.facts("lost", 3, ended_at=BEGIN + 2 * SECOND)),
    ("H28", "a worker that lives again", lambda s: extra(s, ("lost", 3), "changed", ended_at=None)),
    ("L2", "something has not ended", lambda s: s.parts["run"].update(is_over=True)),
]  # fmt: skip


def test_a_good_history_passes_and_is_looked_at() -> None:
    parts = good()
    book = checked(**parts)
    assert book.findings == []
    passed = {check for check in INVARIANTS if book.verdict(check).startswith("pass")}
    assert passed == INVARIANTS.keys() - NOT_BUILT.keys() - {"L2"}


@pytest.mark.parametrize(
    ("check", "spoil"), [pytest.param(c, f, id=f"{c}: {name}") for c, name, f in SPOILED]
)
def test_a_spoiled_history_is_refused(check: str, spoil: Spoil) -> None:
    spoiled = Spoiled()
    spoil(spoiled)
    book = checked(**spoiled.parts)
    assert book.verdict(check).startswith("fail"), book.told()
    assert any(found.check == check for found in book.findings)


def test_every_invariant_that_exists_has_a_history_that_breaks_it() -> None:
    assert {check for check, _, _ in SPOILED} == INVARIANTS.keys() - NOT_BUILT.keys()


def test_what_was_not_written_down_is_not_applicable_and_never_a_pass() -> None:
    book = checked(None)
    assert all(book.verdict(check).startswith("not applicable: ") for check in INVARIANTS)
    book = checked([])
    assert book.verdict("H5") == "not applicable: nothing in this run to look at"
    assert book.verdict("H1") == "not applicable: there is no log of clients"
    parts = good()
    parts["run"]["has_steady_clock"] = False
    assert "stepped" in checked(**parts).verdict("S20")


def test_a_log_that_was_turned_on_late_begins_with_what_was_found() -> None:
    parts = good()
    first = next(line for line in parts["events"] if (line["record"], line["number"]) == ("a", 5))
    kept = [line for line in parts["events"] if line["record"] == "a" and line["number"] >= 5]
    parts["events"] = [line for line in parts["events"] if line["record"] != "a"]
    first["name"] = "found"
    for number, line in enumerate(kept, 1):
        line["number"] = number
    parts["events"] += kept
    assert checked(**parts).findings == []


@pytest.mark.parametrize(
    "excuse",
    [
        pytest.param(lambda s: s.parts["run"].update(bound_us=60 * SECOND), id="it had not waited for R"),
        pytest.param(lambda s: s.facts("f", 1, expires_at=BEGIN + 40 * SECOND), id="it had expired"),
        pytest.param(lambda s: s.facts("f", 1, line=BEGIN + 2 * SECOND), id="it stands behind the others"),
        pytest.param(lambda s: s.facts("a", 1, task="other"), id="who passed it first is of another task"),
        pytest.param(lambda s: s.facts("b", 1, queue="other"), id="who passed it last is of another queue"),
    ],
)
def test_who_was_not_passed_over_has_nothing_to_say(excuse: Spoil) -> None:
    spoiled = Spoiled()
    for job in "ab":
        spoiled.facts(job, 1, line=BEGIN + SECOND)
    excuse(spoiled)
    assert not checked(**spoiled.parts).broken["H24"]


def test_of_reads_that_overlap_nothing_is_said() -> None:
    spoiled = Spoiled()
    spoiled.read("7", state="running")
    for line in spoiled.parts["client_log"]:
        if line["call"] == "6":
            line["at"] = 47.65
    assert checked(**spoiled.parts).findings == []


def test_a_moment_may_be_seconds_in_the_rows_at_the_end() -> None:
    parts = good()
    for table in parts["snapshot"].values():
        for row in table:
            for name, value in row.items():
                if name.endswith(("_at", "_until")) and value is not None:
                    row[name] = value / SECOND
    assert checked(**parts).findings == []


@pytest.mark.parametrize(("spoil", "code"), [(None, 0), (SPOILED[0][2], 1)])
def test_a_folder_is_judged_line_by_line(tmp_path: Path, spoil: Spoil | None, code: int) -> None:
    spoiled = Spoiled()
    if spoil is not None:
        spoil(spoiled)
    parts = spoiled.parts
    tables = {
        "events": parts["events"],
        "client": parts["client_log"],
        "witness": parts["witness"],
        **parts["snapshot"],
    }
    for name, lines in tables.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text + '{"half a line')
    (tmp_path / "run.json").write_text(json.dumps(parts["run"]))
    command = [sys.executable, "-m", "tests.checker", str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    lines = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert lines == list(INVARIANTS)
