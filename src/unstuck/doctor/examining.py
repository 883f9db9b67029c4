"""The examination: every check once, in order, within half a minute, whatever the store holds.

Cheap questions come first and the walks through tables last, so that what is most often wrong is known even
where a walk has to be broken off. A check that fails (a row that cannot be read, say) is wrong and says so; it
does not take the others with it. A store that does not answer at all is a finding too, and the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from unstuck.app.explaining import claiming
from unstuck.doctor import recovering, rows, serving, standing
from unstuck.doctor.finding import Ailment, Check, Diagnosis, Status
from unstuck.doctor.looking import Limits, Looking, OutOfTime
from unstuck.model.audit import Repair
from unstuck.model.errors import StoreCorrupt, StoreError, StoreUnavailable
from unstuck.model.invariant import SCANS
from unstuck.model.moments import moment
from unstuck.storage.opening import Keeper

One = Callable[[], Awaitable[Check]]
Repairs = Callable[[Looking], Awaitable[list[Repair]]]


def diagnose(keeper: Keeper, limits: Limits | None = None, repair: Repairs | None = None) -> Diagnosis:
    """Examine the store, blocking; where `repair` is given, heal first and then examine.

    The schema is looked at before anything else; where it does not fit nothing else is asked.
    """
    try:
        stands = keeper.migrator.status()
    except (StoreUnavailable, StoreCorrupt) as error:
        return Diagnosis([_unanswered(keeper, error)])
    if not stands.is_current:
        ailment = Ailment("schema", stands.state, stands.sentence, name="schema")
        return Diagnosis([Check("schema", Status.WRONG, stands.sentence, 1, ailments=(ailment,))])
    schema = Check("schema", Status.OK, stands.sentence)
    found = asyncio.run(_examine(keeper, limits or Limits(), repair))
    return Diagnosis([schema, *found.checks], found.facts, found.repairs)


async def _examine(keeper: Keeper, limits: Limits, repair: Repairs | None) -> Diagnosis:
    lane = keeper.lane("doctor")
    try:
        repairs = await repair(Looking(keeper, lane, limits)) if repair else []
        return replace(await examine(Looking(keeper, lane, limits)), repairs=repairs)
    except (OutOfTime, StoreUnavailable, StoreCorrupt) as error:
        return Diagnosis([_unanswered(keeper, error)])
    finally:
        await lane.aclose()


async def examine(looking: Looking) -> Diagnosis:
    """All checks but that of the schema."""
    facts: dict[str, Any] = {}
    checks: list[Check] = []
    end = looking.clock() + looking.limits.whole

    async def do(name: str, look: One, seconds: float) -> Check:
        began = looking.clock()
        looking.until = min(began + seconds, end)
        try:
            check = await look()
        except OutOfTime:
            took = looking.clock() - began
            check = Check(name, Status.UNFINISHED, f"did not finish in {took:.0f} s", seconds=took)
        except (StoreUnavailable, StoreCorrupt):
            raise
        except Exception as error:
            sentence = f"cannot be judged: {type(error).__name__}: {error}"
            check = Check(
                name, Status.WRONG, sentence, 1, ailments=(Ailment("check", "", sentence, name=name),)
            )
        checks.append(check)
        return check

    ordinary: list[tuple[str, One]] = [
        ("durability", lambda: standing.look_at_settings(looking, facts)),
        ("pooler", lambda: standing.look_at_route(looking, facts)),
        ("clock", lambda: standing.look_at_clock(looking, facts)),
        ("indexes", lambda: standing.look_at_structure(looking)),
        ("snapshots", lambda: standing.look_at_holders(looking)),
        ("tables", lambda: standing.look_at_sizes(looking, facts)),
        ("queues", lambda: serving.look_at_queues(looking)),
        ("tasks", lambda: serving.look_at_tasks(looking)),
        ("stalled", lambda: serving.look_at_children(looking)),
        ("loops", lambda: serving.look_at_loops(looking)),
        ("notices", lambda: serving.look_at_notices(looking, _told(checks))),
        ("orphans", lambda: recovering.look_at_orphans(looking)),
    ]
    try:
        for name, look in ordinary:
            await do(name, look, looking.limits.check)
        told = _told(checks)
        for scan in SCANS:
            looking.until = min(looking.clock() + looking.limits.scan, end)
            try:
                checks += await rows.look_at_rows(looking, scan, told)
            except (StoreUnavailable, StoreCorrupt):
                raise
            except StoreError as error:
                sentence = f"cannot be judged: {error}"
                checks.append(Check(f"invariants.{scan}", Status.WRONG, sentence, 1))
        await do("integrity", lambda: standing.look_at_pages(looking), looking.limits.scan)
        survey = await looking.survey()
        facts["workers"] = len(claiming(survey))
        facts["now"] = moment(survey.now_us).isoformat()
        facts["recovery_bound_seconds"] = (await looking.bounds()).bound_us / 1_000_000
    except OutOfTime:
        checks.append(Check("survey", Status.UNFINISHED, "workers and queues could not be read in time"))
    except (StoreUnavailable, StoreCorrupt) as error:
        checks.append(_unanswered(looking.keeper, error))
    return Diagnosis(checks, facts)


def _told(checks: list[Check]) -> frozenset[str]:
    return frozenset(id for check in checks for id in check.ids)


def _unanswered(keeper: Keeper, error: Exception) -> Check:
    text = str(error) or "the store did not answer in time"
    ailment = Ailment("store", keeper.engine, text, name="store")
    return Check("store", Status.WRONG, text, 1, ailments=(ailment,))
