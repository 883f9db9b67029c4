"""audited and audit: a change and its record happen together, or neither does."""

from __future__ import annotations

import pytest

from tests.conformance.trying import BOOM, MINUTE, Trial, new_id
from unstuck.model.audit import Repair
from unstuck.model.states import State
from unstuck.rules import judging, rescuing


def repair(subject: object, **fields: str) -> Repair:
    said = {
        "actor": "someone@here",
        "action": "settle",
        "kind": "job",
        "cause": "owner_missing",
        "sentence": "it was lost: 'ü'",
        **fields,
    }
    return Repair(id=new_id(), subject=str(subject), **said)


def test_a_change_is_recorded_with_its_answer(trial: Trial) -> None:
    worker = trial.add_worker()
    job = trial.start(worker)
    verdict = rescuing.lost(job, new_id(), worker, "it went")
    settled = trial.audited(
        trial.store.settle([verdict]),
        lambda answer: [repair(one.verdict.job_id) for one in answer if one.is_recorded],
    )
    assert [one.is_recorded for one in settled] == [True]
    assert trial.row(job.id).state is State.SCHEDULED
    (entry,) = trial.audit(10)
    assert (entry.actor, entry.action, entry.kind, entry.subject) == (
        "someone@here",
        "settle",
        "job",
        str(job.id),
    )
    assert (entry.cause, entry.sentence) == ("owner_missing", "it was lost: 'ü'")
    assert trial.seconds_to(entry.at) == 0


def test_what_a_plan_continues_with_is_part_of_it(trial: Trial) -> None:
    """A plain ending that comes late is judged in a second step: the record stands beside that too."""
    worker = trial.add_worker()
    job = trial.start(worker)
    trial.end(judging.failed(job, new_id(), worker, BOOM, 0.5, may_retry=False))
    late = judging.succeeded(job, new_id(), worker, None)
    settled = trial.audited(
        trial.store.settle([late]), lambda answer: [repair(job.id, sentence=str(answer[0].answer))]
    )
    assert not settled[0].is_recorded
    assert [entry.sentence for entry in trial.audit(10)] == ["refused"]


def test_nothing_is_recorded_of_what_changed_nothing(trial: Trial) -> None:
    assert (
        trial.audited(trial.store.end_worker(new_id(), "gone"), lambda ended: [repair("w")] if ended else [])
        is False
    )
    assert trial.audit(10) == []


def test_a_record_that_cannot_be_written_undoes_the_change(trial: Trial) -> None:
    worker = trial.add_worker()

    def breaks(ended: bool) -> list[Repair]:
        raise RuntimeError("no words")

    with pytest.raises(RuntimeError, match="no words"):
        trial.audited(trial.store.end_worker(worker, "gone"), breaks)
    assert trial.worker(worker).ended_at is None
    assert trial.audit(10) == []


def test_the_newest_come_first_and_only_so_many(trial: Trial) -> None:
    for number in range(3):
        worker = trial.add_worker()
        trial.audited(
            trial.store.end_worker(worker, "gone"), lambda ended, number=number: [repair(f"w{number}")]
        )
        trial.elapse(MINUTE)
    assert [entry.subject for entry in trial.audit(2)] == ["w2", "w1"]


def test_who_paused_a_queue_first_is_kept_until_it_goes_on(trial: Trial) -> None:
    assert trial.set_queue("q", paused=True, actor="ann").paused_by == "ann"
    assert trial.set_queue("q", paused=True, actor="bob").paused_by == "ann"
    assert trial.set_queue("q", step_us=5).paused_by == "ann"
    assert trial.set_queue("q", paused=False, actor="bob").paused_by is None
    assert trial.set_queue("q", paused=True, actor="bob").paused_by == "bob"
    assert [queue.paused_by for queue in trial.queues()] == ["bob"]
