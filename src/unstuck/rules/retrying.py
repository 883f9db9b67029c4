"""How long to wait before the next attempt; the dice come in as an argument."""

from __future__ import annotations

from unstuck.model.job import NO_HANDLER_LAST_US, Policy

CRASH_DELAY_US = 100_000
LOSS_DELAY_US = 100_000
SUSPECT_DELAY_US = 1_000_000
"""How soon a suspect that found no free place of its own tries again."""

SNOOZES_IN_A_ROW = 1000
NO_HANDLER_FIRST_US = 60 * 1_000_000


def backoff_us(policy: Policy, failures: int, dice: float) -> int:
    """The delay after `failures` counted failures (from 1), in microseconds.

    `dice` in [0, 1) spreads it by ± the policy's jitter, so that jobs that failed together do not
    come back together.
    """
    exponent = min(max(failures - 1, 0), 63)
    try:
        grown = policy.backoff_base_us * policy.backoff_factor**exponent
    except OverflowError:
        grown = policy.backoff_cap_us
    plain = min(grown, policy.backoff_cap_us)
    spread = 1.0 + policy.backoff_jitter * (2.0 * dice - 1.0)
    return max(0, min(int(plain * spread), policy.backoff_cap_us))


def crash_delay_us(crashes: int) -> int:
    """The delay after the `crashes`-th crash: 0.1 s, 0.4 s, 1.6 s, and so on up to a minute."""
    return min(CRASH_DELAY_US << 2 * min(max(crashes - 1, 0), 8), 60_000_000)


def no_handler_delay_us(overdue_us: int) -> int:
    """The alarm of a job whose task nobody knows: as long again as it is overdue, 1 minute to 1 hour."""
    return max(NO_HANDLER_FIRST_US, min(overdue_us, NO_HANDLER_LAST_US))
