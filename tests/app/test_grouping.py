"""Concurrent callers share commits: nobody waits for company, and nobody pays for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from unstuck import App, IdConflict, OutcomeUnknown, StoreUnavailable
from unstuck.app import grouping
from unstuck.app.grouping import Group
from unstuck.model.ids import uuid7
from unstuck.model.job import Inserted, NewJob
from unstuck.storage.postgres.keeper import PostgresKeeper


def a_job(letters: int = 2) -> NewJob:
    return NewJob(uuid7(), "q", "t", "x" * letters)


class Ferry:
    """Takes jobs over when it is told to; whoever is on it waits until then."""

    def __init__(self) -> None:
        self.crossings: list[list[NewJob]] = []
        self.alone: list[NewJob] = []
        self.fails: Callable[[Sequence[NewJob]], Exception | None] = lambda jobs: None
        self._arrivals: list[asyncio.Event] = []
        self.group = Group(self._together, self._alone)

    async def _together(self, jobs: Sequence[NewJob]) -> list[Inserted | IdConflict]:
        self.crossings.append(list(jobs))
        arrival = asyncio.Event()
        self._arrivals.append(arrival)
        await arrival.wait()
        if (error := self.fails(jobs)) is not None:
            raise error
        return [
            IdConflict(f"a job with the id {job.id}") if job.args == "bad" else Inserted(job.id, True)
            for job in jobs
        ]

    async def _alone(self, job: NewJob) -> Inserted:
        self.alone.append(job)
        if job.args == "bad":
            raise IdConflict("it is bad")
        return Inserted(job.id, False)

    async def arrive(self) -> None:
        """The crossing that is under way ends, and everybody does what he can do then."""
        self._arrivals[-1].set()
        await settle()

    def board(self, job: NewJob) -> asyncio.Task[Inserted]:
        return asyncio.ensure_future(self.group.insert(job))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(scene: Callable[[Ferry], Any]) -> None:
    """Play the scene in a loop, at whose end nothing of the group may be left."""

    async def main() -> None:
        await scene(Ferry())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_the_first_goes_at_once_and_those_who_come_meanwhile_go_together() -> None:
    async def scene(ferry: Ferry) -> None:
        jobs = [a_job() for _ in range(5)]
        callers = [ferry.board(job) for job in jobs]
        await settle()
        assert ferry.crossings == [jobs[:1]]
        await ferry.arrive()
        assert [caller.done() for caller in callers] == [True, False, False, False, False]
        assert ferry.crossings[1:] == [jobs[1:]]
        late = ferry.board(a_job())
        await ferry.arrive()
        assert [await caller for caller in callers] == [Inserted(job.id, True) for job in jobs]
        await ferry.arrive()
        assert (await late).created
        assert [len(crossing) for crossing in ferry.crossings] == [1, 4, 1]

    run(scene)


def test_nobody_waits_for_company() -> None:
    async def scene(ferry: Ferry) -> None:
        for _ in range(3):
            caller = ferry.board(a_job())
            await settle()
            await ferry.arrive()
            assert caller.done()
        assert [len(crossing) for crossing in ferry.crossings] == [1, 1, 1]

    run(scene)


def test_who_is_answered_and_comes_again_goes_with_the_next_group() -> None:
    async def scene(ferry: Ferry) -> None:
        async def caller() -> None:
            for _ in range(4):
                await ferry.group.insert(a_job())

        callers = [asyncio.ensure_future(caller()) for _ in range(10)]
        await settle()
        while not all(each.done() for each in callers):
            await ferry.arrive()
        assert [len(crossing) for crossing in ferry.crossings] == [1, 10, 10, 10, 9]

    run(scene)


def test_one_with_a_bad_id_harms_no_other() -> None:
    async def scene(ferry: Ferry) -> None:
        first = ferry.board(a_job())
        bad, good = NewJob(uuid4(), "q", "t", "bad"), a_job()
        callers = [ferry.board(bad), ferry.board(good)]
        await settle()
        await ferry.arrive()
        await ferry.arrive()
        assert (await first).created
        with pytest.raises(IdConflict):
            await callers[0]
        assert await callers[1] == Inserted(good.id, True)
        assert ferry.alone == []

    run(scene)


@pytest.mark.parametrize("error", [OutcomeUnknown("gone"), RuntimeError("strange")], ids=repr)
def test_a_group_that_fails_goes_one_by_one_under_the_same_ids(error: Exception) -> None:
    async def scene(ferry: Ferry) -> None:
        ferry.fails = lambda jobs: error if len(jobs) > 1 else None
        first = ferry.board(a_job())
        jobs = [a_job(), NewJob(uuid4(), "q", "t", "bad"), a_job()]
        callers = [ferry.board(job) for job in jobs]
        await settle()
        await ferry.arrive()
        await ferry.arrive()
        assert (await first).created
        assert ferry.alone == jobs
        assert (await callers[0]).id == jobs[0].id
        with pytest.raises(IdConflict, match="it is bad"):
            await callers[1]
        assert (await callers[2]).id == jobs[2].id

    run(scene)


def test_a_store_that_is_away_is_waited_for_by_each_caller_and_by_nobody_for_another() -> None:
    async def scene(ferry: Ferry) -> None:
        ferry.fails = lambda jobs: StoreUnavailable("down")
        job = a_job()
        caller = ferry.board(job)
        await settle()
        await ferry.arrive()
        assert ferry.alone == [job]
        assert (await caller).id == job.id
        # A mistake is no matter of patience.
        ferry.fails = lambda jobs: RuntimeError("strange")
        caller = ferry.board(a_job())
        await settle()
        await ferry.arrive()
        with pytest.raises(RuntimeError):
            await caller
        assert ferry.alone == [job]

    run(scene)


def test_who_is_cancelled_before_his_group_goes_is_left_behind() -> None:
    async def scene(ferry: Ferry) -> None:
        first = ferry.board(a_job())
        jobs = [a_job() for _ in range(3)]
        callers = [ferry.board(job) for job in jobs]
        await settle()
        callers[1].cancel()
        await ferry.arrive()
        assert ferry.crossings[1] == [jobs[0], jobs[2]]
        await ferry.arrive()
        assert [each.cancelled() for each in callers] == [False, True, False]
        assert first.done()

    run(scene)


def test_who_is_cancelled_while_his_group_is_under_way_harms_no_other() -> None:
    async def scene(ferry: Ferry) -> None:
        ferry.board(a_job())
        callers = [ferry.board(a_job()) for _ in range(3)]
        await settle()
        await ferry.arrive()
        callers[1].cancel()
        await settle()
        await ferry.arrive()
        assert [each.cancelled() for each in callers] == [False, True, False]
        assert (await callers[0]).created and (await callers[2]).created
        assert len(ferry.crossings) == 2

    run(scene)


def test_when_the_first_is_cancelled_the_others_go() -> None:
    async def scene(ferry: Ferry) -> None:
        first = ferry.board(a_job())
        others = [ferry.board(a_job()) for _ in range(2)]
        await settle()
        first.cancel()
        await settle()
        assert first.cancelled()
        await ferry.arrive()
        assert [each.result().created for each in others] == [True, True]

    run(scene)


def test_when_all_who_wait_are_cancelled_nothing_is_sent() -> None:
    async def scene(ferry: Ferry) -> None:
        first = ferry.board(a_job())
        other = ferry.board(a_job())
        await settle()
        other.cancel()
        await ferry.arrive()
        assert first.done()
        assert len(ferry.crossings) == 1
        again = ferry.board(a_job())
        await settle()
        await ferry.arrive()
        assert (await again).created

    run(scene)


def test_a_group_whose_task_is_cancelled_goes_one_by_one() -> None:
    async def scene(ferry: Ferry) -> None:
        ferry.board(a_job())
        jobs = [a_job() for _ in range(2)]
        callers = [ferry.board(job) for job in jobs]
        await settle()
        await ferry.arrive()
        late = a_job()
        callers.append(ferry.board(late))
        await settle()
        (task,) = [each for each in asyncio.all_tasks() if each.get_name() == "unstuck-enqueue"]
        task.cancel()
        await settle()
        assert [(await caller).id for caller in callers] == [job.id for job in [*jobs, late]]
        assert ferry.alone == [*jobs, late]

    run(scene)


def test_a_group_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "JOBS_MAX", 3)
    monkeypatch.setattr(grouping, "LETTERS_MAX", 100)

    async def scene(ferry: Ferry) -> None:
        sizes = [1, 1, 1, 1, 60, 30, 30, 300, 1]
        callers = [ferry.board(a_job(size)) for size in [1, *sizes]]
        await settle()
        while not all(each.done() for each in callers):
            await ferry.arrive()
        crossed = [[len(job.args) for job in crossing] for crossing in ferry.crossings]
        assert crossed == [[1], [1, 1, 1], [1, 60, 30], [30], [300], [1]]

    run(scene)


def test_a_loop_that_ends_leaves_nothing(recwarn: pytest.WarningsRecorder) -> None:
    ferry = Ferry()

    async def main() -> None:
        for _ in range(3):
            ferry.board(a_job())
        await settle()

    asyncio.run(main())

    async def again() -> None:
        caller = ferry.board(a_job())
        await settle()
        await ferry.arrive()
        assert (await caller).created

    asyncio.run(again())
    assert not recwarn.list


# Through the whole front, on real stores


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def whole(request: pytest.FixtureRequest, tmp_path: Any) -> App:
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        keeper = PostgresKeeper(url)
        keeper.migrator.apply()
        keeper.close()
        return App(url)
    return App("memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}")


def counted(app: App) -> list[tuple[str, int]]:
    """Each insert that is asked of the store from now on, and of how many jobs."""
    sent: list[tuple[str, int]] = []
    for promise in ("insert", "insert_each"):
        usual = getattr(app.store, promise)

        def noted(jobs: Any, promise: str = promise, usual: Any = usual) -> Any:
            sent.append((promise, len(jobs)))
            return usual(jobs)

        setattr(app.store, promise, noted)
    return sent


def test_a_hundred_callers_share_two_commits(whole: App) -> None:
    @whole.task(name="t")
    def t(n: int) -> None: ...

    async def main() -> None:
        async with whole:
            await t.aenqueue(-1)
            sent = counted(whole)
            jobs = await asyncio.gather(*(t.aenqueue(n) for n in range(100)))
            # Memory answers before anybody else can come.
            is_memory = whole.keeper.engine == "memory"
            assert (
                sent == [("insert_each", 1)] * 100 if is_memory else [("insert_each", 1), ("insert_each", 99)]
            )
            assert all(job.created for job in jobs)
            assert len({job.id for job in jobs}) == 100
            for n, job in enumerate(jobs[::33]):
                assert (await job.arefresh()).args == f'{{"n":{n * 33}}}'

    asyncio.run(main())


def test_an_id_of_ones_own_never_waits_in_a_group(whole: App) -> None:
    @whole.task(name="t")
    def t(n: int) -> None: ...

    async def main() -> None:
        async with whole:
            await t.aenqueue(-1)
            sent = counted(whole)
            await asyncio.gather(*(t.using(id=f"mine {n}").aenqueue(n) for n in range(3)))
            assert sent == [("insert", 1)] * 3

    asyncio.run(main())


def test_of_two_who_draw_one_id_one_is_refused(tmp_path: Any, whole: App) -> None:
    taken = UUID(int=7)
    whole._client.draw = lambda: taken

    @whole.task(name="t")
    def t(n: int) -> None: ...

    async def main() -> None:
        async with whole:
            answers = await asyncio.gather(*(t.aenqueue(n) for n in (1, 1, 2)), return_exceptions=True)
            assert [getattr(each, "created", type(each)) for each in answers] == [True, False, IdConflict]

    asyncio.run(main())
