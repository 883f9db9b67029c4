"""`unstuck doctor`: 0 only if nothing is wrong and nothing is recovering."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from tests.cli.conftest import Bench, Shell
from unstuck.model.notice import Finding, Kind
from unstuck.model.states import Reason

HOUR_US = 3_600_000_000


def examined(shell: Shell, url: str) -> tuple[int, dict[str, Any]]:
    said = shell("--url", url, "doctor", "--json")
    return said.code, said.json


def sentences(found: list[dict[str, Any]]) -> str:
    return " | ".join(one["sentence"] for one in found)


def change(tmp_path: Path, text: str, *values: object) -> None:
    with sqlite3.connect(tmp_path / "jobs.db") as raw:
        raw.execute(text, values)
    raw.close()


def test_an_empty_store_is_healthy(shell: Shell, bench: Bench, url: str) -> None:
    code, document = examined(shell, url)
    assert (code, document["ok"], document["wrong"], document["recovering"]) == (0, True, [], [])
    assert shell("--url", url, "doctor").out.splitlines()[-1] == "nothing is wrong"


def test_work_in_progress_is_healthy(shell: Shell, bench: Bench, url: str) -> None:
    bench.work()
    bench.enqueue(3)
    bench.claim()
    bench.enqueue(delay_us=HOUR_US)
    code, document = examined(shell, url)
    assert (code, document["wrong"], document["recovering"]) == (0, [], [])


def test_due_jobs_that_nobody_serves_are_wrong(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue()
    code, document = examined(shell, url)
    assert code == 1
    assert "'default' has due jobs and no live worker" in sentences(document["wrong"])
    shell("--url", url, "queues", "pause", "default")
    assert examined(shell, url)[0] == 0, "a paused queue is somebody's wish"


def test_a_task_that_no_worker_knows_is_wrong(shell: Shell, bench: Bench, url: str) -> None:
    bench.work(tasks=["shop.other"])
    bench.enqueue()
    code, document = examined(shell, url)
    assert code == 1
    assert "shop.add" in sentences(document["wrong"])


def test_jobs_parked_for_their_task_are_wrong(shell: Shell, bench: Bench, url: str) -> None:
    (id,) = bench.enqueue()
    bench.keeper.run(bench.keeper.store.park([(bench.job(id), Reason.NO_HANDLER, HOUR_US)]))
    code, document = examined(shell, url)
    assert code == 1
    assert "1 job of default waits" in sentences(document["wrong"])


def test_an_orphan_inside_the_bound_is_recovering(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue()
    bench.claim()
    assert bench.worker_id is not None
    bench.keeper.run(bench.keeper.store.end_worker(bench.worker_id, "lost"))
    bench.work()
    code, document = examined(shell, url)
    assert code == 1
    assert document["wrong"] == []
    (one,) = document["recovering"]
    assert "recovering, due by" in one["sentence"]
    assert one["due_by"] is not None
    assert "RECOVERING" in shell("--url", url, "doctor").out


def test_an_orphan_beyond_the_bound_is_overdue(shell: Shell, bench: Bench, url: str, tmp_path: Path) -> None:
    bench.enqueue()
    bench.claim()
    lost = bench.worker_id
    assert lost is not None
    bench.keeper.run(bench.keeper.store.end_worker(lost, "lost"))
    bench.work()
    change(
        tmp_path, "UPDATE unstuck_workers SET ended_at = ended_at - ? WHERE ended_at IS NOT NULL", 2 * HOUR_US
    )
    change(tmp_path, "UPDATE unstuck_workers SET started_at = started_at - ?", 3 * HOUR_US)
    code, document = examined(shell, url)
    assert code == 1
    assert document["recovering"] == []
    (one,) = document["wrong"]
    assert "overdue since" in one["sentence"]


def test_an_orphan_that_nobody_can_recover_is_wrong(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue()
    bench.claim()
    assert bench.worker_id is not None
    bench.keeper.run(bench.keeper.store.end_worker(bench.worker_id, "lost"))
    code, document = examined(shell, url)
    assert code == 1
    assert "no worker lives that could recover it" in sentences(document["wrong"])


def test_a_silent_worker_is_recovering_with_its_jobs(
    shell: Shell, bench: Bench, url: str, tmp_path: Path
) -> None:
    bench.enqueue()
    bench.claim()
    change(tmp_path, "UPDATE unstuck_workers SET lease_until = lease_until - ?", 601_000_000)
    bench.work()
    code, document = examined(shell, url)
    assert code == 1
    assert document["wrong"] == []
    assert "is silent with 1 job" in sentences(document["recovering"])


def test_a_broken_invariant_is_named_with_its_record(
    shell: Shell, bench: Bench, url: str, tmp_path: Path
) -> None:
    bench.work()
    (id,) = bench.enqueue(delay_us=HOUR_US)
    change(
        tmp_path,
        "UPDATE unstuck_jobs SET state = 'ready', worker_id = 'nobody', keep_until = 1 WHERE id = ?",
        str(id),
    )
    code, document = examined(shell, url)
    assert code == 1
    broken = [one for one in document["wrong"] if one["kind"] == "invariant"]
    assert {one["subject"] for one in broken} == {str(id)}
    assert "has an owner although it does not run" in sentences(broken)


def test_a_notice_is_wrong_and_shown_with_the_workers(shell: Shell, bench: Bench, url: str) -> None:
    finding = Finding(Kind.STALLED, "w", "worker w does not tick")
    bench.keeper.run(bench.keeper.store.keep_notices([finding], [Kind.STALLED.value]))
    code, document = examined(shell, url)
    assert code == 1
    assert sentences(document["wrong"]) == "worker w does not tick"
    assert "worker w does not tick" in shell("--url", url, "workers", "list").out


def test_a_loop_that_does_not_go_round_is_wrong(shell: Shell, bench: Bench, url: str) -> None:
    worker = bench.work()
    report = {worker: '{"free": 1, "loops": {"looking": 5000.0, "settling": 0.1}}'}
    bench.keeper.run(bench.keeper.store.renew([worker], 600_000_000, report))
    code, document = examined(shell, url)
    assert code == 1
    assert "the loop looking of worker" in sentences(document["wrong"])
    assert "settling" not in sentences(document["wrong"])


def test_the_doctor_writes_nothing(shell: Shell, bench: Bench, url: str, tmp_path: Path) -> None:
    bench.enqueue()
    with sqlite3.connect(tmp_path / "jobs.db") as raw:
        before = raw.execute("PRAGMA data_version").fetchone()
        examined(shell, url)
        shell("--url", url, "doctor")
        assert raw.execute("PRAGMA data_version").fetchone() == before
    raw.close()
