"""How long an ended job is kept."""

from __future__ import annotations

from unstuck.model.job import Policy
from unstuck.model.states import Reason, State


def keep_us(policy: Policy, target: State, reason: Reason | None = None) -> int:
    """Retention in microseconds for a job that ends in `target`; a deleted one is not kept at all."""
    if reason in (Reason.DELETED, Reason.PURGED):
        return 0
    return policy.keep_succeeded_us if target is State.SUCCEEDED else policy.keep_other_us
