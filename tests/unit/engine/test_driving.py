"""Many jobs share a task as long as none waits; whoever does finds himself in a task of his own, as anywhere."""

from __future__ import annotations

import asyncio
import gc
import types
import weakref
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import Any

import pytest

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.context import current
from unstuck.engine.handler import Kind
from unstuck.model.states import Event, Reason
from unstuck.model.verdict import Verdict

OWNER: ContextVar[int] = ContextVar("owner")

Part = Callable[[], Awaitable[Any]]


def in_turn(*parts: Part) -> Task:
    """A handler that does something else each time."""
    turns = iter(parts)
    return Task(lambda: next(turns)(), Kind.ASYNC)


async def begun(*parts: Part, **options: Any) -> Bench:
    """A bench on which a job for each of these parts has been started, in this order."""
    bench = Bench(in_turn(*parts))
    for _ in parts:
        bench.add(1, **options)
        bench.elapse(0.001)  # each has a place in line of its own
    await bench.looking.round()
    await bench.claim_all()
    return bench


def endings(bench: Bench) -> list[Verdict]:
    return list(bench.shift.outbox.values())


def events(bench: Bench) -> list[Event]:
    return [verdict.event for verdict in endings(bench)]


def me() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - the fact is what lies in the outbox
            await asyncio.sleep(0)


def test_jobs_that_never_wait_share_a_task_and_nothing_of_their_contexts() -> None:
    tasks: list[int] = []
    seen: list[int] = []
    jobs: list[object] = []

    async def part() -> None:
        tasks.append(id(me()))
        seen.append(OWNER.get(0))
        jobs.append(current().id)
        OWNER.set(len(tasks))

    async def story() -> None:
        bench = await begun(part, part, part)
        assert events(bench) == [Event.SUCCEED] * 3
        assert [verdict.job_id for verdict in endings(bench)] == jobs
        assert OWNER.get(0) == 0, "what a job has set is seen outside"

    asyncio.run(story())
    assert len(set(tasks)) == 1
    assert seen == [0, 0, 0]
    assert len(set(jobs)) == 3


def test_who_waits_has_a_task_and_a_context_of_his_own_to_the_end() -> None:
    gate = asyncio.Event()
    seen: list[tuple[asyncio.Task[Any], int]] = []

    def part(number: int) -> Part:
        async def wait() -> None:
            OWNER.set(number)
            task = me()
            await gate.wait()
            seen.append((task, OWNER.get()))
            assert me() is task
            await asyncio.sleep(0)
            assert (me(), OWNER.get()) == (task, number)

        return wait

    async def at_once() -> None:
        seen_at_once.append(me())

    seen_at_once: list[asyncio.Task[Any]] = []

    async def story() -> None:
        bench = await begun(part(1), at_once, part(2), part(3), at_once)
        assert events(bench) == [Event.SUCCEED] * 2, "somebody waits, and others wait with him"
        gate.set()
        await until(lambda: len(bench.shift.outbox) == 5)
        assert events(bench) == [Event.SUCCEED] * 5

    asyncio.run(story())
    assert [number for _, number in seen] == [1, 2, 3]
    assert len({id(task) for task, _ in seen}) == 3


def cancels_itself() -> None:
    me().cancel()


def cancels_and_takes_it_back() -> None:
    me().cancel()
    me().uncancel()


def leaves_a_timer() -> None:
    asyncio.get_running_loop().call_later(0.001, me().cancel)


def leaves_a_callback() -> None:
    me().add_done_callback(lambda task: None)


def leaves_a_name() -> None:
    me().set_name("mine")


def is_remembered() -> None:
    remembered.add(me())


remembered: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


@pytest.mark.parametrize(
    "leaves",
    [
        cancels_itself,
        cancels_and_takes_it_back,
        leaves_a_timer,
        leaves_a_callback,
        leaves_a_name,
        is_remembered,
    ],
)
def test_what_a_job_leaves_on_its_task_meets_no_other(leaves: Callable[[], None]) -> None:
    async def leave() -> None:
        leaves()

    async def wait() -> str:
        assert me().get_name() != "mine"
        assert me() not in remembered
        await asyncio.sleep(0.01)
        return "unhurt"

    async def story() -> None:
        bench = await begun(leave, wait, wait)
        await until(lambda: len(bench.shift.outbox) == 3)
        assert events(bench) == [Event.SUCCEED] * 3
        assert [verdict.result for verdict in endings(bench)] == [None, "unhurt", "unhurt"]

    asyncio.run(story())


