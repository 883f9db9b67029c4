"""Planted where workers live and are declared lost: rows, renewals, leases, steadiness, self-fencing."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

WORKERS = "conformance/test_workers.py"
STEADYING = "unit/rules/test_steadying.py"

MUTANTS = (
    Mutant(
        "renewal_resurrects",
        "storage/sql/common.sql",
        "WHERE w.id = v.worker_id AND w.ended_at IS NULL\nRETURNING id, {now_us}",
        "WHERE w.id = v.worker_id\nRETURNING id, {now_us}",
        "A worker that was declared lost hears that it lives.",
        "A worker ends once, and for ever.",
        (f"{WORKERS}::test_only_workers_that_have_not_ended_are_renewed -k sqlite",),
    ),
    Mutant(
        "renewal_resurrects_in_memory",
        "storage/memory/workers.py",
        "        if worker is None or worker.ended_at is not None:\n            continue\n",
        "        if worker is None:\n            continue\n",
        "The same in memory.",
        "A worker ends once, and for ever.",
        (f"{WORKERS}::test_only_workers_that_have_not_ended_are_renewed -k memory", "seeds memory"),
    ),
    Mutant(
        "a_worker_ends_twice",
        "storage/sql/common.sql",
        "SET ended_at = {now}, reason = :reason\nWHERE w.id = :worker_id AND w.ended_at IS NULL\n",
        "SET ended_at = {now}, reason = :reason\nWHERE w.id = :worker_id\n",
        "Who ends a worker that has ended changes when and why it ended.",
        "A worker ends once, and for ever.",
        (f"{WORKERS}::test_a_worker_ends_once_and_for_ever -k sqlite",),
    ),
    Mutant(
        "leases_compared_instead_of_ends",
        "storage/sql/common.sql",
        "SELECT w.id FROM {workers} AS w WHERE w.ended_at IS NOT NULL {/among}\nORDER BY j.worker_id\nLIMIT",
        "SELECT w.id FROM {workers} AS w WHERE w.lease_until < {now} {/among}\nORDER BY j.worker_id\nLIMIT",
        "Orphans are the jobs of workers whose lease is over, ended or not.",
        "An orphan is a fact that never changes back.",
        ("conformance/test_orphans.py -k sqlite",),
    ),
    Mutant(
        "leases_compared_with_the_moment_of_arrival",
        "storage/sql/common.sql",
        "w.lease_until < {now} AND {micros w.lease_until} < CAST(:seen_us AS bigint)",
        "w.lease_until < {now}",
        "A statement that lay in a stalled store declares everybody lost when it is applied.",
        "The healthy are not lost.",
        (f"{WORKERS}::test_only_leases_that_were_over_when_the_caller_looked_are_ended -k sqlite",),
    ),
    Mutant(
        "steadiness_skipped",
        "engine/sweeping.py",
        "if any(_is_over(worker) for worker in survey.workers) and self._steadiness.is_steady(self._env.now()):",
        "if any(_is_over(worker) for worker in survey.workers):",
        "A sweeper that wakes up after a stall believes the first thing it sees.",
        "The healthy are not lost.",
        ("seeds memory",),
    ),
    Mutant(
        "a_stepped_clock_is_steady",
        "rules/steadying.py",
        "return gap > self.lease / 3 or gap < 0 or abs(drift_now) > limit or abs(drift_all) > limit",
        "return gap > self.lease / 3",
        "Steadiness looks at the pauses between answers, not at what the store's clock says in them.",
        "A clock that steps makes nobody lost.",
        (STEADYING,),
    ),
    Mutant(
        "safe_from_the_answer",
        "engine/renewing.py",
        "                page.renewed(sent, self._settings.lease)",
        "                page.renewed(self._env.now(), self._settings.lease)",
        "A worker believes itself safe from when the answer to its renewal came, not from when it was sent.",
        "Who is unsure of its lease begins nothing.",
        ("unit/engine/test_renewing.py", "seeds memory"),
    ),
    Mutant(
        "safe_for_the_whole_lease",
        "engine/page.py",
        "            self._floats[_SAFE_UNTIL] = sent_at + lease * 2 / 3\n",
        "            self._floats[_SAFE_UNTIL] = sent_at + lease\n",
        "A worker begins new work until the last moment of its lease.",
        "Who is unsure of its lease begins nothing.",
        ("unit/engine/test_renewing.py",),
    ),
    Mutant(
        "starts_without_a_lease",
        "engine/shift.py",
        "            and page.drain_level == 0\n            and self.env.now() < page.safe_until\n",
        "            and page.drain_level == 0\n",
        "A claimed job is started however long the lease has been over.",
        "Who is unsure of its lease begins nothing.",
        ("unit/engine/test_renewing.py", "seeds memory"),
    ),
    Mutant(
        "runs_on_without_a_lease",
        "engine/fencing.py",
        "        elif not (self._is_one_file and await self._is_stall()):",
        "        elif self._is_one_file and not await self._is_stall():",
        "Who has heard nothing for a lease lets its handlers run on, although others may run their jobs by now.",
        "No two at once.",
        ("unit/engine/test_fencing.py", "seeds memory"),
    ),
    Mutant(
        "a_lock_stops_everybody",
        "engine/fencing.py",
        "        elif not (self._is_one_file and await self._is_stall()):",
        "        else:",
        "On one file a lock held by somebody for a lease ends what runs everywhere.",
        "A lock that is held too long is a stall, not a partition.",
        ("unit/engine/test_fencing.py",),
    ),
    Mutant(
        "a_child_does_not_renew_itself",
        "engine/fencing.py",
        "        if age > lease / 2:\n",
        "        if age > 2 * lease:\n",
        "Whose supervisor stands still stops all that it runs, although the store answers.",
        "A frozen supervisor costs its children nothing.",
        ("unit/engine/test_fencing.py",),
    ),
    Mutant(
        "a_stop_goes_on_claiming",
        "engine/shift.py",
        "            not self.is_draining\n"
        "            and not self.is_quiet\n"
        "            and not page.is_lost\n"
        "            and page.drain_level == 0\n",
        "            not self.is_quiet\n            and not page.is_lost\n",
        "A worker that was told to stop starts what it still holds and claims more.",
        "Who leaves starts nothing.",
        ("seeds memory",),
    ),
    Mutant(
        "the_draining_claim",
        "storage/sql/common.sql",
        "w.id = :worker_id AND w.ended_at IS NULL AND w.draining_at IS NULL AND w.lease_until > {now}",
        "w.id = :worker_id AND w.ended_at IS NULL AND w.lease_until > {now}",
        "A claim does not ask whether its worker was told to leave.",
        "After a drain is committed the worker claims nothing.",
        ("conformance/test_claim.py::test_a_draining_worker_takes_nothing -k sqlite",),
    ),
)
