"""No claim passes over more than a stride, and none of the jobs behind many others is forgotten for that."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from tests.unit.engine.bench import Bench
from tests.unit.engine.handling import Task
from unstuck.engine.handler import Kind
from unstuck.engine.strides import NOBODY, REST_MAX, SHARE, Strides, Walk
from unstuck.storage.protocol import Cursor

STRIDE = 5
OTHERS = 4 * STRIDE + 3
SECONDS = 0.01
"""What a claim takes here."""


def a_bench(concurrency: int = 1, gate: asyncio.Event | None = None) -> Bench:
    gate = gate or asyncio.Event()
    bench = Bench(
        Task(lambda: gate.wait(), Kind.ASYNC),
        Task(lambda: None, Kind.PLAIN, "plain"),
        concurrency=concurrency,
        slots=64,
        stride=STRIDE,
        lease=30.0,
    )

    def takes() -> None:
        bench.elapse(SECONDS)
        bench.meanwhile["claim"] = takes

    bench.meanwhile["claim"] = takes
    return bench


def widths(bench: Bench) -> list[int]:
    """How many ready jobs lay between the two ends of each claim."""
    seen: list[int] = []
    claim = bench.store.claim

    def counted(*args: object) -> object:
        queue, after, until = args[1], args[4], args[5] if len(args) > 5 else None
        passed, place = 0, after
        while (place := bench.do(bench.store.reach(str(queue), place, 1))) is not None:  # type: ignore[arg-type]
            if isinstance(until, Cursor) and until.before(place):
                break
            passed += 1
        seen.append(passed)
        return claim(*args)  # type: ignore[arg-type]

    bench.shift.store.claim = counted  # type: ignore[method-assign,assignment]
    return seen


async def looks(bench: Bench, times: int = 1) -> None:
    for _ in range(times):
        bench.page.renewed(bench.seconds, bench.settings.lease)
        await bench.looking.round()
        await bench.claim_all()
        bench.elapse(0.1)


def busy(bench: Bench) -> None:
    """As if the claims for coroutines had brought all that they asked for."""
    bench.claiming._full = {
        course: None
        for course in bench.claiming._courses
        if course.kind is Kind.ASYNC and not course.is_prefetch
    }


def is_claimed(bench: Bench, job_id: UUID) -> bool:
    return bench.job(job_id).fence == 1


def test_a_claim_passes_over_a_stride_at_most_and_the_next_goes_on_from_there() -> None:
    async def story() -> None:
        bench = a_bench()
        passed = widths(bench)
        bench.add(OTHERS, task="of nobody here")
        bench.elapse(0.001)
        (plain,) = bench.add(task="plain")
        await looks(bench)
        assert is_claimed(bench, plain)
        assert max(passed) == STRIDE and len(passed) > OTHERS // STRIDE

    asyncio.run(story())


def asked_by(bench: Bench) -> list[object]:
    """What this worker asks from now on about how far it may go."""
    asked: list[object] = []
    reach = bench.store.reach

    def noted(*args: object) -> object:
        asked.append(args)
        return reach(*args)  # type: ignore[arg-type]

    bench.shift.store.reach = noted  # type: ignore[method-assign,assignment]
    return asked


def test_where_a_queue_is_short_nothing_is_asked_between_claims() -> None:
    async def story() -> int:
        bench = a_bench(concurrency=20)
        asked = asked_by(bench)
        for _ in range(10):
            bench.add()
            await looks(bench)
        return len(asked)

    assert asyncio.run(story()) == 2


@pytest.mark.parametrize(
    ("seconds", "stride", "asks"),
    [(0.001, 10_000, 1), (0.01, 10_000, 4), (0.001, 1_000, 4), (0.0, 10_000, 4)],
    ids=["quick", "slow", "short strides", "a clock that stands"],
)
def test_single_jobs_that_are_claimed_quickly_show_that_a_queue_is_short(
    seconds: float, stride: int, asks: int
) -> None:
    """Twenty hints half a second apart: what is believed for three seconds is asked once in three, or not at all."""

    async def story() -> int:
        bench = Bench(Task(lambda: None, Kind.ASYNC), stride=stride, lease=30.0)
        asked = asked_by(bench)
        for _ in range(20):
            bench.elapse(0.5)
            bench.page.renewed(bench.seconds, bench.settings.lease)
            bench.add()
            bench.meanwhile["claim"] = lambda: bench.elapse(seconds)
            bench.claiming.expect("default")
            await bench.claim_all()
            await bench.settling.round()
        return len(asked)

    assert asyncio.run(story()) == asks


def test_a_look_that_quickly_finds_nothing_shows_it_too() -> None:
    """So the first job after a long rest is claimed without a question before."""

    async def story() -> list[str]:
        bench = Bench(Task(lambda: None, Kind.ASYNC), lease=30.0)
        asked: list[str] = []
        bench.meanwhile = {
            "reach": lambda: asked.append("reach"),
            "claim": lambda: asked.append("claim"),
        }
        bench.elapse(60.0)
        began = bench.seconds
        bench.claiming.note_empty(["default"], None, began, began + 0.001)
        bench.elapse(1.0)
        bench.page.renewed(bench.seconds, bench.settings.lease)
        bench.add()
        bench.claiming.expect("default")
        await bench.claim_all()
        return asked

    assert asyncio.run(story()) == ["claim"]


def test_what_is_known_of_a_whole_queue_is_not_given_up_for_what_is_known_of_its_end() -> None:
    strides: Strides[str] = Strides(3.0, 10_000)
    near = Cursor(1_000, NOBODY)
    strides.came_to_the_end("q", None, 10.0, 10.001)
    strides.came_to_the_end("q", near, 11.0, 11.001)
    assert strides.knows("c", "q", None, 12.9)
    strides.came_to_the_end("q", near, 13.5, 13.501)
    assert strides.knows("c", "q", near, 14.0)
    assert not strides.knows("c", "q", None, 14.0)


def test_a_busy_worker_walks_in_vain_for_its_share_of_the_time() -> None:
    async def story() -> None:
        bench = a_bench()
        passed = widths(bench)
        bench.add(OTHERS)
        bench.elapse(0.001)
        (plain,) = bench.add(task="plain")
        await looks(bench)
        assert len(passed) <= 3, "one that runs now, and the first strides for plain functions"
        began = bench.seconds
        while not is_claimed(bench, plain):
            pause = await bench.claiming.round()
            bench.elapse(pause)
            assert bench.seconds < began + bench.settings.lease
        assert bench.seconds - began > (OTHERS // STRIDE - 2) * SECONDS / SHARE

    asyncio.run(story())


async def walking(bench: Bench, others: int) -> None:
    """A walk over so many jobs begins, while there is something better to do."""
    bench.add(1)
    await looks(bench)
    bench.add(others)
    bench.elapse(10.0)
    bench.page.renewed(bench.seconds, bench.settings.lease)
    await bench.looking.round()
    busy(bench)
    await bench.claim_all()
    bench.elapse(0.001)


def test_while_it_walks_what_comes_before_that_place_is_found_by_the_next_look() -> None:
    async def story() -> None:
        bench = a_bench()
        await walking(bench, OTHERS)
        (urgent,) = bench.add(task="plain", priority=5)
        began = bench.seconds
        while not is_claimed(bench, urgent):
            await looks(bench)
            assert bench.seconds - began < 1.0

    asyncio.run(story())


def test_where_it_walks_for_long_what_has_come_in_lately_behind_it_is_found_too() -> None:
    async def story() -> None:
        bench = a_bench()
        others = 100 * STRIDE
        await walking(bench, others)
        passed, began = widths(bench), bench.seconds
        bench.elapse(1.0)
        (last,) = bench.add(task="plain")
        while not is_claimed(bench, last):
            busy(bench)
            await looks(bench)
        assert bench.seconds - began < bench.claiming.back.slack_us / 1_000_000 + 1.0
        assert sum(passed) < others // 2, "the walk has not come that far"

    asyncio.run(story())


def test_what_has_waited_for_longer_goes_before_what_has_come_in_lately() -> None:
    """A storm on PostgreSQL: behind two strides of jobs for other places so many were waiting that each had to for
    minutes; what came in meanwhile was claimed before them, up to ten thousand jobs of it at each walk."""

    async def story() -> None:
        gate = asyncio.Event()
        bench = a_bench(concurrency=4, gate=gate)
        bench.claiming._has_better_to_do = lambda course: True  # type: ignore[method-assign]
        bench.add(2 * STRIDE, task="of nobody here")
        waiting: list[UUID] = []

        def come(count: int) -> None:
            for _ in range(count):
                waiting.extend(bench.add())
                bench.elapse(0.001)

        come(20 * STRIDE)
        bench.elapse(10.0)
        for _ in range(60):
            come(5)
            await looks(bench)
            claimed = [is_claimed(bench, job_id) for job_id in waiting]
            assert claimed == sorted(claimed, reverse=True), "the first in line are claimed, and no others"
            gate.set()
            await bench.turn()
            gate.clear()
            await bench.settling.round()
        assert sum(claimed) > 100

    asyncio.run(story())


def test_a_course_that_asks_for_nothing_any_more_keeps_nobody_from_walking() -> None:
    async def story() -> None:
        bench = a_bench()
        passed = widths(bench)
        bench.add(OTHERS)
        bench.elapse(0.001)
        (plain,) = bench.add(task="plain")
        bench.page.renewed(bench.seconds, bench.settings.lease)
        await bench.looking.round()
        began = bench.seconds
        while not is_claimed(bench, plain):
            # Their tasks were fast once, and are not now.
            bench.claiming._full = {course: None for course in bench.claiming._courses if course.is_prefetch}
            bench.elapse(await bench.claiming.round())
        assert bench.seconds - began < (len(passed) + 1) * SECONDS

    asyncio.run(story())


def test_a_stride_that_waited_for_long_is_not_taken_for_work() -> None:
    strides: Strides[str] = Strides(3.0, STRIDE)
    strides.walked("course", 10.0, Walk(is_own=True, is_back=True, seconds=3.0))
    assert strides.rests("course", 10.0) and not strides.rests("course", 10.0 + REST_MAX)
    strides.was_in_vain("course", 11.0, 3.0)
    assert strides.rests("course", 11.0) and not strides.rests("course", 11.0 + REST_MAX)


def test_errands_in_vain_are_paid_like_strides_and_leave_every_other_turn_to_them() -> None:
    async def story() -> None:
        bench = a_bench()
        bench.add(1)
        await looks(bench)
        passed = widths(bench)
        bench.add(2 * OTHERS)
        bench.elapse(10.0)
        began, claims = bench.seconds, 0
        while bench.seconds - began < 3.0:
            busy(bench)
            await looks(bench)
        claims = len(passed)
        assert claims * SECONDS <= 2 * SHARE * (bench.seconds - began), (
            "its share, and as much for looks between"
        )
        assert sum(passed) >= STRIDE * claims // 2 - STRIDE, "half of them at least were strides"

    asyncio.run(story())


def test_that_few_are_ready_is_believed_for_a_while() -> None:
    strides: Strides[str] = Strides(3.0, STRIDE)
    here, behind, before = (Cursor(line, UUID(int=7)) for line in (10, 11, 9))
    assert not strides.knows("course", "q", here, 0.0)
    strides.reached("course", "q", here, None, 0.0, 0.0)
    for place in (here, behind):
        assert strides.knows("course", "q", place, 2.9) and strides.end("course", place) is None
        assert strides.knows("another", "q", place, 2.9)
        assert not strides.knows("course", "q", place, 3.1)
    assert not strides.knows("course", "q", before, 0.0)
    assert not strides.knows("course", "q", None, 0.0)
    assert not strides.knows("course", "p", here, 0.0)


def test_few_behind_an_early_place_are_believed_as_long_as_none_behind_it_shows_more() -> None:
    strides: Strides[str] = Strides(3.0, STRIDE)
    near = Cursor(10, NOBODY)
    strides.reached("course", "q", None, None, 0.0, 0.0)
    for at in range(3, 30, 3):
        assert not strides.knows("course", "q", None, at + 0.1)
        strides.reached("course", "q", near, None, 0.0, at + 0.1)
        assert strides.knows("course", "q", None, at + 0.1)
    strides.reached("course", "q", near, None, 0.0, 30.0)
    assert strides.knows("course", "q", near, 30.0) and not strides.knows("course", "q", None, 30.0)


def test_more_behind_a_later_place_are_more_behind_an_early_one() -> None:
    strides: Strides[str] = Strides(3.0, STRIDE)
    near, far = Cursor(10, NOBODY), Cursor(20, NOBODY)
    strides.reached("course", "q", None, None, 0.0, 0.0)
    strides.reached("course", "q", near, far, 0.0, 1.0)
    strides.reached("course", "q", far, None, 0.0, 1.0)
    assert strides.knows("another", "q", far, 1.0) and not strides.knows("another", "q", None, 1.0)


def test_an_end_is_good_from_where_it_was_asked_for_up_to_itself() -> None:
    strides: Strides[str] = Strides(3.0, STRIDE)
    begin, within, end = (Cursor(line, NOBODY) for line in (10, 11, 12))
    strides.reached("course", "q", begin, end, 0.0, 0.0)
    for place in (begin, within):
        assert strides.knows("course", "q", place, 1000.0) and strides.end("course", place) == end
    for place in (None, Cursor(9, NOBODY), end, Cursor(13, NOBODY)):
        assert not strides.knows("course", "q", place, 0.0)
    assert not strides.knows("another", "q", within, 0.0)


def test_what_it_cost_to_know_the_end_is_part_of_what_the_claim_cost() -> None:
    strides: Strides[str] = Strides(3.0, STRIDE)
    strides.reached("course", "q", None, None, 10.0, 10.5)
    assert strides.price("course") == 0.5
    assert strides.price("course") == 0.0
