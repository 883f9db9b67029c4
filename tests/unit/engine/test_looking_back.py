"""Where dead rows lie in the way, looks begin where things stood lately; nothing is left behind for longer than a lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.unit.engine.bench import Bench, Slow
from tests.unit.engine.handling import Task
from unstuck.engine.handler import Kind
from unstuck.engine.looking_back import LOOK, SHARE, LookingBack
from unstuck.model.job import NewJob
from unstuck.rules.settings import Settings
from unstuck.storage.protocol import Cursor, Look

SECONDS = 0.5
"""What it takes to begin with the very first, here."""


def waiting(name: str = "t") -> Task:
    return Task(lambda: asyncio.Event().wait(), Kind.ASYNC, name)


def held(bench: Bench) -> list[int]:
    """Whether each look began behind the very first; those that do not take long, and claims alike."""
    seen: list[int] = []
    look, claim = bench.store.look, bench.store.claim
    first = bench.us + 1

    def slow(*args: object) -> object:
        since = args[3]
        seen.append(0 if since is None else 1)
        if since is None:
            bench.meanwhile["look"] = lambda: bench.elapse(SECONDS)
        return look(*args)  # type: ignore[arg-type]

    def slow_too(*args: object) -> object:
        after = args[4]
        if not isinstance(after, Cursor) or after.line < first:
            bench.meanwhile["claim"] = lambda: bench.elapse(SECONDS)
        return claim(*args)  # type: ignore[arg-type]

    bench.shift.store.look = slow  # type: ignore[method-assign,assignment]
    bench.shift.store.claim = slow_too  # type: ignore[method-assign,assignment]
    return seen


async def rounds(bench: Bench, times: int, between: Callable[[int], object] = lambda number: None) -> None:
    for number in range(times):
        bench.page.renewed(bench.seconds, bench.settings.lease)
        between(number)
        await bench.looking.round()
        await bench.claim_all()
        bench.elapse(0.1)


def test_what_is_dear_is_seldom_done_and_what_comes_in_order_is_found_at_once() -> None:
    async def story() -> None:
        bench = Bench(waiting(), slots=400, concurrency=300)
        seen = held(bench)
        await rounds(bench, 4)
        assert seen == [0, 1, 1, 1]
        for number in range(50):
            (job_id,) = bench.add()
            await rounds(bench, 1)
            assert job_id in {key[0] for key in bench.shift.runs}, number
        assert seen.count(0) <= 2

    asyncio.run(story())


def test_what_stands_before_that_place_is_found_within_a_lease() -> None:
    async def story() -> None:
        bench = Bench(waiting(), slots=400, concurrency=300)
        held(bench)
        await rounds(bench, 20, lambda number: bench.add())
        (urgent,) = bench.add(priority=5)
        began = bench.seconds
        while urgent not in {key[0] for key in bench.shift.runs}:
            await rounds(bench, 1, lambda number: bench.add())
            assert bench.seconds - began <= bench.settings.lease + bench.settings.poll + 2 * SECONDS
        assert bench.seconds - began > bench.settings.poll, "nothing was dear, so nothing was shown"

    asyncio.run(story())


def test_what_was_known_to_be_ready_is_not_forgotten_by_a_look_that_begins_behind_it() -> None:
    """One place, ten jobs, and each look sees only what is newer than all of them."""

    async def story() -> int:
        bench = Bench(waiting(), slots=400, concurrency=3)
        held(bench)
        bench.add(10)
        await rounds(bench, 40)
        assert "default" in bench.shift.ready
        bench.executor.stop_coroutines("to make room")
        await bench.turn()
        await bench.claim_all()
        return len(bench.shift.runs)

    assert asyncio.run(story()) == 3


def test_a_look_back_counts_also_where_a_claim_is_under_way() -> None:
    """What that claim brings says nothing about what the look has seen."""

    async def story() -> int:
        bench = Bench(waiting(), slots=400, concurrency=300)
        bench.add(2)
        await bench.looking.round()
        await bench.claim_all()
        bench.elapse(1.0)
        bench.add(1)

        def seen() -> None:
            (before,) = bench.add(1, priority=5)
            bench.claiming.look_back("default", bench.job(before).line)

        bench.claiming.look_back("default", None)
        bench.meanwhile["claim"] = seen
        await bench.claiming.round()
        await bench.claiming.round()
        return len(bench.shift.runs)

    assert asyncio.run(story()) == 4


def test_what_is_known_to_stand_before_is_fetched_and_the_claims_go_on_where_they_were() -> None:
    async def story() -> None:
        bench = Bench(waiting(), slots=400, concurrency=300)
        held(bench)
        await rounds(bench, 20, lambda number: bench.add())
        before = dict(bench.claiming._highest)
        early = [bench.add(priority=5)[0] for _ in range(3)]
        bench.claiming.fetch("default", bench.job(early[0]).line, 2)
        bench.shift.ready["default"] = 0
        await bench.claim_all()
        fetched = {key[0] for key in bench.shift.runs}.intersection(early)
        assert len(fetched) == 2, "it goes for as many as it was told of, and not on behind them"
        assert before
        assert all(bench.claiming._cursors[course] == place for course, place in before.items())

    asyncio.run(story())


def test_what_stands_before_those_who_wait_is_not_fetched_past_them() -> None:
    """A worker that cannot keep up has gone back in line: it will come to that place by itself."""

    async def story() -> None:
        bench = Bench(waiting(), slots=400, concurrency=21)
        held(bench)
        await rounds(bench, 20, lambda number: bench.add())
        (first,) = bench.add()
        bench.elapse(0.001)
        (again,) = bench.add()
        line = bench.job(again).line
        bench.claiming._highest = dict.fromkeys(bench.claiming._highest, Cursor(line, again))
        bench.claiming.fetch("default", line, 1)
        bench.shift.ready["default"] = 0
        await bench.claim_all()
        claimed = {key[0] for key in bench.shift.runs}
        assert first in claimed and again not in claimed

    asyncio.run(story())


def test_who_is_about_to_begin_at_the_head_is_sent_past_nobody_who_waits_there() -> None:
    """A job that stands far behind became ready, or a look had not looked back so far."""

    async def story() -> None:
        bench = Bench(waiting(), concurrency=1)
        (first,), (late,) = bench.add(), bench.add(priority=-2)
        line = bench.job(late).line
        bench.shift.ready["default"] = line
        bench.claiming.fetch("default", line, 1)
        bench.claiming.look_back("default", line)
        await bench.claim_all()
        assert {key[0] for key in bench.shift.runs} == {first}

    asyncio.run(story())


def test_it_takes_its_share_of_the_time_and_no_more_than_a_lease() -> None:
    settings = Settings()
    back = LookingBack(settings)
    look = Look(1_000_000, True, False, False, {}, None)
    now = 50.0
    assert back.since(now) is None
    back.saw(now, look, ["q"])
    back.took(now, 0.0, from_the_first=False)
    back.took(now, 0.04, from_the_first=True)
    assert back.is_due(now), "one slow answer proves nothing"
    back.took(now, 0.03, from_the_first=True)
    assert not back.is_due(now + 0.03 / SHARE - 0.001, LOOK)
    assert back.is_due(now + 0.03 / SHARE + 0.001, LOOK)
    assert back.is_due(now, "another question")
    for _ in range(5):
        back.took(now, 3.0, from_the_first=True)
    assert not back.is_due(now + settings.lease - 0.001)
    assert back.is_due(now + settings.lease)


def test_what_takes_no_longer_than_usual_is_free() -> None:
    back = LookingBack(Settings())
    for _ in range(100):
        back.took(1.0, 0.02, from_the_first=False)
    for _ in range(3):
        back.took(1.0, 0.023, from_the_first=True)
    assert back.is_due(1.0)


def test_jobs_of_a_kind_that_waits_behind_many_others_are_claimed_when_they_come() -> None:
    """A claim that walked over all others in vain begins behind them from then on, for as long as that is dear."""

    async def story() -> None:
        bench = Bench(waiting(), waiting("other"), slots=400, concurrency=1)
        bench.add(50)
        lane = bench.shift.claim_lane
        assert isinstance(lane, Slow)
        await rounds(bench, 3)
        bench.do(bench.store.insert([NewJob(bench.shift.id, "default", "other", "{}")]))
        await rounds(bench, 3)
        assert len(bench.shift.runs) == 1

    asyncio.run(story())


def test_many_others_are_not_walked_over_in_vain_at_each_look() -> None:
    """Looks see urgent jobs before a backlog of others; of plain functions there are none, which only a walk over it can tell."""

    async def story() -> None:
        bench = Bench(waiting(), Task(lambda: None, Kind.PLAIN, "plain"), slots=400, concurrency=300)
        bench.add(50, task="of nobody here")
        last = bench.us
        bench.elapse(10.0)
        walks: list[bool] = []
        claim = bench.shift.store.claim

        def slow(*args: object) -> object:
            if args[2] == ["plain"]:
                walks.append(not isinstance(args[4], Cursor) or args[4].line <= last)
                if walks[-1]:
                    bench.meanwhile["claim"] = lambda: bench.elapse(SECONDS)
            return claim(*args)  # type: ignore[arg-type]

        bench.shift.store.claim = slow  # type: ignore[method-assign,assignment]
        await rounds(bench, 20, lambda number: bench.add(priority=5))
        assert len(bench.shift.runs) == 20
        assert len(walks) >= 20, "each look leads to a question"
        assert sum(walks) <= 2, "one slow answer proves little, and the second is good for a while"

    asyncio.run(story())
