"""`unstuck queues`, `workers`, `migrate`, `enqueue` and `doctor`, on stores prepared by hand."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.cli.conftest import Bench, Shell
from unstuck import __version__
from unstuck.model.states import Reason, State
from unstuck.storage.migrating import read_rungs
from unstuck.storage.opening import open_keeper


def test_version_and_help_need_nothing(shell: Shell) -> None:
    assert shell("--version").out.strip() == f"unstuck {__version__}"
    out = shell("--help").out
    for name in (
        "demo",
        "worker",
        "dev",
        "enqueue",
        "jobs",
        "queues",
        "workers",
        "doctor",
        "audit",
        "migrate",
    ):
        assert f"\n  {name} " in out


def test_options_come_from_the_environment_too(shell: Shell, bench: Bench, url: str, shop: str) -> None:
    bench.enqueue(2)
    said = shell("jobs", "list", "--json", env={"UNSTUCK_URL": url, "UNSTUCK_JOBS_LIST_LIMIT": "1"})
    assert len(said.json["jobs"]) == 1
    assert shell("enqueue", "shop.add", "1", env={"UNSTUCK_APP": shop}).code == 0


def test_the_url_on_the_command_line_wins_over_the_app(
    shell: Shell, shop: str, bench: Bench, tmp_path: Path
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    assert shell("--app", shop, "--url", "sqlite:///other.db", "enqueue", "shop.add", "1").code == 0
    assert len(shell("--url", other, "jobs", "list", "--json").json["jobs"]) == 1
    assert shell("--app", shop, "jobs", "list", "--json").json["jobs"] == []
    by_environment = shell("--app", shop, "jobs", "list", "--json", env={"UNSTUCK_URL": other})
    assert by_environment.json["jobs"] == [], "the app names its own store; the environment only fills in"


def test_enqueue_sends_what_it_was_told(shell: Shell, shop: str, url: str) -> None:
    words = ("--delay", "1h", "--priority", "5", "--queue", "urgent", "--label", "city=Zürich")
    said = shell("--app", shop, "enqueue", "shop.add", "1", "b=2", *words, "--json")
    assert said.code == 0
    assert said.json["created"] is True
    job = shell("--url", url, "jobs", "show", said.json["id"], "--json").json["job"]
    assert job["args"] == {"a": 1, "b": 2}
    assert (job["queue"], job["priority"], job["state"]) == ("urgent", 5, "scheduled")
    assert job["labels"] == {"city": "Zürich"}


def test_enqueue_prints_the_id_and_nothing_else(shell: Shell, shop: str, bench: Bench) -> None:
    out = shell("--app", shop, "enqueue", "shop.greet", '"Ada"').out
    (job,) = shell("--app", shop, "jobs", "list", "--json").json["jobs"]
    assert out == f"{job['id']}\n"
    assert job["queue"] == "mail"


def test_the_same_id_with_other_arguments_is_refused(shell: Shell, shop: str) -> None:
    assert shell("--app", shop, "enqueue", "shop.add", "1", "--id", "x").code == 0
    said = shell("--app", shop, "enqueue", "shop.add", "2", "--id", "x")
    assert said.code == 2
    assert said.out == ""


def test_pause_and_resume_are_flags_of_the_queue(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue(2)
    said = shell("--url", url, "queues", "pause", "default")
    assert said.out == "default: paused\n"
    (queue,) = shell("--url", url, "queues", "list", "--json").json["queues"]
    assert queue["is_paused"] is True
    assert queue["counts"]["ready"] == 2
    bench.work()
    assert bench.worker_id is not None
    store = bench.keeper.store
    assert bench.keeper.run(store.claim(bench.worker_id, "default", ["shop.add"], 5)) == []
    assert shell("--url", url, "queues", "resume", "default").out == "default: running\n"
    assert len(bench.keeper.run(store.claim(bench.worker_id, "default", ["shop.add"], 5))) == 2


def test_pausing_a_queue_that_nobody_used_is_told(shell: Shell, bench: Bench, url: str) -> None:
    said = shell("--url", url, "queues", "pause", "defualt")
    assert said.code == 0
    assert "'defualt' has no jobs yet" in said.err


def test_purge_ends_what_has_not_started(shell: Shell, bench: Bench, url: str) -> None:
    (running,) = bench.enqueue()
    bench.claim()
    waiting = bench.enqueue(3)
    (other,) = bench.enqueue(queue="other")
    assert shell("--url", url, "queues", "purge", "default").code == 2
    said = shell("--url", url, "queues", "purge", "default", "--yes", "--json").json
    assert said["ended"] == 3
    assert {bench.job(id).reason for id in waiting} == {Reason.PURGED}
    assert bench.job(running).state is State.RUNNING
    assert bench.job(running).cancel_asked_at is None
    assert bench.job(other).state is State.READY


def test_workers_are_listed_with_what_they_do(shell: Shell, bench: Bench, url: str) -> None:
    worker = bench.work(["mail", "default"])
    bench.enqueue()
    bench.claim()
    (said,) = shell("--url", url, "workers", "list", "--json").json["workers"]
    assert (said["id"], said["status"], said["running"]) == (str(worker), "working", 1)
    assert said["queues"] == ["mail", "default"]
    assert said["late_endings"] == 0
    bench.keeper.run(bench.keeper.store.end_worker(worker, "stopped"))
    assert shell("--url", url, "workers", "list", "--json").json["workers"] == []
    (ended,) = shell("--url", url, "workers", "list", "--all", "--json").json["workers"]
    assert (ended["status"], ended["reason"]) == ("ended", "stopped")


def test_quiet_forbids_the_next_claim(shell: Shell, bench: Bench, url: str) -> None:
    worker = bench.work()
    bench.enqueue()
    said = shell("--url", url, "workers", "quiet", str(worker))
    assert said.code == 0
    assert bench.keeper.run(bench.keeper.store.claim(worker, "default", ["shop.add"], 1)) == []
    (row,) = shell("--url", url, "workers", "list", "--json").json["workers"]
    assert row["status"] == "quiet"
    assert shell("--url", url, "workers", "stop", str(worker)).code == 0
    (row,) = shell("--url", url, "workers", "list", "--json").json["workers"]
    assert row["status"] == "leaving"


def test_stop_asks_a_supervisor_and_leaves_its_children_to_it(shell: Shell, bench: Bench, url: str) -> None:
    supervisor = bench.work([], [], kind="supervisor")
    child = bench.work(kind="child", supervisor_id=supervisor)
    said = shell("--url", url, "workers", "stop", "--all", "--json").json
    assert said["leaving"] == [str(supervisor)]
    alone = shell("--url", url, "workers", "stop", str(child))
    assert f"its supervisor {supervisor} replaces it" in alone.out


def test_an_unknown_worker_is_told(shell: Shell, bench: Bench, url: str) -> None:
    said = shell("--url", url, "workers", "stop", "nobody")
    assert said.code == 1
    assert "there is no living worker 'nobody'" in said.err


def test_migrate_makes_a_store_once(shell: Shell, url: str, tmp_path: Path) -> None:
    status = shell("--url", url, "migrate")
    assert status.code == 1
    assert "does not exist" in status.out
    assert not (tmp_path / "jobs.db").exists()
    assert shell("--url", url, "migrate", "status", "--json").json["is_current"] is False
    first = shell("--url", url, "migrate", "apply", "--json").json
    assert [step["number"] for step in first["applied"]] == [rung.number for rung in read_rungs("sqlite")]
    assert shell("--url", url, "migrate", "apply", "--json").json["applied"] == []
    status = shell("--url", url, "migrate", "status", "--json")
    assert (status.code, status.json["state"]) == (0, "current")


def test_migrate_sql_is_what_apply_runs(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "mine.db"
    sqlite3.connect(file).execute("CREATE TABLE customers (name text)").connection.close()
    text = shell("--url", f"sqlite:///{file}", "migrate", "sql").out
    assert "CREATE TABLE unstuck_jobs" in text
    with sqlite3.connect(file) as raw:
        assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
        raw.executescript(text)
    raw.close()
    assert shell("--url", f"sqlite:///{file}", "jobs", "list").code == 0


def test_commands_that_need_no_task_code_work_with_only_a_url(shell: Shell, bench: Bench, url: str) -> None:
    (id,) = bench.enqueue()
    for words in (
        ("jobs", "list"),
        ("jobs", "show", str(id)),
        ("jobs", "explain", str(id)),
        ("queues", "list"),
        ("workers", "list"),
        ("migrate", "status"),
        ("jobs", "cancel", str(id)),
    ):
        assert shell("--url", url, *words).code == 0, words


def test_a_file_with_an_odd_name_is_the_same_file_for_every_command(
    shell: Shell, shop: str, tmp_path: Path
) -> None:
    odd = "sqlite:///odd%2541%23%20jobs.db"
    assert shell("--app", shop, "--url", odd, "enqueue", "shop.add", "1").code == 0
    assert (tmp_path / "odd%41# jobs.db").exists()
    assert len(shell("--url", odd, "jobs", "list", "--json").json["jobs"]) == 1


def test_a_prefix_reaches_a_store_with_other_table_names(
    shell: Shell, shop: str, url: str, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(f"from unstuck import App\napp = App({url!r}, prefix='own_')\n")
    assert shell("--app", "own:app", "migrate", "apply").code == 0
    assert shell("--url", url, "migrate").code == 1
    said = shell("--url", url, "--prefix", "own_", "queues", "pause", "mail", "--json")
    assert said.json["queues"][0]["is_paused"] is True
    for words in (
        ("--app", "own:app"),
        ("--url", url, "--prefix", "own_"),
        ("--app", shop, "--url", url, "--prefix", "own_"),
    ):
        (queue,) = shell(*words, "queues", "list", "--json").json["queues"]
        assert queue["name"] == "mail", words
    env = {"UNSTUCK_PREFIX": "own_"}
    assert shell("--url", url, "queues", "list", "--json", env=env).json["queues"]
    assert shell("--app", "own:app", "queues", "list", env={"UNSTUCK_PREFIX": "other_"}).code == 0


def test_a_prefix_that_would_not_be_the_apps_own_is_refused(shell: Shell, shop: str, url: str) -> None:
    for words in (
        ("--app", shop, "--prefix", "own_", "jobs", "list"),
        ("--app", shop, "--prefix", "own_", "enqueue", "shop.add", "1"),
        ("--app", shop, "--url", url, "--prefix", "own_", "worker"),
    ):
        said = shell(*words)
        assert said.code == 2
        assert "an app says its own prefix" in said.sentence
    assert "cannot begin a table name" in shell("--url", url, "--prefix", "My-", "jobs", "list").sentence


def test_the_whole_operator_side_on_postgres(shell: Shell, postgres_url: str) -> None:
    assert shell("--url", postgres_url, "migrate").code == 1
    missing = shell("--url", postgres_url, "jobs", "list")
    assert "unstuck migrate apply" in missing.sentence
    assert missing.code == 2
    assert "CREATE TABLE" in shell("--url", postgres_url, "migrate", "sql").out
    assert shell("--url", postgres_url, "migrate", "apply").code == 0
    keeper = open_keeper(postgres_url)
    bench = Bench(keeper)
    try:
        ids = bench.enqueue(3, labels={"city": "Zürich"})
        bench.work()
        bench.fail(bench.claim(1)[0])
        listed = shell("--url", postgres_url, "jobs", "list", "--label", "city=Zürich", "--json").json["jobs"]
        assert {job["id"] for job in listed} == {str(id) for id in ids}
        assert (
            shell("--url", postgres_url, "jobs", "retry", "--state", "failed", "--yes", "--json").json[
                "revived"
            ]
            == 1
        )
        assert shell("--url", postgres_url, "queues", "pause", "default").code == 0
        assert (
            shell("--url", postgres_url, "queues", "purge", "default", "--yes", "--json").json["ended"] == 3
        )
        doctor = shell("--url", postgres_url, "doctor", "--json")
        assert (doctor.code, doctor.json["wrong"]) == (0, [])
        password = postgres_url.partition("://")[2].partition("@")[0].partition(":")[2]
        assert not password or password not in doctor.out
    finally:
        keeper.close()


def test_workers_list_shows_when_each_loop_last_went_round(shell: Shell, bench: Bench, url: str) -> None:
    worker = bench.work()
    report = {worker: '{"free": 1, "loops": {"looking": 700.0, "settling": 0.5}}'}
    bench.keeper.run(bench.keeper.store.renew([worker], 600_000_000, report))
    out = shell("--url", url, "workers", "list").out
    assert f"loops of {worker} went round: looking 700." in out
    assert "s (late), settling 0." in out
    (record,) = shell("--url", url, "workers", "list", "--json").json["workers"]
    assert record["loops_seconds"].keys() == {"looking", "settling"}
