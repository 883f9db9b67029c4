"""The ways in which an attempt can end, for tests that try them all."""

from __future__ import annotations

from tests.conformance.trying import BOOM, HOUR, MINUTE, new_id
from unstuck.model.job import Policy
from unstuck.rules import judging, rescuing

SIMPLE = Policy(tries=3, backoff_base_us=MINUTE, backoff_jitter=0.0)

WAYS = {
    "succeeded": lambda job, worker: judging.succeeded(job, new_id(), worker, '{"answer":42}'),
    "not_kept": lambda job, worker: judging.succeeded(job, new_id(), worker, None, "too large"),
    "retry": lambda job, worker: judging.failed(job, new_id(), worker, BOOM, 0.5),
    "not_retried": lambda job, worker: judging.failed(job, new_id(), worker, BOOM, 0.5, may_retry=False),
    "timed_out": lambda job, worker: judging.timed_out(job, new_id(), worker, BOOM, 0.5),
    "snoozed": lambda job, worker: judging.snoozed(job, new_id(), worker, HOUR),
    "handed_back": lambda job, worker: judging.handed_back(job, new_id(), worker, started=True, why="stop"),
    "not_started": lambda job, worker: judging.handed_back(job, new_id(), worker, started=False),
    "put_off": lambda job, worker: judging.put_off(job, new_id(), worker),
    "cancelled": lambda job, worker: judging.cancelled(job, new_id(), worker, "changed my mind"),
    "crashed": lambda job, worker: rescuing.crashed(job, new_id(), worker, {"signal": "SIGSEGV"}),
    "lost": lambda job, worker: rescuing.lost(job, new_id(), worker, "host gone"),
}
