"""One look per poll answers everything, and only its answers cause further statements.

Is something ready in my queues, when is the next alarm, which of my attempts are asked to cancel, is my
own row still alive, to be quiet or to leave. The look follows a hint at once, an alarm when it is due, and otherwise
the poll. Due jobs are promoted by whoever sees the alarm, a thousand per statement, on while full. From where
is looked, says `looking_back`.
"""

from __future__ import annotations

from unstuck.engine.claiming import Claiming
from unstuck.engine.executing import Executor
from unstuck.engine.looking_back import SHARE_OF_LOOKS
from unstuck.engine.patience import SHORTEST_REST
from unstuck.engine.shift import Shift
from unstuck.storage.protocol import Since

PROMOTE_MAX = 1000
GATHER_SECONDS = 0.01
"""Alarms of a stream are seen together: so long at least from one look to the next that only an alarm asks for."""


class Looking:
    """The looking loop of one worker."""

    def __init__(self, shift: Shift, executor: Executor, claiming: Claiming):
        self._shift = shift
        self._executor = executor
        self._claiming = claiming

    async def round(self) -> float:
        """Look once and act on it; answers the time to the next look."""
        shift = self._shift
        names = [share.name for share in shift.settings.queues]
        back, began = self._claiming.back, shift.env.now()
        since = back.since(began)
        plan = shift.store.look(shift.id, names, list(shift.handlers), since)
        look, took = await shift.ask(plan)
        now = shift.env.now()
        shift.page.round_trip = now
        back.saw(began, look, names)
        self._claiming.note_empty(look.empty, since, began, now)
        if not look.is_alive:
            shift.page.lose()
            return shift.settings.poll
        shift.is_quiet = look.is_draining
        if look.is_leaving:
            shift.is_draining = True
        for key in look.cancel:
            self._executor.ask_cancel(key)
        self._executor.recall()
        self._give_back_what_waits()
        ready, pause = dict(look.ready), shift.settings.poll
        promoted: dict[str, int] = {}
        count = 0
        if look.next_alarm_us is not None:
            if look.next_alarm_us <= 0:
                promoted, count, seconds = await self._promote(since)
                took += seconds
                pause = min(pause, GATHER_SECONDS)  # the alarm behind those is not known yet
            else:
                pause = min(
                    pause, max(look.next_alarm_us / 1_000_000 + 0.001, GATHER_SECONDS - (now - began))
                )
        back.took(shift.env.now(), took, from_the_first=since is None, share=SHARE_OF_LOOKS)
        shift.page.looked_back = max(0.0, back.spent)
        for queue, line in ready.items():
            self._claiming.look_back(queue, line, is_first=since is None)
        for queue, line in promoted.items():
            self._claiming.fetch(queue, line, count)
            ready[queue] = min(line, ready.get(queue, line))
        if since is not None:
            # What was known to be ready and has not been claimed may lie before what was looked at.
            known = {
                queue: line for queue, line in shift.ready.items() if self._claiming.may_have_more(queue)
            }
            ready = known | ready
        shift.ready = ready
        if ready:
            pause = min(pause, self._claiming.seconds_left_fallow + SHORTEST_REST)
            self._executor.start_next()
            shift.claim_now()
        else:
            self._claiming.note_sight()
        return pause

    async def _promote(self, since: Since | None) -> tuple[dict[str, int], int, float]:
        """Make due jobs ready, on while full; answers the queues of ours that got some and from which line on, how many,
        and the seconds that it took."""
        shift = self._shift
        ours = {share.name for share in shift.settings.queues}
        found: dict[str, int] = {}
        whole, seconds = 0, 0.0
        while True:
            plan = shift.store.promote(PROMOTE_MAX, None if since is None else since.age_us)
            promoted, took = await shift.ask(plan)
            seconds += took
            count = promoted.get("", 0)
            whole += count
            for queue in sorted(ours & promoted.keys()):
                found[queue] = min(promoted[queue], found.get(queue, promoted[queue]))
            if count < PROMOTE_MAX:
                return found, whole, seconds

    def _give_back_what_waits(self) -> None:
        """A claimed job that has not started within one poll goes back: others may be free."""
        shift, now = self._shift, self._shift.env.now()
        for held in shift.buffer.take_where(lambda held: now - held.claimed_at > shift.settings.poll):
            if held.job.is_suspect:
                self._executor.put_off(held.job)
            else:
                shift.hand_back(held.job, started=False, why="not started within a poll")
