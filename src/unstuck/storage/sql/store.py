"""The promises in SQL, for every engine that speaks it; see `storage.protocol.Store` for the prose.

The rooms beside this file hold the plans: `jobs`, `settling`, `workers`, `chores`, `operating`, `surveying`,
`pulsing`, `reading`. Nothing is decided here, and nothing here knows an engine: a plan names blocks, and the
connection that runs it spells them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unstuck.storage import event_log
from unstuck.storage.plan import Plan
from unstuck.storage.protocol import USUAL_LIMITS, Holder, HolderLimits, Size
from unstuck.storage.sql import (
    auditing,
    chores,
    facts,
    inspecting,
    jobs,
    operating,
    pulsing,
    reading,
    settling,
    situating,
    surveying,
)
from unstuck.storage.sql import workers as owners


class SqlStore:
    """What a keeper promises, in SQL. `judge` turns the engine's facts into what looks wrong."""

    insert = staticmethod(jobs.insert)
    insert_each = staticmethod(jobs.insert_each)
    claim = staticmethod(jobs.claim)
    reach = staticmethod(jobs.reach)
    settle = staticmethod(settling.settle)
    write_progress = staticmethod(jobs.write_progress)
    write_logs = staticmethod(jobs.write_logs)

    look = staticmethod(owners.look)
    promote = staticmethod(chores.promote)
    expired = staticmethod(chores.expired)

    register = staticmethod(owners.register)
    renew = staticmethod(owners.renew)
    end_worker = staticmethod(owners.end_worker)
    end_lapsed = staticmethod(owners.end_lapsed)
    drain = staticmethod(owners.drain)
    mark_stalled = staticmethod(owners.mark_stalled)
    workers = staticmethod(owners.workers)
    owned = staticmethod(owners.owned)
    orphans = staticmethod(owners.orphans)

    survey = staticmethod(surveying.survey)
    unhandled = staticmethod(surveying.unhandled)
    waiting_unhandled = staticmethod(surveying.waiting_unhandled)
    park = staticmethod(chores.park)
    wake = staticmethod(chores.wake)
    keep_notices = staticmethod(surveying.keep_notices)
    notices = staticmethod(surveying.notices)
    knowing = staticmethod(surveying.knowing)
    lagging = staticmethod(surveying.lagging)
    prune = staticmethod(chores.prune)

    ask_cancel = staticmethod(operating.ask_cancel)
    revive = staticmethod(operating.revive)
    forget = staticmethod(operating.forget)
    set_priority = staticmethod(operating.set_priority)
    set_queue = staticmethod(operating.set_queue)
    audited = staticmethod(auditing.audited)
    audit = staticmethod(auditing.audit)

    pulse = staticmethod(pulsing.pulse)

    get = staticmethod(reading.get)
    situation = staticmethod(situating.situation)
    find = staticmethod(reading.find)
    tally = staticmethod(reading.tally)
    attempts = staticmethod(reading.attempts)
    logs = staticmethod(reading.logs)
    queues = staticmethod(reading.queues)
    events = staticmethod(event_log.events)
    meta = staticmethod(reading.meta)
    inspect = staticmethod(inspecting.inspect)
    offenders = staticmethod(inspecting.offenders)

    def __init__(self, engine: str, prefix: str):
        self.engine = engine
        self._prefix = prefix

    def check(self) -> Plan[dict[str, Any]]:
        """Engine facts, and what looks wrong among them."""
        return facts.check(self.engine, self._prefix, self.judge)

    def holders(self, limits: HolderLimits = USUAL_LIMITS) -> Plan[list[Holder]]:
        """Who holds back the cleaning of the store."""
        return facts.holders(limits)

    def lacking(self) -> Plan[list[str]]:
        """Indexes and constraints that ought to be there."""
        return facts.lacking(self.engine, self._prefix)

    def sizes(self) -> Plan[list[Size]]:
        """How large the tables are."""
        return facts.sizes(self._prefix)

    def integrity(self) -> Plan[list[str]]:
        """What is wrong with the pages."""
        return facts.integrity()

    def judge(self, facts: Mapping[str, str]) -> list[str]:
        """What looks wrong, one sentence each."""
        return []
