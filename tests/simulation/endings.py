"""Endings: every attempt ends by what its own handler did, and counts only what was witnessed.

A row that leaves `running`, or ends without ever having run, is compared with what the handler under that
fence said while it lived: whose result it carries, which one count rose, and whether a process really died,
a worker was really lost, a timeout had really passed. Crashes convict only the guilty: an attempt that had
started, in a process that died, with nobody beside it who might have done it. What a row may become at
all is judged in `job_moves`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.simulation.loop import Process
from tests.simulation.seen import COUNTS, SLACK, Attempt, Seen
from tests.simulation.troubles import Troubles
from tests.simulation.workload import words

if TYPE_CHECKING:
    from tests.simulation.world import World

RAISES = ("raise", "never again", "retry", "exit")


class Endings:
    """Judges how attempts and jobs end."""

    def __init__(self, world: World, seen: Seen, troubles: Troubles):
        self._world = world
        self._seen = seen
        self._troubles = troubles

    def left_running(self, process: Process, before: Any, job: Any) -> None:
        """An attempt is over: by which ending, and which count rose for it."""
        target, fence = str(job.state), job.fence
        if job.worker_id is not None:
            self._seen.find("who ends owns nothing", f"is {target} and still owned", job.id)
        rises = {name: getattr(job, name) - getattr(before, name) for name in COUNTS}
        if rises["snoozes"] < 0:
            rises["snoozes"] = 0
        risen = [name for name, by in rises.items() if by]
        if len(risen) > 1 or any(rises[name] != 1 for name in risen):
            self._seen.find("one count rises", f"{risen} by {[rises[name] for name in risen]}", job.id)
        attempt = self._seen.starts[job.id].get(fence)
        ending = "" if attempt is None else attempt.ending
        worker = self._seen.workers.get(before.worker_id)
        if target == "succeeded":
            said = json.dumps(words(self._world.workload.numbers[job.id], fence))
            is_own = ending == "return" or (attempt is not None and attempt.settling_at is not None)
            self._seen.succeeded[job.id, fence] = None
            if not is_own or job.result != said:
                self._seen.find(
                    "an ending is its own attempt's",
                    f"succeeded under {fence} with {job.result}, witnessed: {ending or 'nothing'}",
                    job.id,
                )
        elif rises["failures"]:
            self._failed(attempt, job)
        elif rises["losses"]:
            if worker is None or worker.ended_at is None:
                self._seen.find(
                    "losses have a lost worker", "was taken from a worker that has not ended", job.id
                )
        elif rises["crashes"]:
            self._crashed(attempt, before, worker)
        elif rises["snoozes"]:
            if ending != "snooze":
                self._seen.find("counts have a reason", f"snoozed, witnessed: {ending or 'nothing'}", job.id)
        elif target in ("ready", "scheduled"):
            if not rises["handbacks"]:
                self._seen.find("counts have a reason", f"went to {target} and nothing rose", job.id)
            if attempt is not None and self._troubles.runs_on(attempt):
                self._seen.find(
                    "what runs is not given away",
                    f"was handed back while it runs at healthy {attempt.process}",
                    job.id,
                )
        elif target == "cancelled" and before.cancel_asked_at is None and ending != "cancel":
            self._seen.find(
                "counts have a reason", f"was cancelled, witnessed: {ending or 'nothing'}", job.id
            )
        elif target == "failed":
            self._seen.find("counts have a reason", f"failed ({job.reason}) and nothing rose", job.id)

    def ended_unstarted(self, job: Any) -> None:
        """A job ended that nobody was running."""
        reason = str(job.reason)
        if reason == "expired":
            # Who saw it expire may say so after the clock was set back: it was true when it was seen.
            if job.expires_at is None or not self._world.has_passed(job.expires_at):
                self._seen.find("expiry", "expired before its time", job.id)
            if self._seen.starts[job.id]:
                self._seen.find("expiry", "expired although it had started", job.id)
        elif job.id not in self._seen.cancels:
            self._seen.find("counts have a reason", f"was cancelled ({reason}) and nobody asked", job.id)

    def ended_for_good(self, job: Any) -> None:
        """A job has reached a final state."""
        new, reason = self._seen.wanted[job.id], str(job.reason)
        self._seen.counts[str(job.state)] += 1
        if job.wake_at is not None or job.finished_at is None or job.keep_until is None:
            self._seen.find("who has ended rests", "has an alarm, or no end, or no retention", job.id)
        elif self._seen.not_before is not None and job.finished_at < self._seen.not_before:
            self._seen.find(
                "moments are their statement's", f"ended at {job.finished_at}, not yet asked then", job.id
            )
        if job.failures > new.policy.tries or job.losses > new.policy.loss_limit:
            self._seen.find("counts are bounded", f"{job.failures} failures, {job.losses} losses", job.id)
        if reason == "tries_exhausted" and job.failures != new.policy.tries:
            self._seen.find("every try is given", f"{job.failures} of {new.policy.tries} tries", job.id)
        if reason == "lost_limit" and job.losses != new.policy.loss_limit:
            self._seen.find("every try is given", f"{job.losses} of {new.policy.loss_limit} losses", job.id)
        for follow in new.then:
            is_there = follow.id in self._seen.rows
            if is_there is not (str(job.state) == "succeeded") and not (is_there and job.generation > 1):
                self._seen.find("follow-ups follow success", f"{job.state}, follow-up there or not", job.id)

    def _crashed(self, attempt: Attempt | None, before: Any, worker: Any) -> None:
        """A crash is counted where the attempt had started and its process died, or its worker was lost."""
        self._seen.counts["crashes"] += 1
        is_suspect = before.crashes >= 2 or before.losses >= 3
        if attempt is None:
            # What had started is on a page that goes with its supervisor: whoever was alone, and a suspect, is
            # convicted where that died too, be it before it saw its child's death or before it judged by it.
            reasons = ("lapsed", "died")
            is_unseen = worker is not None and is_suspect and str(worker.reason).startswith(reasons)
            if not is_unseen:
                self._seen.find(
                    "crashes convict the guilty", "counts a crash, and had not started", before.id
                )
            return
        process = attempt.process
        if not process.is_dead and (worker is None or worker.ended_at is None):
            self._seen.find("crashes convict the guilty", f"counts a crash, and {process} lives", before.id)
        if process.is_dead and attempt.ended_at is not None and process.died_at - attempt.ended_at > SLACK:
            self._seen.find(
                "crashes convict the guilty", "counts a crash after its handler had ended", before.id
            )
        beside = [
            job_id
            for job_id, starts in self._seen.starts.items()
            for each in starts.values()
            if each is not attempt
            and each.process is process
            and each.started_at < process.died_at - SLACK
            and (each.ended_at is None or each.ended_at > process.died_at)
            and each.stopped_at is None
        ]
        if process.is_dead and beside and not is_suspect:
            self._seen.find(
                "crashes convict the guilty", f"counts a crash, with {len(beside)} beside it", before.id
            )

    def _failed(self, attempt: Attempt | None, job: Any) -> None:
        now = self._seen.now
        if '"bad"' in job.args:
            if attempt is not None:
                self._seen.find("the undecodable do not start", "has started", job.id)
            return
        is_apart = attempt is not None and attempt.process.worker is not attempt.process
        is_timeout = getattr(job.error, "type", "") == "Timeout"
        if attempt is not None and (is_apart or job.task == "plain") and is_timeout:
            # Its worker may have slept while it spoke in its own process; and a thread is not told, it asks.
            attempt.stopped_at = now
        if attempt is None:
            self._seen.find("counts have a reason", "failed without a start", job.id)
        elif attempt.was_stopped and (attempt.ending != "retry" or is_apart or is_timeout):
            timeout = (job.timeout_us or 0) / 1_000_000
            if not timeout or now - attempt.started_at < timeout * 0.99:
                self._seen.find("counts have a reason", f"timed out, timeout {timeout} s", job.id)
        elif attempt.ending == "unsettled" or attempt.settling_at is not None:
            pass  # its transaction failed, or nobody knows; what it has left behind is looked at in the end
        elif attempt.ending not in RAISES:
            self._seen.find(
                "counts have a reason", f"failed, witnessed: {attempt.ending or 'nothing'}", job.id
            )
        elif (said := getattr(job.error, "message", "")) != words(
            self._world.workload.numbers[job.id], job.fence
        ):
            self._seen.find("an ending is its own attempt's", f"complains of {said!r}", job.id)
        raised = sum(
            each.ending in (*RAISES, "unsettled") or each.was_stopped
            for each in self._seen.starts[job.id].values()
        )
        if job.failures > raised:
            self._seen.find("counts are bounded", f"{job.failures} failures, {raised} witnessed", job.id)
