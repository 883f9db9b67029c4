"""What the store stands on: schema, settings, clock, pooler, indexes, sizes, and who holds back its cleaning.

These are what breaks systems in practice while every row is as it should be. Facts that are nobody's fault
(a pooler in transaction mode, say) are told and are fine.
"""

from __future__ import annotations

from typing import Any

from unstuck.doctor.finding import Ailment, Check, Status, judged
from unstuck.doctor.looking import Looking
from unstuck.rules.noticing import holder_finding


async def look_at_settings(looking: Looking, facts: dict[str, Any]) -> Check:
    """Durability weaker than the default, and whatever else a setting can spoil."""
    began = looking.clock()
    said = await looking.ask(looking.store.check())
    facts |= said
    wrong = facts.pop("wrong", [])
    engine = looking.keeper.engine
    found = [Ailment("store", engine, str(sentence), name="durability") for sentence in wrong]
    return judged("durability", found, looking.clock() - began)


async def look_at_clock(looking: Looking, facts: dict[str, Any]) -> Check:
    """How far the clocks of this process and of the workers are from the store's.

    Nothing in the store is judged by them, but a moment given by a client (`at=`) is, and people read logs.
    """
    began = looking.clock()
    before = looking.wall()
    said = await looking.ask(looking.store.meta())
    after = looking.wall()
    # The answer was made somewhere between the question and its arrival: only what lies outside is a difference.
    store = int(said["now_us"]) / 1_000_000
    off = store - after if store > after else store - before if store < before else 0.0
    facts["clock_off_seconds"] = round(off, 3)
    found: list[Ailment] = []
    if abs(off) > looking.limits.clock:
        found.append(
            Ailment("clock", "here", f"the store's clock is {_off(off)} this machine's", name="clock")
        )
    for worker in (await looking.survey()).workers:
        theirs = worker.report.get("clock_off", 0.0)
        if isinstance(theirs, int | float) and abs(theirs) > looking.limits.clock:
            where = f"worker {worker.id} (pid {worker.pid} on {worker.host})"
            sentence = f"the store's clock is {_off(theirs)} that of {where}"
            found.append(Ailment("clock", str(worker.id), sentence, name="clock"))
    return judged("clock", found, looking.clock() - began)


async def look_at_structure(looking: Looking) -> Check:
    """Indexes and constraints that the schema has by its steps and the store has not."""
    began = looking.clock()
    found = [
        Ailment("schema", name, f"the {what} is missing, or the store does not rely on it", name="indexes")
        for what in await looking.ask(looking.store.lacking())
        for name in [what.split()[-1]]
    ]
    return judged("indexes", found, looking.clock() - began)


async def look_at_holders(looking: Looking) -> Check:
    """Old snapshots, forgotten prepared transactions, replication slots, readers that stop a checkpoint."""
    began = looking.clock()
    findings = [
        holder_finding(holder.kind, holder.who, holder.seconds, holder.bytes)
        for holder in await looking.ask(looking.store.holders(looking.limits.holders))
    ]
    found = [Ailment("snapshot", one.subject, one.sentence, name="snapshots") for one in findings]
    return judged("snapshots", found, looking.clock() - began)


async def look_at_sizes(looking: Looking, facts: dict[str, Any]) -> Check:
    """Tables of which more is dead than alive, and that nobody has vacuumed lately."""
    began, limits = looking.clock(), looking.limits
    sizes = await looking.ask(looking.store.sizes())
    facts["tables"] = {
        size.table: {"bytes": size.bytes, "live": size.live, "dead": size.dead} for size in sizes
    }
    found = [
        Ailment(
            "table",
            size.table,
            f"{size.table} has {size.dead:,} dead rows beside {size.live or 0:,} living ones and was not vacuumed for {age:,} s",
            name="tables",
        )
        for size in sizes
        for age in [size.vacuumed_seconds or 0]
        if size.dead is not None
        and size.dead > max(limits.dead_rows, size.live or 0)
        and age >= limits.unvacuumed
    ]
    return judged("tables", found, looking.clock() - began)


async def look_at_pages(looking: Looking) -> Check:
    """What the engine itself says of its pages."""
    began = looking.clock()
    found = [
        Ailment("store", "", f"the file is damaged: {sentence}", name="integrity")
        for sentence in await looking.ask(looking.store.integrity())
    ]
    return judged("integrity", found, looking.clock() - began)


async def look_at_route(looking: Looking, facts: dict[str, Any]) -> Check:
    """Whether a pooler stands between, and in which mode: a fact, and fine."""
    began = looking.clock()
    facts["route"] = route = await looking.route()
    return Check("pooler", Status.OK, route, seconds=looking.clock() - began)


def _off(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'}"
