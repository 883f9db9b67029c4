"""Many new jobs by COPY: the same rows as by INSERT, and the usual way where one is there already."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from unstuck import App
from unstuck.model.alike import Alike
from unstuck.model.errors import IdConflict, StoreUnavailable
from unstuck.model.ids import uuid7
from unstuck.model.job import Inserted, NewJob, Policy
from unstuck.storage.plan import Mode, Statement
from unstuck.storage.postgres import copying, shortcuts
from unstuck.storage.postgres.connection import PostgresConnection
from unstuck.storage.postgres.copying import BY_ITSELF, PORTION, WORTH_IT, as_copy
from unstuck.storage.postgres.keeper import PostgresKeeper

MANY = PORTION + WORTH_IT
SAME = (
    "state, reason, queue, task, priority, wake_at, expires_at, fence, timeout_us, args, codec, options, labels,"
    " generation, worker_id, failures, has_effects, line = (extract(epoch FROM created_at) * 1000000)::bigint,"
    " created_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp()"
)


def alike(count: int = MANY, **said: Any) -> Alike:
    like = NewJob(**{"id": uuid7(), "queue": "q ü", "task": "t", "args": "{}", "labels": {"a": '"ü'}} | said)
    ids = sorted(uuid7() for _ in range(count))
    return Alike(like, ids, [f'{{"n":{n},"text":"🙂\\\\"}}' for n in range(count)])


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each COPY took."""
    seen: list[int] = []

    def portions(request: Any, *rest: Any) -> Iterator[bytes]:
        seen.append(len(request.rows))
        yield from copying.portions(request, *rest)

    monkeypatch.setattr("unstuck.storage.postgres.connection.portions", portions)
    return seen


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"timeout_us": 7_000_000},
        {"labels": {}},
        {"codec": 2, "policy": Policy(tries=7)},
        {"timeout_us": 1, "labels": {}, "codec": 3, "policy": Policy(tries=7)},
    ],
)
def test_what_is_copied_is_what_would_have_been_inserted(
    keeper: PostgresKeeper, monkeypatch: pytest.MonkeyPatch, sent: list[int], said: dict[str, Any]
) -> None:
    jobs = alike(**said)
    answers = keeper.run(keeper.store.insert(jobs))
    assert answers == [Inserted(job_id, True) for job_id in jobs.ids]
    assert sent == [MANY]
    monkeypatch.setattr(shortcuts, "is_worth_it", lambda request: False)
    other = alike(**said)
    keeper.run(keeper.store.insert(other))
    assert sent == [MANY]
    with psycopg.connect(keeper.address.conninfo) as connection:

        def rows(ids: Any) -> list[tuple[Any, ...]]:
            ask = f"SELECT {SAME} FROM unstuck_jobs WHERE id = ANY(%s) ORDER BY id".encode()
            return connection.execute(ask, [list(ids)]).fetchall()

        assert rows(jobs.ids) == rows(other.ids)
        assert len(rows(jobs.ids)) == MANY
        assert all(row[-1] and row[-2] for row in rows(jobs.ids))


def test_it_is_so_in_the_other_colour_too(keeper: PostgresKeeper, sent: list[int]) -> None:
    async def main() -> None:
        jobs = alike()
        assert all(answer.created for answer in await keeper.arun(keeper.store.insert(jobs)))
        assert not any(answer.created for answer in await keeper.arun(keeper.store.insert(jobs)))
        await keeper.aclose()

    asyncio.run(main())
    assert sent == [MANY, MANY]


def test_where_some_are_there_already_the_usual_way_says_which(
    keeper: PostgresKeeper, sent: list[int]
) -> None:
    jobs = alike()
    keeper.run(keeper.store.insert([jobs[3], jobs[MANY - 1]]))
    answers = keeper.run(keeper.store.insert(jobs))
    assert [at for at, answer in enumerate(answers) if not answer.created] == [3, MANY - 1]
    assert not any(answer.created for answer in keeper.run(keeper.store.insert(jobs)))


def test_an_id_of_another_request_undoes_them_all(keeper: PostgresKeeper, sent: list[int]) -> None:
    jobs = alike()
    taken = NewJob(id=jobs.ids[5], queue="q", task="another", args="{}")
    keeper.run(keeper.store.insert([taken]))
    with pytest.raises(IdConflict):
        keeper.run(keeper.store.insert(jobs))
    assert keeper.run(keeper.store.get(jobs.ids[4])) is None


