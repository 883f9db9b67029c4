"""Two at once, each on a connection of its own: exactly one of them is right."""

from __future__ import annotations

from collections import Counter

from tests.conformance.trying import LEASE, SECOND, Trial, new_id, new_job
from unstuck.model.errors import IdConflict
from unstuck.model.job import Inserted, Policy
from unstuck.model.notice import Finding, Kind
from unstuck.model.states import Reason, State
from unstuck.model.verdict import Answer
from unstuck.rules import judging, rescuing

ROUNDS = 8


def test_two_claimers_never_share_a_job(trial: Trial) -> None:
    one, other = trial.add_worker(), trial.add_worker()
    trial.insert([new_job() for _ in range(150)])
    taken: list[object] = []
    for _ in range(40):
        for answer in trial.together(*(trial.store.claim(who, "q", ["t"], 7) for who in (one, other) * 2)):
            taken += [job.id for job in answer]
        if len(taken) == 150:
            break
    assert len(taken) == 150
    assert max(Counter(taken).values()) == 1


def test_of_two_verdicts_at_once_one_is_recorded(trial: Trial) -> None:
    worker = trial.add_worker()
    for _ in range(ROUNDS):
        job = trial.start(worker, then=(new_job(queue="after"), new_job(queue="after")))
        pair = [
            judging.succeeded(job, new_id(), worker, "1"),
            rescuing.lost(job, new_id(), worker, "host gone"),
        ]
        settled = trial.together(*(trial.store.settle([verdict]) for verdict in pair))
        accepted = [each.answer for ((each),) in settled]
        assert sorted(accepted) == [Answer.ACCEPTED, Answer.REFUSED]
        won = pair[accepted.index(Answer.ACCEPTED)]
        row = trial.row(job.id)
        assert (row.state, row.verdict_id) == (won.target, won.id)
        follow_ups = [trial.get(each.id) is not None for each in job.then]
        assert follow_ups == [row.state is State.SUCCEEDED] * 2


def test_one_verdict_sent_twice_at_once_is_recorded_once(trial: Trial) -> None:
    worker = trial.add_worker()
    for _ in range(ROUNDS):
        job = trial.start(worker, policy=Policy(tries=2))
        verdict = judging.timed_out(job, new_id(), worker, judging.ErrorInfo("Timeout", ""), 0.5)
        settled = trial.together(*(trial.store.settle([verdict]) for _ in range(3)))
        assert sorted(each.answer for ((each),) in settled) == [
            Answer.ACCEPTED,
            Answer.ALREADY,
            Answer.ALREADY,
        ]
        assert trial.row(job.id).failures == 1


def test_groups_of_verdicts_in_opposite_order_do_not_stop_each_other(trial: Trial) -> None:
    worker = trial.add_worker()
    for _ in range(4):
        trial.insert([new_job() for _ in range(60)])
        jobs = trial.claim(worker, "q", ["t"], 60)
        groups = [
            [judging.succeeded(job, new_id(), worker, "1") for job in jobs],
            [judging.handed_back(job, new_id(), worker, started=True) for job in reversed(jobs)],
        ]
        first, second = trial.together(*(trial.store.settle(group) for group in groups))
        recorded = Counter(each.verdict.job_id for each in (*first, *second) if each.is_recorded)
        assert recorded == Counter(job.id for job in jobs)
        trial.settle(
            [judging.succeeded(job, new_id(), worker, None) for job in trial.claim(worker, "q", ["t"], 60)]
        )


def test_a_request_to_cancel_races_the_ending(trial: Trial) -> None:
    worker = trial.add_worker()
    for _ in range(ROUNDS):
        job = trial.start(worker)
        verdict = judging.succeeded(job, new_id(), worker, "1")
        asked, ((settled),) = trial.together(trial.store.ask_cancel([job.id]), trial.store.settle([verdict]))
        row = trial.row(job.id)
        assert (asked, settled.answer, row.state) in [
            (0, Answer.ACCEPTED, State.SUCCEEDED),
            (1, Answer.CANCELLED, State.CANCELLED),
        ]


def test_a_cancel_races_the_claim(trial: Trial) -> None:
    worker = trial.add_worker()
    for _ in range(ROUNDS):
        job_id = trial.add()
        verdict = judging.ended_by_request(trial.row(job_id), new_id(), Reason.CANCELLED)
        claimed, ((settled),) = trial.together(
            trial.store.claim(worker, "q", ["t"], 1), trial.store.settle([verdict])
        )
        state = trial.row(job_id).state
        assert (len(claimed), settled.answer, state) in [
            (0, Answer.ACCEPTED, State.CANCELLED),
            (1, Answer.REFUSED, State.RUNNING),
        ]
        trial.settle([judging.succeeded(job, new_id(), worker, None) for job in claimed])


def test_a_renewal_races_the_declaration_that_the_lease_is_over(trial: Trial) -> None:
    for _ in range(ROUNDS):
        worker = trial.add_worker()
        job = trial.start(worker)
        trial.elapse(LEASE + SECOND)
        renewed, ended = trial.together(trial.store.renew([worker], LEASE), trial.store.end_lapsed())
        row = trial.worker(worker)
        if worker in renewed.alive and ended == []:
            assert row.ended_at is None
            assert trial.orphans(10) == []
        else:
            assert [each.id for each in ended] == [worker]
            assert renewed.alive == frozenset()
            assert row.ended_at is not None
            assert [each for each, _ in trial.orphans(10)] == [job]
        trial.end_worker(worker, "over")
        trial.end(rescuing.crashed(job, new_id(), worker, {}))


