"""What a hot statement of many rows asks of the driver: a few steps and one row of answer, whatever it touches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from unstuck.model.ids import uuid7
from unstuck.model.job import ClaimedJob, NewJob
from unstuck.model.verdict import Answer, Verdict
from unstuck.model.worker import NewWorker
from unstuck.rules.judging import succeeded
from unstuck.storage.plan import Plan, both, run
from unstuck.storage.sqlite.connection import SqliteConnection
from unstuck.storage.sqlite.keeper import SqliteKeeper
from unstuck.storage.sqlite.shortcuts import parted, without_answer

MANY = 40
LEASE_US = 3_600_000_000


class Watched:
    """A driver's connection that notes each statement and how many rows it answered."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.answers: list[tuple[str, int]] = []

    def execute(self, text: str, values: Any = ()) -> Any:
        cursor = self._raw.execute(text, values)
        rows, changed = cursor.fetchall(), cursor.rowcount
        self.answers.append((text.split("*/")[0].removeprefix("/* unstuck:").strip(), len(rows)))

        class Read:
            rowcount = changed

            def fetchall(self) -> list[Any]:
                return list(rows)

        return Read()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


class Room:
    """A file with a worker and its connection, watched."""

    def __init__(self, path: Path) -> None:
        self.keeper = SqliteKeeper(path)
        self.store = self.keeper.store
        self.connection: SqliteConnection = self.keeper.open()
        self.watched = Watched(self.connection._raw)
        self.connection._raw = self.watched  # type: ignore[assignment]
        self.worker = uuid7()
        row = NewWorker(self.worker, "solo", None, "here", 1, LEASE_US, ("q",), ("t",))
        self.do(self.store.register(row))

    def do(self, plan: Plan[Any]) -> Any:
        self.watched.answers.clear()
        return run(self.connection, plan)

    def add(self, count: int) -> list[NewJob]:
        jobs = [NewJob(uuid7(), "q", "t", f'{{"text":"\\"quoted\\" {n} é\\n"}}') for n in range(count)]
        self.do(self.store.insert(jobs))
        return jobs

    def claim(self, limit: int = MANY) -> Plan[list[ClaimedJob]]:
        return self.store.claim(self.worker, "q", ["t"], limit)

    def endings(self, jobs: list[ClaimedJob]) -> list[Verdict]:
        return [succeeded(job, uuid7(), self.worker, '"done"') for job in jobs]

    @property
    def rows_answered(self) -> int:
        return max(rows for _, rows in self.watched.answers)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path / "jobs.db")
    yield room
    room.connection.close()
    room.keeper.close()


def test_a_claim_answers_one_row_and_brings_what_was_inserted(room: Room) -> None:
    jobs = sorted(room.add(MANY), key=lambda job: job.id.int)  # in line, where all came at one moment
    taken = room.do(room.claim())
    assert room.rows_answered == 1
    assert [(job.id, job.fence, job.args) for job in taken] == [(job.id, 1, job.args) for job in jobs]
    assert all(isinstance(job.id, UUID) and job.timeout_us is None for job in taken)


def test_an_empty_claim_asks_once(room: Room) -> None:
    assert room.do(room.claim()) == []
    assert [name for name, _ in room.watched.answers if name == "claim"] == ["claim"]


def test_a_group_that_moves_as_a_whole_answers_nothing(room: Room) -> None:
    room.add(MANY)
    verdicts = room.endings(room.do(room.claim()))
    settled = room.do(room.store.settle(verdicts))
    assert [each.answer for each in settled] == [Answer.ACCEPTED] * MANY
    assert room.rows_answered == 0


def test_a_group_of_which_some_do_not_move_is_told_which(room: Room) -> None:
    room.add(MANY)
    taken = room.do(room.claim())
    verdicts = room.endings(taken)
    room.do(room.store.settle(verdicts[:3]))
    strangers = room.endings([taken[3]._replace(fence=7)])
    settled = room.do(room.store.settle([*verdicts[:3], *strangers, *verdicts[4:]]))
    assert [each.answer for each in settled] == (
        [Answer.ALREADY] * 3 + [Answer.REFUSED] + [Answer.ACCEPTED] * (MANY - 4)
    )


def test_what_was_there_already_is_found_among_many(room: Room) -> None:
    jobs = room.add(MANY)
    again = [*jobs[:5], *(NewJob(uuid7(), "q", "t", "{}") for _ in range(5))]
    answers = room.do(room.store.insert(again))
    assert [answer.created for answer in answers] == [False] * 5 + [True] * 5


def test_an_ending_and_a_claim_share_a_commit_whatever_became_of_the_ending(room: Room) -> None:
    room.add(MANY)
    verdicts = room.endings(room.do(room.claim(20)))
    room.do(room.store.settle(verdicts[:1]))
    settled, taken = room.do(both(room.store.settle(verdicts), room.claim(20)))
    assert [each.answer for each in settled] == [Answer.ALREADY] + [Answer.ACCEPTED] * 19
    assert len(taken) == 20
    assert [name for name, _ in room.watched.answers].count("COMMIT") == 1


def test_a_text_that_is_made_otherwise_is_not_cut() -> None:
    with pytest.raises(ValueError, match="only an UPDATE"):
        parted("/* unstuck:claim */ UPDATE jobs AS j SET state = :target RETURNING id")
    with pytest.raises(ValueError, match="only a statement that answers"):
        without_answer("/* unstuck:insert */ INSERT INTO jobs VALUES (1)")
