"""The bench's application: three tasks that do nothing, and one that says when it began.

Workers import it by its name (`--app unstuck.bench.tasks:app`), the bench imports it to enqueue. Where the store is
comes from the environment that the bench gives to both: `UNSTUCK_URL` and `UNSTUCK_BENCH_PREFIX`.
"""

from __future__ import annotations

import os
import time

from unstuck.app.app import App

PREFIX_VARIABLE = "UNSTUCK_BENCH_PREFIX"

ASYNC, PLAIN, LATENCY, PILE = "async", "plain", "latency", "pile"
SERVED = (ASYNC, PLAIN, LATENCY)
"""The queues that workers serve; what is piled up to measure enqueueing lies in one that nobody serves."""

app = App(prefix=os.environ.get(PREFIX_VARIABLE, "unstuck_"))


@app.task(queue=ASYNC)
async def nothing() -> None:
    """A coroutine that does nothing."""


@app.task(queue=PLAIN)
def nothing_plain() -> None:
    """A plain function that does nothing."""


@app.task(queue=PILE)
def never(number: int) -> None:
    """Enqueued, and not run."""


@app.task(queue=LATENCY)
async def began() -> int:
    """The nanosecond of its start, by a clock that all processes of a machine share."""
    return time.monotonic_ns()
