"""What a world leaves behind, in the words of the history checker: a second mind beside the auditor.

A share of the worlds keeps the product's event log. When such a world is over and the auditor is content,
the checker (`tests/checker`, which shares code with neither) reads that log, what the clients asked for, what
the handlers witnessed and the rows at the end. What it finds, the auditor has missed: that is a finding too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.checker.checking import checked
from tests.recording import events_of, snapshot_of
from tests.simulation.seen import Finding

if TYPE_CHECKING:
    from tests.checker.book import Book
    from tests.simulation.world import World

Line = dict[str, Any]

RETURNS = ("return", "hang")
"""Drawn endings after which the handler has returned; one that hangs returns only if it does not listen."""


def judged(world: World) -> Book:
    """The checker's book about a world that is over."""
    auditor, now_us = world.auditor, world.now_us()
    bound = world.settings.lease + world.settings.recovery_bound
    # The bound counts from when somebody healthy could look; a world may be over before it has passed.
    unhealthy = world.weather.over_at if world.loop.now - world.weather.over_at < bound else 0.0
    run = {
        "now_us": now_us,
        "bound_us": int((bound + unhealthy) * 1_000_000),
        "slack_us": int(world.settings.lease * 1_000_000),
        "has_steady_clock": world.ground.tells_time and not auditor.troubles.steps,
        "is_over": not auditor.unfinished(),
        "is_witnessed": True,
    }
    snapshot = snapshot_of(world.ground.read, world.ground.store)
    return checked(
        events_of(world.ground.read, world.ground.store), clients(world), witness(world), snapshot, run
    )


def disagreements(world: World) -> list[Finding]:
    """What the checker finds in a world that the auditor let pass."""
    known = {str(record): record for record in world.names}
    return [
        Finding(f"checker {found.check}", found.sentence, world.loop.now, known.get(found.record))
        for found in judged(world).findings
    ]


def clients(world: World) -> Iterator[Line]:
    """What clients asked for, and what they were told."""
    for number, (new, is_acknowledged) in enumerate(world.auditor.requests()):
        follow = str(new.then[0].id) if new.then else None
        line = {"call": number, "kind": "enqueue", "jobs": [{"id": str(new.id), "then": follow}]}
        yield {**line, "what": "invoke"}
        if is_acknowledged:
            yield {**line, "what": "ok"}


def witness(world: World) -> Iterator[Line]:
    """What handlers saw."""
    for job_id, attempt in world.auditor.attempts():
        word = {"job": str(job_id), "fence": attempt.fence}
        yield {**word, "what": "start", "at": attempt.started_at}
        # Who has settled itself is through with its work, whatever it heard of that.
        is_done = attempt.settling_at is not None and (job_id, attempt.fence) in world.auditor.seen.succeeded
        ended_at = attempt.settling_at if is_done else attempt.ended_at
        if ended_at is not None:
            how = "returned" if is_done or attempt.ending in RETURNS else attempt.ending
            yield {**word, "what": "end", "at": ended_at, "how": how}
