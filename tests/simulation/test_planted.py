"""The simulator bites: bugs that such systems really had are planted, and some seed must catch each.

A simulator that finds nothing proves nothing. Each bug here is one careless line; the check that must
speak up is named, so that a seed that fails for another reason does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.simulation import clients
from tests.simulation.story import lived
from tests.simulation.world import Scenario
from unstuck.app.grouping import Group
from unstuck.app.settling import Settling
from unstuck.engine.reconciling import Reconciling
from unstuck.model.moments import moment
from unstuck.model.states import State
from unstuck.model.verdict import Answer, Counts, Settled, Verdict
from unstuck.rules import judging
from unstuck.rules.steadying import Steadiness
from unstuck.storage.memory import jobs as living
from unstuck.storage.memory import workers as owners
from unstuck.storage.memory.tables import MemoryTables, claimed
from unstuck.storage.plan import Plan

SEEDS = range(120)
SETTLING_SEEDS = 20
Plant = Callable[[pytest.MonkeyPatch], None]


def fence_guard_dropped(patch: pytest.MonkeyPatch) -> None:
    """Settle asks only whether the job is running, not under which fence."""
    real = living._settle_one

    def careless(tables: MemoryTables, verdict: Verdict, now_us: int) -> Answer:
        job = tables.jobs.get(verdict.job_id)
        if job is not None and job.state is State.RUNNING:
            verdict = verdict._replace(fence=job.fence)
        return real(tables, verdict, now_us)

    patch.setattr(living, "_settle_one", careless)


def verdict_id_ignored(patch: pytest.MonkeyPatch) -> None:
    """An ending whose answer was lost is refused when it is repeated."""
    real = living._settle_one

    def careless(tables: MemoryTables, verdict: Verdict, now_us: int) -> Answer:
        answer = real(tables, verdict, now_us)
        return Answer.REFUSED if answer is Answer.ALREADY else answer

    patch.setattr(living, "_settle_one", careless)


def reconciling_while_a_claim_is_in_flight(patch: pytest.MonkeyPatch) -> None:
    """What is owned is compared with what is known although claims come and go meanwhile."""

    async def careless(self: Reconciling) -> float:
        shift = self._shift
        known = shift.holds()
        owned = await shift.settle_lane.run(shift.store.owned(shift.id), shift.settings.deadline)
        for job in owned:
            if (job.id, job.fence) not in known:
                verdict = judging.handed_back(job, shift.env.new_id(), shift.id, started=False)
                shift.deliver(verdict)
        return 0.3

    patch.setattr(Reconciling, "round", careless)


def leases_compared_instead_of_ends(patch: pytest.MonkeyPatch) -> None:
    """Jobs are taken from workers whose lease is over, ended or not."""

    def careless(tables: MemoryTables, limit: int, include_missing: bool) -> Sequence[Any]:
        now = moment(tables.clock())
        return [
            (claimed(job), owners.as_read(tables, worker))
            for job in tables.jobs.values()
            if job.state is State.RUNNING
            and (worker := tables.workers.get(job.worker_id)) is not None  # type: ignore[arg-type]
            and worker.lease_until is not None
            and worker.lease_until < now
        ][:limit]

    patch.setattr(owners, "orphans", careless)


def steadiness_skipped(patch: pytest.MonkeyPatch) -> None:
    """A sweeper that wakes up after a stall believes the first thing it sees."""
    patch.setattr(Steadiness, "is_steady", lambda self, own: self._last is not None)


def attempt_counted_at_hand_back(patch: pytest.MonkeyPatch) -> None:
    """A stop of the worker costs the job a try."""
    real = judging.handed_back

    def careless(*args: Any, **options: Any) -> Verdict:
        return real(*args, **options)._replace(counts=Counts(failures=1, handbacks=1))

    patch.setattr(judging, "handed_back", careless)


def answers_of_a_group_mixed_up(patch: pytest.MonkeyPatch) -> None:
    """Whoever shares a commit hears what became of somebody else's job."""
    real = Group._carry

    async def careless(self: Group, group: Sequence[Any]) -> None:
        together = self._together

        async def turned(jobs: Sequence[Any]) -> Sequence[Any]:
            return list(reversed(await together(jobs)))

        self._together = turned
        try:
            await real(self, group)
        finally:
            self._together = together

    patch.setattr(Group, "_carry", careless)


def answer_believed_without_the_store(patch: pytest.MonkeyPatch) -> None:
    """The store says that an ending was recorded where it only read the row."""
    real = living.settle

    def careless(tables: MemoryTables, verdicts: Sequence[Verdict]) -> list[Settled]:
        return [each._replace(answer=Answer.ACCEPTED) for each in real(tables, verdicts)]

    patch.setattr(living, "settle", careless)


PLANTED: list[tuple[Plant, set[str]]] = [
    (
        fence_guard_dropped,
        {"an ending is its own attempt's", "counts have a reason", "what runs is not given away"},
    ),
    (verdict_id_ignored, {"honest answers"}),
    (
        reconciling_while_a_claim_is_in_flight,
        {"what runs is not given away", "only the owner starts", "checker H8"},
    ),
    (leases_compared_instead_of_ends, {"losses have a lost worker"}),
    (steadiness_skipped, {"the healthy are not lost"}),
    (attempt_counted_at_hand_back, {"one count rises", "counts have a reason"}),
    (answer_believed_without_the_store, {"honest answers"}),
    (answers_of_a_group_mixed_up, {"an id means one job", "created once"}),
]


def test_an_ending_inside_that_the_worker_does_not_know_again_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Settling._verdict

    def careless(self: Settling) -> Verdict:
        return real(self)._replace(id=self._client.draw())

    monkeypatch.setattr(Settling, "_verdict", careless)
    for seed in range(SETTLING_SEEDS):
        found = {finding.check for finding in lived(Scenario(seed, "sqlite")).findings}
        if found:
            assert found & {"a healthy owner is not refused", "one verdict per ending"}
            return
    pytest.fail("Nobody noticed.", pytrace=False)


def test_a_job_of_a_transaction_that_was_undone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = clients.joined

    def careless(plan: Plan[Any], *, undo: bool = False) -> Plan[Any]:
        return real(plan)

    monkeypatch.setattr(clients, "joined", careless)
    for seed in range(20):
        found = {finding.check for finding in lived(Scenario(seed, "sqlite")).findings}
        if found:
            assert found == {"nothing from nowhere"}
            return
    pytest.fail("Nobody noticed.", pytrace=False)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("plant", "checks"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_bug_is_caught(plant: Plant, checks: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in SEEDS:
        found = {finding.check for finding in lived(Scenario(seed)).findings}
        if found & checks:
            return
        assert not found, f"seed {seed} was caught by another check: {found}"
    pytest.fail(f"{plant.__doc__} Nobody noticed in {len(SEEDS)} seeds.", pytrace=False)
