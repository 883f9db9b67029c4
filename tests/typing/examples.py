"""What a user writes, and the types that must come out of it: clean in mypy --strict and pyright strict.

`assert_type` is compared by both checkers; nothing here is ever run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type
from uuid import UUID

from unstuck import App, Backoff, Bound, Health, Job, Keep, Snapshot, Snooze, Spec, Task, current
from unstuck.engine.handler import Application, Handler

app = App("memory://")


@dataclass
class Order:
    id: int
    lines: list[str]


@app.task
def plain(user_id: int, note: str = "") -> str:
    return f"{user_id} {note}"


@app.task(queue="mail", tries=5, backoff=Backoff(base="5s", cap="1h", never=(ValueError,)), timeout="2m")
def with_options(order: Order) -> int:
    context = current()
    context.progress(1, 2)
    if context.cancelled:
        raise Snooze("1m")
    return order.id


@app.task
async def coloured(name: str) -> list[Order]:
    return [Order(1, [name])]


@app.task(isolate=True, keep=Keep("1d", other=timedelta(days=3)), aliases=["old.name"], labels={"team": "a"})
async def coloured_with_options(name: str) -> None: ...


@app.task()
def empty_parentheses() -> bool:
    return True


def declared() -> None:
    task: Task[..., str, str] = plain
    assert_type(task.name, str)
    assert_type(plain(7), str)
    assert_type(plain(7, note="x"), str)
    assert_type(with_options(Order(1, [])), int)
    assert_type(empty_parentheses(), bool)
    pending: Coroutine[Any, Any, list[Order]] = coloured("a")
    pending.close()


def blocking() -> None:
    job = plain.enqueue(7, note="hello")
    assert_type(job, Job[str])
    assert_type(job.result(timeout=10), str)
    assert_type(job.result(timeout="5m"), str)
    assert_type(job.id, UUID)
    assert_type(job.created, bool)
    assert_type(job.refresh(), Snapshot)
    assert_type(job.snapshot, Snapshot | None)
    assert_type(job.cancel(), bool)
    assert_type(job.explain(), str)
    assert_type(coloured.enqueue("a").result(), list[Order])
    assert_type(with_options.enqueue(Order(1, [])).result(), int)
    assert_type(app.health(), Health)
    assert_type(app.job("order-7"), Job[Any])


def options() -> None:
    later = plain.using(delay="5m", priority=10)
    assert_type(later.enqueue(7), Job[str])
    assert_type(later.enqueue(7).result(), str)
    assert_type(plain.using(at=datetime.now(UTC)).enqueue(user_id=7), Job[str])
    assert_type(later.using(tries=1).enqueue(7), Job[str])
    assert_type(plain.using(then=coloured.spec("a")).enqueue(7), Job[str])
    assert_type(plain.using(then=[coloured.spec("a"), with_options.spec(Order(1, []))]).enqueue(7), Job[str])
    bound: Bound[[str], list[Order]] = coloured.using(id="a")
    assert_type(bound.enqueue("a"), Job[list[Order]])


def many() -> None:
    assert_type(plain.spec(1), Spec[str])
    assert_type(app.enqueue_many(plain.spec(n) for n in range(10)), list[Job[str]])
    assert_type(app.enqueue_many([plain.using(priority=n).spec(n) for n in range(10)]), list[Job[str]])
    mixed: list[Spec[Any]] = [plain.spec(1), coloured.spec("a")]
    assert_type(app.enqueue_many(mixed), list[Job[Any]])


async def awaiting() -> None:
    job = await plain.aenqueue(7)
    assert_type(job, Job[str])
    assert_type(await job.aresult(), str)
    assert_type(await job.arefresh(), Snapshot)
    assert_type(await job.acancel(), bool)
    assert_type(await coloured("a"), list[Order])
    assert_type(await (await coloured.using(priority=1).aenqueue("a")).aresult(), list[Order])
    assert_type(await coloured_with_options("a"), None)

    async def stream() -> AsyncIterator[Spec[str]]:
        yield plain.spec(1)

    assert_type(await app.aenqueue_many(stream()), list[Job[str]])
    assert_type(await app.ajob("order-7"), Job[Any])
    async with app:
        assert_type(await app.ahealth(), Health)


def wider(job: Job[object]) -> None:
    """A handle of a narrower result fits where a wider one is wanted."""


wider(plain.enqueue(1))

# The two shapes in which the engine knows an app and its tasks.
application: Application = app
handlers: list[Handler] = [plain, coloured]
