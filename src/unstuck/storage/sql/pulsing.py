"""How the work goes just now, in SQL: what `unstuck top` asks again and again without being felt.

Nothing here grows with the table: queues are met by hopping, their ready jobs counted no further than asked, and
how long jobs waited is seen on a sample. The newest jobs are sought by their ids, which begin with the moment of their
making; ids that a caller made out of a text lie behind that moment and are left out. Where a backlog stands
before the newest, those that run tell how long it takes. A retry keeps its place in line and would say that it
had waited since then, so only first attempts are asked.
"""

from __future__ import annotations

from uuid import UUID

from unstuck.model.states import State
from unstuck.storage.plan import Mode, Requests, Rows, Statement, planned
from unstuck.storage.protocol import PULSE_GONE, PULSE_GONE_US, PULSE_SAMPLE, PULSE_WINDOW_US, Depth, Pulse
from unstuck.storage.sql import rows
from unstuck.storage.sql.library import block
from unstuck.storage.sql.surveying import NOTICES, READY_QUEUES
from unstuck.storage.sql.workers import CLOCK, WORKERS

DEPTH = block("depth")
FIRST_ALARMS = block("first_alarms")
NEWEST = block("newest")
AT_WORK = block("at_work")
GONE = block("gone")

FRONT = 100
"""Among how many jobs at the front of a queue the oldest is sought."""

AHEAD_MS = 60_000
"""By how much the clock of whoever made a job may be ahead of the store's."""


@planned(Mode.READ)
def pulse(depth: int) -> Requests[Pulse]:
    """How the work goes just now."""
    clock: Rows = yield Statement(CLOCK)
    now_us = int(clock[0][0])
    queues: Rows = yield Statement(READY_QUEUES)
    depths: list[Depth] = []
    for queue, is_paused in queues:
        found: Rows = yield Statement(DEPTH, {"queue": queue, "depth": depth, "front": FRONT})
        ((ready, oldest_us),) = found
        if ready and oldest_us is not None:
            depths.append(Depth(queue, ready, int(oldest_us), bool(is_paused)))
    alarms: Rows = yield Statement(FIRST_ALARMS, {"front": PULSE_SAMPLE})
    last = UUID(int=(now_us // 1000 + AHEAD_MS) << 80)
    sample = {"limit": PULSE_SAMPLE, "window_us": PULSE_WINDOW_US}
    newest: Rows = yield Statement(NEWEST, {"newest": last, **sample})
    at_work: Rows = yield Statement(AT_WORK, sample)
    living: Rows = yield Statement(WORKERS, {"include_ended": False})
    gone: Rows = yield Statement(GONE, {"gone_us": PULSE_GONE_US, "limit": PULSE_GONE})
    standing: Rows = yield Statement(NOTICES)
    waited = {str(id): waited_us for id, _, waited_us in newest} | {str(id): us for id, us in at_work}
    return Pulse(
        now_us=now_us,
        depths=depths,
        alarms={State(state): number for state, number in alarms},
        arrived_us=[max(0, int(age_us)) for _, age_us, _ in newest],
        waited_us=[max(0, int(us)) for us in waited.values() if us is not None],
        workers=[rows.worker(row) for row in living],
        gone=[rows.worker(row) for row in gone],
        notices=[rows.notice(row) for row in standing],
    )
