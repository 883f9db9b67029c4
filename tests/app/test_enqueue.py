"""From a call to a row and back, on each embedded store, in both colours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, TypedDict
from uuid import UUID, uuid4

import msgspec
import pydantic
import pytest

from tests.app.hand import Hand
from unstuck import App, Backoff, BadArguments, IdConflict, Keep, Spec, State
from unstuck.app import chunks
from unstuck.model.job import SECOND_US

DAY_US = 86_400 * SECOND_US


class Size(StrEnum):
    SMALL = "small"


@dataclass
class Point:
    x: float
    at: datetime | None = None


class Named(TypedDict):
    name: str


class Struct(msgspec.Struct):
    points: list[Point]


class Model(pydantic.BaseModel):
    when: datetime
    amount: Decimal


def everything(
    number: int,
    share: float,
    size: Size,
    when: datetime,
    key: UUID,
    amount: Decimal,
    point: Point,
    struct: Struct,
    named: Named,
    model: Model,
    either: int | str | None,
    choice: Literal["a", "b"],
    pair: tuple[int, str],
    table: dict[int, list[Model]],
    group: set[int],
    raw: bytes,
    *,
    only_by_name: bool = False,
) -> Struct:
    return struct


NOW = datetime.now(UTC)
MODEL = Model(when=NOW, amount=Decimal("1.10"))
VALUES: dict[str, Any] = {
    "number": 2**60,
    "share": 0.1,
    "size": Size.SMALL,
    "when": NOW.astimezone(),
    "key": uuid4(),
    "amount": Decimal("0.10"),
    "point": Point(1.0, NOW),
    "struct": Struct([Point(2.0)]),
    "named": {"name": "n"},
    "model": MODEL,
    "either": "x",
    "choice": "b",
    "pair": (1, "x"),
    "table": {1: [MODEL]},
    "group": {1, 2, 3},
    "raw": b"\x00\xff",
    "only_by_name": True,
}


def test_every_type_arrives_as_it_was(app: App, hand: Hand) -> None:
    task = app.task(name="everything")(everything)
    job = task.enqueue(**VALUES)
    arrived = task.decode(job.refresh().args)
    assert arrived == VALUES
    assert {key: type(value) for key, value in arrived.items()} == {
        key: type(value) for key, value in VALUES.items()
    }
    hand.work()
    assert job.result(timeout=5) == Struct([Point(2.0)])
    del app._client.tasks["everything"]
    # Where the task is not known it is plain JSON.
    assert app.job(job.id).result() == {"points": [{"x": 2.0, "at": None}]}


def test_defaults_are_left_to_the_function(app: App) -> None:
    @app.task(name="t")
    def t(a: int, b: object = object(), *, c: int = 3) -> None: ...

    assert t.enqueue(1).refresh().args == '{"a":1}'
    assert t.enqueue(c=3, a=1).refresh().args == '{"a":1,"c":3}'
    assert t.decode('{"a":1}') == {"a": 1}
    for wrong in ('{"b":1}', '{"a":1,"z":2}', '{"a":"x"}', "[]", "{", "", '{"a":1e400}'):
        with pytest.raises(BadArguments, match=r"^t: "):
            t.decode(wrong)


def test_a_task_is_still_a_function(memory: App) -> None:
    @memory.task(name="add")
    def add(a: int, b: int = 2) -> int:
        """Adds."""
        return a + b

    @memory.task(name="wait")
    async def wait() -> int:
        return 5

    assert add(1) == 3
    assert (add.__doc__, add.__name__) == ("Adds.", "add")
    assert asyncio.iscoroutinefunction(wait)
    assert asyncio.run(wait()) == 5
    assert not callable(add.using(priority=1))
    assert set(memory.tasks) == {"add", "wait"}


def test_options_reach_the_row(app: App) -> None:
    @app.task(
        name="t", queue="mail", tries=7, backoff=Backoff("5s", 3, "1h", 0), timeout="2m", labels={"a": "1"}
    )
    def t() -> None: ...

    job = t.enqueue().refresh()
    assert (job.queue, job.priority, job.timeout_us, job.state) == ("mail", 0, 120 * SECOND_US, State.READY)
    assert (job.policy.tries, job.policy.backoff_base_us, job.policy.backoff_factor) == (
        7,
        5 * SECOND_US,
        3.0,
    )
    assert (job.policy.backoff_cap_us, job.policy.backoff_jitter) == (3600 * SECOND_US, 0.0)

    bound = t.using(queue="other", priority=5, labels={"b": "2"}, timeout=1.5, tries=1, keep=Keep("1d", "2d"))
    job = bound.using(delay="1h", expires="2h").enqueue().refresh()
    assert (job.queue, job.priority, job.timeout_us) == ("other", 5, 1_500_000)
    assert dict(job.labels) == {"a": "1", "b": "2"}
    assert (job.policy.tries, job.policy.keep_succeeded_us, job.policy.keep_other_us) == (
        1,
        DAY_US,
        2 * DAY_US,
    )
    assert job.state is State.SCHEDULED
    assert job.wake_at is not None and job.expires_at is not None
    assert timedelta(minutes=59) < job.wake_at - job.created_at < timedelta(minutes=61)
    assert timedelta(minutes=119) < job.expires_at - job.created_at < timedelta(minutes=121)

    at = datetime.now(UTC) + timedelta(days=1)
    job = bound.using(delay="1h").using(at=at).enqueue().refresh()
    assert job.wake_at is not None and abs(job.wake_at - at) < timedelta(milliseconds=1)
    job = bound.using(at=at).using(delay="1h").enqueue().refresh()
    assert job.wake_at is not None and job.wake_at < at - timedelta(hours=2)
    assert t.using(at=datetime.now(UTC) - timedelta(days=1)).enqueue().refresh().state is State.READY


def test_the_same_id_is_the_same_job(app: App) -> None:
    @app.task(name="t")
    def t(a: int) -> None: ...

    id = uuid4()
    first, again = t.using(id=id).enqueue(1), t.using(id=str(id)).enqueue(1)
    assert (first.id, first.created, again.id, again.created) == (id, True, id, False)
    assert first == again and len({first, again}) == 1
    with pytest.raises(IdConflict):
        app.enqueue_many([t.spec(5), t.using(id=id).spec(2)])
    assert len(app.jobs()) == 1


def test_both_colours(app: App, hand: Hand) -> None:
    @app.task(name="double")
    async def double(n: int) -> int:
        return 2 * n

    async def main() -> None:
        async with app:
            job = await double.aenqueue(4)
            assert (await job.arefresh()).state is State.READY
            with pytest.raises(TimeoutError, match=r"has not ended within 0\.05 s: it is ready"):
                await job.aresult(timeout=0.05)
            assert "no live worker serves" in await job.aexplain()
            waiter = asyncio.ensure_future(job.aresult(timeout=10))
            await asyncio.sleep(0)
            await asyncio.to_thread(hand.work)
            assert await waiter == 8
            assert await job.alogs() == []
            other = await double.using(delay="1h").aenqueue(1)
            assert await other.acancel() is True
            assert [one.id for one in await app.ajobs(state="cancelled")] == [other.id]
            assert (await app.ajob(job.id)).created_at == job.created_at
            assert (await app.ahealth()).workers == 1

    asyncio.run(main())


def test_waiting_does_not_block_the_loop(app: App) -> None:
    @app.task(name="t")
    def t() -> None: ...

    async def main() -> int:
        job, ticks = await t.aenqueue(), 0
        waiter = asyncio.ensure_future(job.aresult(timeout=1.0))
        while not waiter.done():
            await asyncio.sleep(0.005)
            ticks += 1
        assert isinstance(waiter.exception(), TimeoutError)
        return ticks

    assert asyncio.run(main()) > 20, (
        "of some 200: a busy machine has that many, a loop that stands still has not"
    )


def test_follow_ups_come_with_the_success_and_only_with_it(app: App, hand: Hand) -> None:
    @app.task(name="first", tries=1)
    def first(fails: bool) -> None:
        if fails:
            raise OSError

    @app.task(name="second")
    def second(n: int) -> None: ...

    request = first.using(then=[second.using(tries=3, then=second.spec(2)).spec(1)])
    good, bad = request.enqueue(False), request.enqueue(True)
    assert [one.args for one in good.refresh().then] == ['{"n":1}']
    assert good.refresh().then[0].id != bad.refresh().then[0].id
    hand.work()
    hand.work()
    assert [job.snapshot.args for job in app.jobs(task="second") if job.snapshot] == ['{"n":1}']
    follower = app.jobs(task="second")[0]
    assert follower.id == good.refresh().then[0].id
    assert follower.snapshot and follower.snapshot.policy.tries == 3
    hand.work()
    assert [job.snapshot.args for job in app.jobs(task="second") if job.snapshot] == ['{"n":1}', '{"n":2}']


def test_many_are_one_transaction_then_chunks(memory: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "WHOLE_MAX", 10)
    monkeypatch.setattr(chunks, "CHUNK", 4)

    @memory.task(name="t")
    def t(n: int) -> int:
        return n

    made: list[int] = []

    def specs(count: int) -> Iterator[Spec[int]]:
        for n in range(count):
            made.append(n)
            yield t.spec(n)

    jobs = memory.enqueue_many(specs(10))
    assert [job.refresh().args for job in jobs] == [f'{{"n":{n}}}' for n in range(10)]

    def broken() -> Iterator[Spec[int]]:
        yield from specs(12)
        yield t.spec("x")  # type: ignore[arg-type]

    with pytest.raises(BadArguments) as raised:
        memory.enqueue_many(broken())
    # 11 were read to know that there are more than 10; two chunks of 4 had gone when the wrong one was made.
    assert len(memory.jobs(limit=1000)) == 18
    assert memory.enqueue_many([]) == []
    assert raised.value


def test_many_asynchronously(app: App) -> None:
    @app.task(name="t")
    def t(n: int) -> int:
        return n

    async def stream() -> AsyncIterator[Spec[int]]:
        for n in range(5):
            await asyncio.sleep(0)
            yield t.spec(n)

    async def main() -> None:
        async with app:
            assert len(await app.aenqueue_many(stream())) == 5
            assert len(await app.aenqueue_many(t.spec(n) for n in range(5))) == 5

    asyncio.run(main())
    assert len(app.jobs()) == 10


def test_listing(app: App) -> None:
    @app.task(name="t")
    def t(n: int) -> None: ...

    jobs = app.enqueue_many(t.using(labels={"n": str(n % 2)}).spec(n) for n in range(6))
    assert [job.id for job in app.jobs(limit=4)] == [job.id for job in jobs[:4]]
    assert [job.id for job in app.jobs(after=jobs[3].id)] == [job.id for job in jobs[4:]]
    assert [job.id for job in app.jobs(label=("n", "1"))] == [job.id for job in jobs[1::2]]
    assert app.jobs(queue="other") == app.jobs(task="u") == app.jobs(state=State.FAILED) == []
