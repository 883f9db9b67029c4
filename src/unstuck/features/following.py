"""`then=`: jobs that are inserted with the success of another.

`a.using(then=b.spec(1)).enqueue()` writes the request for `b`, its id included, on the row of `a`. When
`a` succeeds, the ending and the insert are one transaction: there is no moment at which `a` has
succeeded and `b` does not exist, and a repeated settle inserts nothing twice, because the ids were drawn
at enqueue. If `a` fails for good, is cancelled or expires, nothing follows. Follow-ups may have
follow-ups of their own. All their arguments together count against the same 256 KiB as one payload.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from unstuck.model.errors import BadArguments
from unstuck.model.job import NewJob
from unstuck.rules import parting
from unstuck.rules.admitting import PAYLOAD_BYTES_MAX

FOLLOWERS_MAX = 100


class Following:
    """The room of `then=`."""

    option = "then"

    def admit(self, job: NewJob, wish: tuple[NewJob, ...]) -> NewJob:
        """The job with its follow-ups on board."""
        everyone = list(_all_of(wish))
        if len(everyone) > FOLLOWERS_MAX:
            raise BadArguments(f"then= carries {len(everyone)} jobs, more than {FOLLOWERS_MAX}")
        size = sum(len(follower.args.encode()) for follower in everyone)
        if size > PAYLOAD_BYTES_MAX:
            raise BadArguments(
                f"then= carries {size // 1024} KiB of arguments, more than {PAYLOAD_BYTES_MAX // 1024} KiB"
            )
        return replace(job, then=wish)

    part = staticmethod(parting.follow)


def _all_of(jobs: tuple[NewJob, ...]) -> Iterator[NewJob]:
    for job in jobs:
        yield job
        yield from _all_of(job.then)