def test_enqueue_many_of_one_task_is_copied_and_of_two_is_not(
    keeper: PostgresKeeper, postgres_url: str, sent: list[int]
) -> None:
    app = App(postgres_url)

    @app.task(name="t")
    def t(n: int) -> None: ...

    @app.task(name="u")
    def u(n: int) -> None: ...

    jobs = app.enqueue_many(t.spec(n) for n in range(MANY))
    assert sent == [MANY]
    assert [job.id for job in jobs] == sorted(job.id for job in jobs)
    assert jobs[17].refresh().args == '{"n":17}'
    app.enqueue_many((t if n % 2 else u).spec(n) for n in range(MANY))
    app.enqueue_many(t.using(delay="1h").spec(n) for n in range(MANY))
    app.enqueue_many(t.spec(n) for n in range(WORTH_IT - 1))
    assert sent == [MANY]
    app.close()


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_call_whose_commit_went_wrong_is_repeated_with_the_same_ids(
    keeper: PostgresKeeper, postgres_url: str, monkeypatch: pytest.MonkeyPatch, sent: list[int], is_lost: bool
) -> None:
    app, commit, wrong = App(postgres_url), PostgresConnection.commit, [StoreUnavailable("on purpose")]

    @app.task(name="t")
    def t(n: int) -> None: ...

    def going_wrong(connection: PostgresConnection, mode: Mode) -> None:
        if mode is Mode.TRANSACTION and wrong:
            (commit if is_lost else PostgresConnection.rollback)(connection, mode)
            raise wrong.pop()
        commit(connection, mode)

    monkeypatch.setattr(PostgresConnection, "commit", going_wrong)
    jobs = app.enqueue_many(t.spec(n) for n in range(MANY))
    assert sent == [MANY, MANY]
    # Handles made beside the first try, or beside a second that was refused, would say otherwise.
    assert {job.created for job in jobs} == {not is_lost}
    found = [each.id for each in app.jobs(task="t", limit=2 * MANY)]
    assert sorted(found) == [job.id for job in jobs]
    assert [jobs[at].refresh().args for at in (0, MANY - 1)] == ['{"n":0}', f'{{"n":{MANY - 1}}}']
    app.close()


def test_a_store_with_an_event_log_hears_of_each(postgres_url: str, sent: list[int]) -> None:
    app = App(postgres_url, event_log=True)
    app.keeper.migrator.apply()

    @app.task(name="t")
    def t(n: int) -> None: ...

    app.enqueue_many(t.spec(n) for n in range(MANY))
    assert sent == [MANY]
    assert sum(event.kind == "job" for event in app.events()) == MANY
    app.close()


def test_what_a_column_would_say_by_itself_is_not_sent(keeper: PostgresKeeper) -> None:
    def columns(**said: Any) -> set[str]:
        told = {"timeout_us": None, "codec": 1, "options": "{}", "labels": "{}"} | said
        return set(copying.copying(keeper.dialect, Statement("insert_alike", told))[1])

    few = columns()
    assert few.isdisjoint(BY_ITSELF)
    for said in ({"timeout_us": 0}, {"codec": 2}, {"options": '{"a":1}'}, {"labels": '{"a":"b"}'}):
        assert columns(**said) == few | said.keys()


def test_what_may_be_done_meanwhile_is_done_before_the_answer_and_again_with_the_next_try(
    keeper: PostgresKeeper, sent: list[int]
) -> None:
    done: list[int] = []
    jobs = replace(alike(), meanwhile=lambda: done.append(len(sent)))
    assert all(answer.created for answer in keeper.run(keeper.store.insert(jobs)))
    assert done == [1]
    # What was made for rows that the server then refused says nothing: the usual way does.
    assert not any(answer.created for answer in keeper.run(keeper.store.insert(jobs)))
    assert sent == [MANY, MANY]


def test_only_an_insert_that_names_its_columns_can_be_copied() -> None:
    text, columns = as_copy("/* mark */ INSERT INTO jobs (\n    id, queue,\n    args\n)\nSELECT 1")
    assert text == b"/* mark */ COPY jobs (id, args, queue) FROM STDIN (FORMAT binary)"
    assert columns == ("id", "args", "queue")
    for wrong in ("SELECT 1", "INSERT INTO jobs SELECT 1", "INSERT INTO jobs (id, queue) SELECT 1"):
        with pytest.raises(ValueError, match="COPY"):
            as_copy(wrong)
