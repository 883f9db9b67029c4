"""Killing on purpose: SIGKILL for a child, and for a supervisor with all its children, while they work.

A kill that hits nobody at work shows nothing, so the victim is first frozen with SIGSTOP; only if the
store says that it owns attempts, and the witness that some of these have started, does SIGKILL follow,
else it goes on and the caller tries again. Only processes are touched that a supervisor of ours started:
the pid comes from the worker's row, its parent from the system.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from unstuck.demo.counting import AttemptKey, Kill
from unstuck.demo.running import GONE_SECONDS, Supervisor, glance
from unstuck.demo.witness import Witness
from unstuck.engine.env import boottime
from unstuck.model.worker import Worker
from unstuck.storage.opening import Keeper


def row_of(supervisor: Supervisor, workers: Sequence[Worker]) -> Worker | None:
    """The living row of a supervisor."""
    rows = (one for one in workers if one.pid == supervisor.pid and one.kind == "supervisor")
    return next((one for one in rows if one.ended_at is None), None)


def children_of(supervisor: Supervisor, workers: Sequence[Worker]) -> list[Worker]:
    """The living children of a supervisor, as rows, each one confirmed by the system."""
    row = row_of(supervisor, workers)
    if row is None:
        return []
    rows = [one for one in workers if one.supervisor_id == row.id and one.ended_at is None]
    seen = {one.id: glance(one.pid) for one in rows}
    return [one for one in rows if (at := seen[one.id]) and at.is_running and at.parent == supervisor.pid]


def kill_child(
    crew: Sequence[Supervisor], workers: Sequence[Worker], keeper: Keeper, witness: Witness, must_hit: bool
) -> Kill | None:
    """Kill the busiest child; None where none was at work and `must_hit`."""
    children = [child for supervisor in crew for child in children_of(supervisor, workers)]
    if not children:
        return None
    victim = max(children, key=lambda child: child.running)
    _signal([victim], signal.SIGSTOP)
    goes_on = True
    try:
        owned, is_at_work = _caught([victim], keeper, witness)
        if must_hit and not is_at_work:
            return None
        moment = boottime()
        os.kill(victim.pid, signal.SIGKILL)
        goes_on = False
    finally:
        if goes_on:
            _signal([victim], signal.SIGCONT)
    return Kill("child", victim.pid, moment, frozenset({victim.id}), owned)


def kill_supervisor(
    crew: Sequence[Supervisor],
    workers: Sequence[Worker],
    keeper: Keeper,
    witness: Witness,
    must_hit: bool,
) -> Kill | None:
    """Kill the supervisor with the busiest children, who must go with it; None as in `kill_child`."""
    teams = [(one, children_of(one, workers)) for one in crew]
    victim, children = max(teams, key=lambda team: sum(child.running for child in team[1]))
    _signal(children, signal.SIGSTOP)
    try:
        owned, is_at_work = _caught(children, keeper, witness)
        if must_hit and not is_at_work:
            return None
        moment = boottime()
        victim.was_killed = True
        victim.process.kill()
        victim.process.wait()
        _await_gone([child.pid for child in children], victim)
    finally:
        if not victim.was_killed:
            _signal(children, signal.SIGCONT)
    ids = frozenset(child.id for child in children)
    return Kill("supervisor", victim.pid, moment, ids, owned)


def _signal(children: Sequence[Worker], number: signal.Signals) -> None:
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child.pid, number)


def _caught(
    children: Sequence[Worker], keeper: Keeper, witness: Witness
) -> tuple[frozenset[AttemptKey], bool]:
    """What frozen children own, and whether any of it has started."""
    owned: set[AttemptKey] = set()
    for child in children:
        owned |= {(job.id, job.fence) for job in keeper.run(keeper.store.owned(child.id))}
    started: set[tuple[UUID, int]] = {start.attempt for start in witness.read()}
    return frozenset(owned), bool(owned & started)


def _await_gone(pids: Sequence[int], victim: Supervisor) -> None:
    """Wait until children have followed their supervisor; whoever does not is ended with its group."""
    end = time.monotonic() + GONE_SECONDS
    second = time.monotonic() + 1.0
    while any((seen := glance(pid)) is not None and seen.is_running for pid in pids):
        now = time.monotonic()
        if now > second:
            # Where the kernel tells no child of its parent's death, a frozen one cannot read its pipe.
            victim.end_group()
        if now > end:
            return
        time.sleep(0.01)
