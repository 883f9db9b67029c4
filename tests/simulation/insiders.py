"""Handlers that end inside a transaction of their own: `ctx.settling(tx=…)` over a wire of their process.

What such a handler does to the world is one line in the log of its job (`EFFECT`), written by the same
transaction as its ending; so whoever reads that line knows that the attempt has succeeded, and nobody else's
ever has one. The production `Settling` runs, over a transaction whose every message is the weather's. A
handler waits for its store like any client, but not for ever.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.simulation.lane import Wire
from tests.simulation.loop import Process
from unstuck.engine.context import Context
from unstuck.storage.plan import Mode, Plan, run_inside_async

if TYPE_CHECKING:
    from tests.simulation.world import World

PATIENCE = 6.0
"""Seconds that a handler gives its transaction."""
EFFECT = "effect"
EFFECT_NUMBER = 10_000
"""The place of that line among those of the attempt; those it says itself count from 1."""


class JoinedWire:
    """A transaction that a handler has opened, as `Settling` sees it."""

    def __init__(self, wire: Wire):
        self._wire = wire

    async def aprove(self) -> None:
        """It reaches its store: there is no other."""

    async def arun(self, plan: Plan[Any]) -> Any:
        return await run_inside_async(self._wire, plan)


class Application:
    """What `Settling` wants of the application's client."""

    def __init__(self, world: World, process: Process, tasks: Any):
        self.store = world.server_store
        self.draw = world.ids(f"settling of {process}")
        self.tasks = tasks

    def join(self, tx: Wire) -> JoinedWire:
        """The transaction that this wire stands in."""
        return JoinedWire(tx)

    def settle_inside(self, context: Context, tx: Wire, result: Any) -> Any:
        """What `ctx.settling` returns."""
        from unstuck.app.settling import Settling  # the application is above the engine

        return Settling(self, context, tx, result)  # type: ignore[arg-type]


async def settle_inside(
    world: World, process: Process, context: Context, result: Any, seconds: float
) -> None:
    """One effect and the ending of this attempt, all or none; `seconds` go by between the two."""
    effect: tuple[UUID, int, int, str] = (context.id, context.fence, EFFECT_NUMBER, EFFECT)
    wire = world.server.wire(process)
    wire.name = "settling"
    try:
        async with asyncio.timeout(PATIENCE):
            await wire.begin(Mode.TRANSACTION)
            async with context.settling(tx=wire, result=result):
                await run_inside_async(wire, world.server_store.write_logs([effect]))
                await asyncio.sleep(seconds)
                world.auditor.settling(context.id, context.fence)
            await wire.commit(Mode.TRANSACTION)
    finally:
        wire.sever()


def effects(world: World, job_id: UUID) -> set[int]:
    """The fences under which this job has had its effect."""
    lines = world.ground.read(world.server_store.logs(job_id))
    return {line.fence for line in lines if line.text == EFFECT}