def test_a_worker_declared_over_by_many_is_ended_by_one(trial: Trial) -> None:
    workers = [trial.add_worker() for _ in range(5)]
    trial.elapse(LEASE + SECOND)
    ended = trial.together(*(trial.store.end_lapsed() for _ in range(4)))
    assert sorted(worker.id for answer in ended for worker in answer) == workers


def test_one_id_inserted_by_many_is_created_once(trial: Trial) -> None:
    for _ in range(ROUNDS):
        job = new_job()
        inserted = trial.together(*(trial.store.insert([job]) for _ in range(4)))
        assert sorted(answer[0].created for answer in inserted) == [False, False, False, True]


def test_one_id_inserted_with_two_meanings_is_refused_to_one(trial: Trial) -> None:
    for _ in range(ROUNDS):
        job = new_job()
        other = new_job(id=job.id, args="{}")
        beside = [new_job(), new_job()]
        outcomes = trial.together(
            trial.store.insert([job, beside[0]]), trial.store.insert([beside[1], other])
        )
        refused = [isinstance(outcome, IdConflict) for outcome in outcomes]
        assert sorted(refused) == [False, True]
        assert trial.row(job.id).args == (job.args, other.args)[refused.index(False)]
        assert [trial.get(each.id) is None for each in beside] == refused


def test_many_jobs_inserted_by_two_in_opposite_order_are_created_once(trial: Trial) -> None:
    jobs = [new_job() for _ in range(100)]
    one, other = trial.together(trial.store.insert(jobs), trial.store.insert(list(reversed(jobs))))
    assert [each.id for each in one] == [job.id for job in jobs]
    created = Counter(each.id for each in (*one, *other) if each == Inserted(each.id, created=True))
    assert created == Counter(job.id for job in jobs)


def test_after_a_pause_is_committed_nothing_is_claimed(trial: Trial) -> None:
    worker = trial.add_worker()
    for _ in range(ROUNDS):
        trial.insert([new_job() for _ in range(3)])
        claimed, info = trial.together(
            trial.store.claim(worker, "q", ["t"], 2), trial.store.set_queue("q", paused=True)
        )
        assert len(claimed) in (0, 2)
        assert info.paused_at is not None
        assert trial.claim(worker, "q", ["t"], 5) == []
        trial.set_queue("q", paused=False)
        rest = trial.claim(worker, "q", ["t"], 5)
        assert len(claimed) + len(rest) == 3
        trial.settle([judging.succeeded(job, new_id(), worker, None) for job in (*claimed, *rest)])


def test_after_a_drain_is_committed_the_worker_claims_nothing(trial: Trial) -> None:
    for _ in range(ROUNDS):
        worker = trial.add_worker()
        trial.insert([new_job() for _ in range(2)])
        claimed, drained = trial.together(trial.store.claim(worker, "q", ["t"], 1), trial.store.drain(worker))
        assert drained is True
        assert len(claimed) in (0, 1)
        assert trial.claim(worker, "q", ["t"], 5) == []
        heir = trial.add_worker()
        rest = trial.claim(heir, "q", ["t"], 5)
        assert len(claimed) + len(rest) == 2
        trial.settle([judging.succeeded(job, new_id(), heir, None) for job in (*claimed, *rest)])


def test_two_promotions_at_once_promote_each_job_once(trial: Trial) -> None:
    trial.insert([new_job(delay_us=SECOND) for _ in range(60)])
    trial.elapse(SECOND * 60)
    promoted = 0
    for _ in range(20):
        promoted += sum(answer[""] for answer in trial.together(*(trial.store.promote(20) for _ in range(3))))
        if promoted >= 60:
            break
    assert promoted == 60
    assert trial.queues()[0].counts == {State.READY: 60}


def test_two_prunings_at_once_count_each_job_once(trial: Trial) -> None:
    worker = trial.add_worker()
    trial.insert([new_job(policy=Policy(keep_succeeded_us=0)) for _ in range(40)])
    jobs = trial.claim(worker, "q", ["t"], 40)
    trial.settle([judging.succeeded(job, new_id(), worker, None) for job in jobs])
    trial.elapse(SECOND)
    gone = 0
    for _ in range(20):
        gone += sum(trial.together(*(trial.store.prune(15) for _ in range(3))))
        if gone >= 40:
            break
    assert gone == 40
    assert trial.queues() == []


def test_two_sweeps_keep_one_notice(trial: Trial) -> None:
    finding = Finding(Kind.NO_WORKER, "q", "nobody")
    for _ in range(ROUNDS):
        kept = trial.together(*(trial.store.keep_notices([finding], [Kind.NO_WORKER]) for _ in range(3)))
        assert all(went == [] for _, went in kept)
        assert len(trial.notices()) == 1
        dropped = trial.together(*(trial.store.keep_notices([], [Kind.NO_WORKER]) for _ in range(3)))
        assert sum(len(went) for _, went in dropped) == 1
        assert trial.notices() == []


def test_a_revival_at_once_by_two_opens_one_generation(trial: Trial) -> None:
    worker = trial.add_worker()
    for _ in range(ROUNDS):
        job = trial.start(worker)
        trial.end(judging.succeeded(job, new_id(), worker, None))
        revived = trial.together(*(trial.store.revive([job.id]) for _ in range(3)))
        assert sorted(revived) == [[], [], [job.id]]
        assert trial.row(job.id).generation == 2
        trial.end(judging.succeeded(trial.take(worker), new_id(), worker, None))
