"""`unstuck doctor --repair` and `unstuck audit list`: what was healed, by whom, and that it is written down."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.cli.conftest import Bench, Shell
from unstuck.model.states import State

HOUR_US = 3_600_000_000


def change(tmp_path: Path, text: str) -> None:
    with sqlite3.connect(tmp_path / "jobs.db") as raw:
        raw.execute(text)
    raw.close()


def test_what_nobody_recovers_is_recovered_and_written_down(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue()
    (job,) = bench.claim()
    assert bench.worker_id is not None
    bench.keeper.run(bench.keeper.store.end_worker(bench.worker_id, "lapsed"))
    assert shell("--url", url, "doctor").code == 1
    said = shell("--url", url, "doctor", "--repair")
    assert f"REPAIRED    owner_ended_and_not_recovered: settle job {job.id}" in said.out
    assert bench.job(job.id).state is State.SCHEDULED
    listed = shell("--url", url, "audit", "list")
    assert str(job.id) in listed.out
    (entry,) = shell("--url", url, "audit", "list", "--json").json["audit"]
    assert (entry["action"], entry["kind"], entry["subject"]) == ("settle", "job", str(job.id))
    assert "@" in entry["actor"]
    assert entry["at"]


def test_what_is_in_time_is_left_to_those_whose_business_it_is(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue()
    (job,) = bench.claim()
    assert bench.worker_id is not None
    bench.keeper.run(bench.keeper.store.end_worker(bench.worker_id, "lapsed"))
    bench.work()
    said = shell("--url", url, "doctor", "--repair", "--json")
    assert (said.code, said.json["repairs"]) == (1, [])
    assert [one["subject"] for one in said.json["recovering"]] == [str(job.id)]
    assert bench.job(job.id).state is State.RUNNING
    assert shell("--url", url, "audit", "list").out.strip() == "nothing was repaired by hand"


def test_what_no_operation_heals_is_named_with_what_a_person_can_do(
    shell: Shell, bench: Bench, url: str, tmp_path: Path
) -> None:
    bench.work()
    (id,) = bench.enqueue(delay_us=HOUR_US)
    change(tmp_path, "UPDATE unstuck_jobs SET codec = 9")
    said = shell("--url", url, "doctor", "--repair")
    assert said.code == 1
    assert f"WRONG       invariant.unreadable (holds what no worker can read): {id}" in said.out
    assert "unstuck jobs cancel ends it" in said.out


def test_a_healthy_store_is_not_touched_by_repairs(shell: Shell, bench: Bench, url: str) -> None:
    bench.work()
    bench.enqueue(3)
    said = shell("--url", url, "doctor", "--repair")
    assert (said.code, said.out.splitlines()[-1]) == (0, "nothing is wrong")


def test_many_offenders_are_counted_and_not_all_named(
    shell: Shell, bench: Bench, url: str, tmp_path: Path
) -> None:
    bench.work()
    bench.enqueue(30, delay_us=HOUR_US)
    change(tmp_path, "UPDATE unstuck_jobs SET codec = 9")
    said = shell("--url", url, "doctor")
    assert " and 10 more" in said.out
    checks = {check["name"]: check for check in shell("--url", url, "doctor", "--json").json["checks"]}
    broken = checks["invariant.unreadable"]
    assert (broken["status"], broken["count"], len(broken["ids"])) == ("wrong", 30, 20)
    assert broken["count_is_exact"]
