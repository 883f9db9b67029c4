"""What may enter: the limits of a new job, checked before any statement is built."""

from __future__ import annotations

import re

from unstuck.model.errors import BadArguments
from unstuck.model.job import NewJob

PRIORITY_MIN = -100
PRIORITY_MAX = 100
PAYLOAD_BYTES_MAX = 256 * 1024
PAYLOAD_DEPTH_MAX = 64
NAME_LENGTH_MAX = 128
LABELS_MAX = 32
HORIZON_US = 10 * 366 * 86_400 * 1_000_000
"""No alarm is set further ahead than ten years: a larger delay is a mistake of units."""

_NAME = re.compile(r"[^\x00-\x20\x7f]+")


def check_name(kind: str, name: str) -> str:
    """The name itself, if it may name a queue, a task or a label; else BadArguments."""
    if not name or len(name) > NAME_LENGTH_MAX or not _NAME.fullmatch(name):
        raise BadArguments(
            f"{name!r} cannot name a {kind}: 1 to {NAME_LENGTH_MAX} characters without spaces or control characters"
        )
    return name


def check_new(job: NewJob) -> NewJob:
    """The job itself, if its options are within the limits; else BadArguments names the option."""
    check_name("queue", job.queue)
    check_name("task", job.task)
    if not PRIORITY_MIN <= job.priority <= PRIORITY_MAX:
        raise BadArguments(f"priority={job.priority} is outside {PRIORITY_MIN} to {PRIORITY_MAX}")
    if job.delay_us is not None and not 0 <= job.delay_us <= HORIZON_US:
        raise BadArguments("delay must be between 0 and ten years")
    if job.expires_in_us is not None:
        if not 0 < job.expires_in_us <= HORIZON_US:
            raise BadArguments("expires must be more than 0 and at most ten years")
        if job.delay_us is not None and job.expires_in_us <= job.delay_us:
            raise BadArguments("expires must be later than delay: the job could never start")
    if job.timeout_us is not None and not 0 < job.timeout_us <= HORIZON_US:
        raise BadArguments("timeout must be more than 0 and at most ten years")
    if not 1 <= job.policy.tries <= 1_000_000:
        raise BadArguments(f"tries={job.policy.tries} must be 1 or more: it counts the first attempt")
    if len(job.args.encode()) > PAYLOAD_BYTES_MAX:
        raise BadArguments(f"the arguments are larger than {PAYLOAD_BYTES_MAX // 1024} KiB")
    if len(job.labels) > LABELS_MAX:
        raise BadArguments(f"{len(job.labels)} labels are more than {LABELS_MAX}")
    return job
