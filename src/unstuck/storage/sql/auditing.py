"""Repairs with their record: an ordinary operation and its audit entry in one transaction.

`audited` wraps any plan. Whatever the plan continues with is done in the same transaction, so a crash at
any point leaves both the change and its entry, or neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from unstuck.model.audit import AuditEntry, Repair
from unstuck.storage.plan import ContinueWith, Mode, Plan, Requests, Rows, Statement, planned
from unstuck.storage.sql import rows
from unstuck.storage.sql.library import block

R = TypeVar("R")

WRITE_AUDIT = block("write_audit")
AUDIT = block("audit")


def audited(plan: Plan[R], repairs: Callable[[R], Sequence[Repair]]) -> Plan[R]:
    """The plan, and in its transaction the entries of what it answered to have changed."""

    def start() -> Requests[R]:
        answer = yield from _wholly(plan)
        entries = [_row(repair) for repair in repairs(answer)]
        if entries:
            yield Statement(WRITE_AUDIT, rows=entries)
        return answer

    return Plan(f"audited_{plan.name}", Mode.TRANSACTION, start, plan.catches)


def _wholly(plan: Plan[R]) -> Requests[R]:
    while True:
        try:
            return (yield from plan.start())
        except ContinueWith as more:
            plan = more.plan


def _row(repair: Repair) -> dict[str, Any]:
    return {
        "entry_id": repair.id,
        "actor": repair.actor,
        "action": repair.action,
        "kind": repair.kind,
        "subject": repair.subject,
        "cause": repair.cause,
        "sentence": repair.sentence,
    }


@planned(Mode.READ)
def audit(limit: int) -> Requests[list[AuditEntry]]:
    """The newest entries, newest first."""
    found: Rows = yield Statement(AUDIT, {"limit": limit})
    return [rows.audit_entry(row) for row in found]