def test_a_job_that_cancels_itself_and_waits_is_told_so_where_it_waits() -> None:
    async def stubborn() -> str:
        me().cancel()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "told"
        return "not told"

    async def story() -> None:
        bench = await begun(stubborn)
        assert [verdict.result for verdict in endings(bench)] == ["told"]

    asyncio.run(story())


def test_time_limits_and_groups_work_inside() -> None:
    async def limited() -> str:
        async with asyncio.timeout(10):  # noqa: ASYNC100 - some have nothing to wait for in the end
            pass
        try:
            async with asyncio.timeout(0.005):
                await asyncio.sleep(10)
        except TimeoutError:
            return f"in time, {me().cancelling()} left"
        return "too late"

    async def fails() -> None:
        OWNER.set(OWNER.get() + 1)
        raise KeyError("one of us")

    async def grouped() -> str:
        OWNER.set(5)
        async with asyncio.TaskGroup():
            pass
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await asyncio.sleep(10)
        except ExceptionGroup:
            return f"{OWNER.get()}, {me().cancelling()} left"
        return "nobody failed"

    async def story() -> None:
        bench = await begun(limited, grouped)
        await until(lambda: len(bench.shift.outbox) == 2)
        assert sorted(str(verdict.result) for verdict in endings(bench)) == ["5, 0 left", "in time, 0 left"]

    asyncio.run(story())


def test_who_waits_is_cancelled_when_that_is_asked_for_and_nobody_else_is() -> None:
    ended: list[str] = []
    may_end = asyncio.Event()

    async def wait() -> None:
        try:
            await may_end.wait()
            ended.append("by itself")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def story() -> None:
        bench = await begun(wait, wait)
        first, _ = bench.shift.runs
        bench.executor.ask_cancel(first)
        await until(lambda: ended == ["cancelled"])
        may_end.set()
        await until(lambda: len(bench.shift.outbox) == 2)
        assert bench.shift.outbox[first].reason is Reason.CANCELLED
        assert events(bench) == [Event.CANCEL, Event.SUCCEED]

    asyncio.run(story())
    assert ended == ["cancelled", "by itself"]


def test_who_is_cancelled_before_his_first_step_never_takes_it() -> None:
    ran: list[str] = []

    async def story() -> None:
        async def first() -> None:
            ran.append("first")
            await asyncio.sleep(0)

        async def second() -> None:
            ran.append("second")

        bench = Bench(in_turn(first, second))
        bench.add()
        bench.elapse(0.001)
        bench.add()
        claimed = bench.do(bench.store.claim(bench.shift.id, "default", ["t"], 2))
        bench.executor.take(claimed, bench.page.withdrawn, bench.seconds)
        key = claimed[1].id, claimed[1].fence
        bench.executor.ask_cancel(key)
        await bench.turn()
        assert bench.shift.outbox[key].event is Event.CANCEL
        assert len(bench.shift.outbox) == 2
        assert not bench.shift.runs

    asyncio.run(story())
    assert ran == ["first"]


def test_who_waits_longer_than_he_may_is_stopped() -> None:
    async def wait() -> None:
        await asyncio.sleep(10)

    async def story() -> None:
        bench = await begun(wait, timeout_us=1)
        bench.elapse(1.0)
        await until(lambda: len(bench.shift.outbox) == 1)
        (verdict,) = endings(bench)
        assert verdict.error is not None
        assert verdict.error.type == "Timeout"

    asyncio.run(story())


@types.coroutine
def by_a_generator() -> Generator[Any, Any, str]:
    yield
    yield from asyncio.sleep(0.001).__await__()
    return "generated"


class Awaited:
    """What is neither a coroutine nor a future."""

    def __await__(self) -> Generator[Any, Any, str]:
        yield from asyncio.sleep(0).__await__()
        return "awaited"


def a_future() -> asyncio.Future[str]:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, "future")
    return future


