"""`unstuck jobs`: listing, showing, explaining, and changing by id and by filter."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Bench, Shell
from unstuck.cli import changing
from unstuck.model.ids import uuid7
from unstuck.model.job import ErrorInfo
from unstuck.model.states import Reason, State
from unstuck.storage.protocol import Filter


def test_a_list_pages_through_everything_once(shell: Shell, bench: Bench, url: str) -> None:
    ids = [str(id) for id in bench.enqueue(7)]
    seen: list[str] = []
    after: tuple[str, ...] = ()
    while True:
        document = shell("--url", url, "jobs", "list", "--json", "--limit", "3", *after).json
        seen += [job["id"] for job in document["jobs"]]
        if document["next"] is None:
            break
        after = ("--after", document["next"])
    assert sorted(seen) == sorted(ids)
    assert len(seen) == 7


def test_each_part_of_a_filter_narrows(shell: Shell, bench: Bench, url: str) -> None:
    (red,) = bench.enqueue(labels={"shop": "red"})
    (blue,) = bench.enqueue(labels={"shop": "blue"})
    (mail,) = bench.enqueue(queue="mail", task="shop.greet", args='{"name":"Ada"}')
    (later,) = bench.enqueue(delay_us=60_000_000)

    def found(*words: str) -> set[str]:
        return {job["id"] for job in shell("--url", url, "jobs", "list", "--json", *words).json["jobs"]}

    assert found("--label", "shop=red") == {str(red)}
    assert found("--queue", "mail") == {str(mail)}
    assert found("--task", "shop.greet") == {str(mail)}
    assert found("--state", "scheduled") == {str(later)}
    assert found("--state", "scheduled", "--state", "ready") == {str(red), str(blue), str(mail), str(later)}
    assert found("--queue", "mail", "--state", "scheduled") == set()


def test_show_has_every_field_the_attempts_and_the_log(shell: Shell, bench: Bench, url: str) -> None:
    (id,) = bench.enqueue(labels={"shop": "red"})
    (claimed,) = bench.claim()
    bench.keeper.run(bench.keeper.store.write_logs([(id, claimed.fence, 1, "counting \x1b[2Jstock")]))
    bench.fail(claimed)
    document = shell("--url", url, "jobs", "show", str(id), "--json").json
    job = document["job"]
    assert job["id"] == str(id)
    assert job["args"] == {"a": 1}
    assert job["labels"] == {"shop": "red"}
    assert (job["state"], job["reason"], job["attempt"]) == ("failed", "not_retried", 1)
    assert job["error"] == {
        "type": "ValueError",
        "message": "out of stock",
        "traceback": "Traceback:\n  line 1",
    }
    assert [attempt["outcome"] for attempt in document["attempts"]] == ["failed"]
    assert [line["text"] for line in document["logs"]] == ["counting \x1b[2Jstock"]
    for_people = shell("--url", url, "jobs", "show", str(id))
    assert "ValueError: out of stock" in for_people.out
    assert "counting \\x1b[2Jstock" in for_people.out
    assert "\x1b" not in for_people.out


def test_a_job_can_be_named_by_the_text_it_was_given(shell: Shell, shop: str) -> None:
    first = shell("--app", shop, "enqueue", "shop.add", "1", "--id", "invoice-7")
    again = shell("--app", shop, "enqueue", "shop.add", "1", "--id", "invoice-7", "--json")
    assert again.json["created"] is False
    assert again.json["id"] == first.out.strip()
    shown = shell("--app", shop, "jobs", "show", "invoice-7", "--json")
    assert shown.json["job"]["id"] == first.out.strip()


def test_explain_says_what_has_to_be_done(shell: Shell, bench: Bench, url: str) -> None:
    (id,) = bench.enqueue()
    said = shell("--url", url, "jobs", "explain", str(id))
    assert "unstuck worker -q default" in said.out
    document = shell("--url", url, "jobs", "explain", str(id), "--json").json
    assert document["sentence"] == said.out.strip()
    assert document["state"] == "ready"


def test_what_the_store_holds_cannot_repaint_the_terminal(shell: Shell, bench: Bench, url: str) -> None:
    evil = "[red]a\x1b]0;owned\x07\u202eb\r"
    (id,) = bench.enqueue(labels={"note": evil})
    (claimed,) = bench.claim()
    bench.fail(claimed, ErrorInfo("Evil", evil, evil + "\nsecond line"))
    for words in (("jobs", "list"), ("jobs", "show", str(id)), ("jobs", "explain", str(id)), ("doctor",)):
        out = shell("--url", url, *words).out
        assert not [one for one in out if not one.isprintable() and one != "\n"], words
    assert "[red]a\\x1b]0;owned" in shell("--url", url, "jobs", "show", str(id)).out
    assert shell("--url", url, "jobs", "show", str(id), "--json").json["job"]["error"]["message"] == evil


def test_cancel_ends_what_waits_and_asks_what_runs(shell: Shell, bench: Bench, url: str) -> None:
    (running,) = bench.enqueue()
    bench.claim()
    (ready,) = bench.enqueue()
    (later,) = bench.enqueue(delay_us=60_000_000)
    document = shell("--url", url, "jobs", "cancel", "--queue", "default", "--yes", "--json").json
    assert document["matched"] == 3
    assert (document["ended"], document["asked_to_cancel"]) == (2, 1)
    assert bench.job(ready).state is bench.job(later).state is State.CANCELLED
    assert bench.job(ready).reason is Reason.CANCELLED
    assert bench.job(running).state is State.RUNNING
    assert bench.job(running).cancel_asked_at is not None


def test_the_count_comes_first_and_a_dry_run_changes_nothing(shell: Shell, bench: Bench, url: str) -> None:
    ids = bench.enqueue(3)
    said = shell("--url", url, "jobs", "cancel", "--task", "shop.add", "--dry-run")
    assert said.code == 0
    assert "cancel: 3 jobs (3 ready)" in said.out
    assert all(bench.job(id).state is State.READY for id in ids)


def test_a_filter_where_nobody_can_be_asked_needs_yes(shell: Shell, bench: Bench, url: str) -> None:
    (id,) = bench.enqueue()
    said = shell("--url", url, "jobs", "cancel", "--queue", "default")
    assert said.code == 2
    assert "say --yes" in said.err
    assert "1 job" in said.out
    assert bench.job(id).state is State.READY


def test_ids_need_no_yes_and_a_missing_one_is_told(shell: Shell, bench: Bench, url: str) -> None:
    (id,) = bench.enqueue()
    said = shell("--url", url, "jobs", "cancel", str(id), "nobody")
    assert said.code == 1
    assert "there is no job 'nobody'" in said.err
    assert bench.job(id).state is State.CANCELLED


def test_retry_by_filter_leaves_succeeded_jobs_alone(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue(2)
    good, bad = bench.claim(2)
    bench.succeed(good)
    bench.fail(bad)
    said = shell("--url", url, "jobs", "retry", "--queue", "default", "--yes")
    assert said.code == 0
    assert bench.job(good.id).state is State.SUCCEEDED
    again = bench.job(bad.id)
    assert (again.state, again.generation, again.failures) == (State.READY, 2, 0)
    by_id = shell("--url", url, "jobs", "retry", str(good.id), "--json").json
    assert by_id["revived"] == 1
    assert bench.job(good.id).generation == 2


def test_delete_does_not_keep_the_job(shell: Shell, bench: Bench, url: str) -> None:
    (id,) = bench.enqueue()
    assert shell("--url", url, "jobs", "delete", str(id)).code == 0
    assert bench.job(id).reason is Reason.DELETED
    bench.keeper.run(bench.keeper.store.prune(100))
    assert bench.keeper.run(bench.keeper.store.get(id)) is None


def test_delete_by_filter_means_ended_jobs_too(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue(4)
    good, bad, running = bench.claim(3)
    bench.succeed(good)
    bench.fail(bad)
    words = ("jobs", "delete", "--queue", "default")
    shown = shell("--url", url, *words, "--dry-run")
    assert "delete: 4 jobs (1 ready, 1 running, 1 succeeded, 1 failed)" in shown.out
    assert bench.keeper.run(bench.keeper.store.prune(100)) == 0
    said = shell("--url", url, *words, "--yes", "--json").json
    assert (said["forgotten"], said["ended"], said["asked_to_cancel"]) == (2, 1, 1)
    assert bench.job(good.id).state is State.SUCCEEDED
    bench.keeper.run(bench.keeper.store.prune(100))
    left = bench.keeper.run(bench.keeper.store.find(Filter()))
    assert [job.id for job in left] == [running.id]


def test_delete_of_one_state_leaves_the_others(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue(2)
    good, bad = bench.claim(2)
    bench.succeed(good)
    bench.fail(bad)
    said = shell("--url", url, "jobs", "delete", "--state", "failed", "--yes")
    assert "done: 1 kept no longer" in said.out
    assert bench.keeper.run(bench.keeper.store.prune(100)) == 1
    assert bench.job(good.id).state is State.SUCCEEDED


def test_a_job_that_ends_while_it_is_deleted_goes_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (id,) = bench.enqueue()
    (claimed,) = bench.claim()
    kind = type(bench.keeper.store)
    ask = bench.keeper.store.ask_cancel

    def late(store: object, ids: list[object]) -> object:
        bench.succeed(claimed)
        return ask(ids)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "ask_cancel", late)
    which = Filter(ids=(id,), states=tuple(State))
    changed = changing.end_jobs(bench.keeper, which, Reason.DELETED, lambda done: None)
    assert (changed.asked, changed.forgotten, changed.left) == (0, 1, [])
    bench.keeper.run(bench.keeper.store.prune(100))
    assert bench.keeper.run(bench.keeper.store.get(id)) is None


def test_cancel_says_what_it_leaves(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue()
    (claimed,) = bench.claim()
    bench.succeed(claimed)
    said = shell("--url", url, "jobs", "cancel", str(claimed.id))
    assert "left alone: 1 job (1 succeeded)" in said.out
    assert bench.job(claimed.id).state is State.SUCCEEDED


def test_many_jobs_change_in_portions(
    shell: Shell, bench: Bench, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.enqueue(1234)
    sizes: list[int] = []
    settle = bench.keeper.store.settle
    kind = type(bench.keeper.store)

    def counted(store: object, verdicts: list[object]) -> object:
        sizes.append(len(verdicts))
        return settle(verdicts)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "settle", counted)
    said = shell("--url", url, "jobs", "cancel", "--queue", "default", "--yes", "--json")
    assert said.json["ended"] == 1234
    assert sizes == [500, 500, 234]
    assert "1,234 of 1,234" in said.err
    tally = bench.keeper.run(bench.keeper.store.tally(Filter(queue="default")))
    assert tally == {("default", State.CANCELLED): 1234}


def test_a_job_claimed_meanwhile_is_asked_instead(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (id,) = bench.enqueue()
    kind = type(bench.keeper.store)
    settle = bench.keeper.store.settle
    raced: list[bool] = []

    def late(store: object, verdicts: list[object]) -> object:
        if not raced:
            raced.append(True)
            bench.claim()
        return settle(verdicts)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "settle", late)
    which = Filter(ids=(id,), states=(State.READY, State.RUNNING))
    changed = changing.end_jobs(bench.keeper, which, Reason.CANCELLED, lambda done: None)
    assert (changed.ended, changed.asked, changed.left) == (0, 1, [])
    assert bench.job(id).cancel_asked_at is not None


def test_a_job_claimed_meanwhile_is_left_where_running_ones_are_not_meant(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (id,) = bench.enqueue()
    kind = type(bench.keeper.store)
    settle = bench.keeper.store.settle

    def late(store: object, verdicts: list[object]) -> object:
        bench.claim()
        return settle(verdicts)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "settle", late)
    which = Filter(queue="default", states=(State.READY,))
    changed = changing.end_jobs(bench.keeper, which, Reason.PURGED, lambda done: None)
    assert (changed.ended, changed.asked) == (0, 0)
    assert bench.job(id).state is State.RUNNING
    assert bench.job(id).cancel_asked_at is None


def test_json_is_one_ascii_document(shell: Shell, bench: Bench, url: str) -> None:
    bench.enqueue(labels={"city": "Zürich"})
    for words in (
        ("jobs", "list"),
        ("queues", "list"),
        ("workers", "list"),
        ("doctor",),
        ("migrate", "status"),
    ):
        said = shell("--url", url, *words, "--json")
        assert said.out.isascii(), words
        assert isinstance(json.loads(said.out), dict), words


def test_an_unknown_id_is_not_found_by_uuid_either(shell: Shell, bench: Bench, url: str) -> None:
    said = shell("--url", url, "jobs", "show", str(uuid7()))
    assert said.code == 1
    assert "there is no job" in said.sentence