def test_whatever_can_be_awaited_is() -> None:
    async def story() -> None:
        bench = await begun(by_a_generator, Awaited, a_future)
        await until(lambda: len(bench.shift.outbox) == 3)
        results = [str(verdict.result) for verdict in endings(bench)]
        assert sorted(results) == ["awaited", "future", "generated"]

    asyncio.run(story())


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    "raised", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit, KeyError]
)
def test_whatever_a_handler_raises_is_its_own_failure(raised: type[BaseException], waits: bool) -> None:
    async def fails() -> None:
        if waits:
            await asyncio.sleep(0)
        raise raised("why")

    async def other() -> None:
        if waits:
            await asyncio.sleep(0)

    async def story() -> None:
        bench = await begun(other, fails, other)
        by_event = {verdict.event: verdict for verdict in endings(bench)}
        assert sorted(events(bench)) == [Event.RETRY, Event.SUCCEED, Event.SUCCEED]
        error = by_event[Event.RETRY].error
        assert error is not None
        assert error.type.endswith(raised.__name__)

    asyncio.run(story())


def test_what_cannot_be_awaited_or_called_is_a_failure_too() -> None:
    def stops() -> Awaitable[None]:
        raise StopIteration(7)

    async def story() -> None:
        nothing: Any = lambda: None  # noqa: E731
        bench = await begun(stops, nothing)
        assert events(bench) == [Event.RETRY] * 2

    asyncio.run(story())


@pytest.mark.parametrize("waits", [False, True])
def test_an_error_is_gone_with_its_ending(waits: bool) -> None:
    """It holds what was in the hands of whoever it came through; held by any of that, it would stay until somebody looks for cycles."""
    errors: list[weakref.ref[BaseException]] = []

    async def fails() -> None:
        if waits:
            await asyncio.sleep(0)
            inner = asyncio.get_running_loop().create_future()
            inner.set_exception(KeyError("inner"))
            try:
                await asyncio.wait_for(inner, 1)
            finally:
                del inner
        error = KeyError("own")
        errors.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    async def story() -> None:
        bench = await begun(fails, fails)
        assert events(bench) == [Event.RETRY] * 2
        await bench.turn()
        assert [ref() for ref in errors] == [None] * len(errors)

    gc.disable()
    try:
        asyncio.run(story())
    finally:
        gc.enable()


def test_a_long_line_lets_others_have_their_turn() -> None:
    turns: list[int] = []
    ran: list[int] = []

    async def story() -> None:
        bench = Bench(Task(lambda: part(), Kind.ASYNC), concurrency=100, slots=200)

        async def part() -> None:
            ran.append(len(turns))
            bench.seconds += 0.001

        def other() -> None:
            turns.append(len(ran))
            if len(ran) < 12:
                asyncio.get_running_loop().call_soon(other)

        asyncio.get_running_loop().call_soon(other)
        bench.add(12)
        claimed = bench.do(bench.store.claim(bench.shift.id, "default", ["t"], 12))
        bench.executor.take(claimed, bench.page.withdrawn, bench.seconds)
        await bench.turn()
        assert len(bench.shift.outbox) == 12

    asyncio.run(story())
    assert len(set(ran)) >= 3, "all ran in one turn of the loop"


def test_who_was_cancelled_on_his_way_is_replaced() -> None:
    """Somebody cancels all tasks that there are, ours among them."""

    async def at_once() -> None: ...

    async def story() -> None:
        bench = Bench(in_turn(at_once, at_once))
        bench.add(2)
        claimed = bench.do(bench.store.claim(bench.shift.id, "default", ["t"], 2))
        bench.executor.take(claimed, bench.page.withdrawn, bench.seconds)
        for task in asyncio.all_tasks() - {me()}:
            task.cancel()
        await bench.turn()
        assert not bench.shift.outbox
        await bench.looking.round()
        await bench.turn()
        assert events(bench) == [Event.SUCCEED] * 2

    asyncio.run(story())


def test_what_waits_when_a_loop_is_cleared_away_is_closed_and_has_not_ended() -> None:
    closed: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            closed.append(True)

    async def story() -> Bench:
        bench = await begun(wait)
        (run,) = bench.shift.runs.values()
        task, run.task = run.task, None
        assert task is not None
        task.get_coro().close()
        return bench

    bench = asyncio.run(story())
    assert closed == [True]
    assert not bench.shift.outbox
