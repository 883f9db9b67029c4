"""One run: a storm over real workers and clients, then peace, then the question whether anything is missing.

After the storm everything is healed, one healthy supervisor is added, and clients finish what they began. From
then on the promise holds without excuse: by R no job is left with a worker that died before, no alarm is
overdue, and all work ends; the survivors are not restarted. R grows with the slowness of the machine,
measured while it counts. Whatever happens, every process that a run started ends with it.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.chaos import accounting, effects, history, ledger
from tests.chaos.faults import LANES, planned
from tests.chaos.ground import Ground, PostgresGround, SqliteGround, own_mounts
from tests.chaos.history import History
from tests.chaos.recovering import recoveries
from tests.chaos.stepping import Stepping
from tests.chaos.storm import Storm
from tests.processes.crew import PATIENCE, ROOT, Crew
from tests.processes.pace import Probe
from tests.processes.stores import Shelf
from tests.processes.waiting import until
from tests.processes.witness import Witness
from unstuck.engine.env import boottime
from unstuck.model.errors import StoreError
from unstuck.model.states import State

APP = "tests.chaos.tasks:app"
LONGEST_SECONDS = 60.0
"""What the slowest job can need by itself: a delay of a lease, and four tries each with its back-off. As long as
that, on top of R, nothing may have ended while something was left; a backlog takes what it takes."""

UNFINISHED = (State.READY, State.RUNNING, State.SCHEDULED, State.WAITING)


@dataclass
class Report:
    """How a run went."""

    engine: str
    seed: int
    minutes: float
    slowness: float
    conditions: dict[str, str]
    not_run: dict[str, str]
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    missed: int = 0
    recovered: Mapping[str, list[float]] = field(default_factory=dict[str, list[float]])
    outcomes: Mapping[str, int] = field(default_factory=dict[str, int])
    states: Mapping[str, int] = field(default_factory=dict[str, int])
    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    unknowns: int = 0
    starts: int = 0
    late: int = 0
    overlaps: int = 0
    peace_seconds: float = 0.0
    broken: list[str] = field(default_factory=list[str])

    @property
    def jobs(self) -> int:
        return sum(self.states.values())


def run(engine: str, minutes: float, seed: int, rate: float, folder: Path) -> Report:
    """Run one storm; every log is left in `folder`."""
    own_mounts()
    with ExitStack() as stack:
        probe = Probe()
        stack.callback(probe.end)
        pace = probe.pace()
        ground: Ground = PostgresGround() if engine == "postgres" else SqliteGround(folder)
        stack.callback(ground.close)
        stepping = Stepping(folder)
        if stepping.why_not and "clock stepped" not in ground.missing:
            ground.missing["clock stepped"] = stepping.why_not
        if "clock stepped" in ground.missing:
            stepping.why_not = ground.missing["clock stepped"]
        else:
            ground.conditions["clock"] = "libfaketime, for one supervisor"
        shelf = Shelf(ground.url)
        stack.callback(shelf.close)
        shelf.keeper.migrator.keep_events(True)
        ledger.install(ground.url)
        effects.install(ground.url)
        witness = Witness(folder / "witness.jsonl")
        crew = Crew(ground.url, witness, folder, app=APP, times=pace.options)
        stack.callback(crew.end)
        storm = Storm(ground, crew, pace, seed, rate, folder, stepping)
        stack.callback(storm.end)

        until(lambda: storm.is_at_work(shelf), pace(3 * PATIENCE), "all workers are at work")
        kinds = [kind for lane in LANES.values() for kind in lane if kind not in ground.missing]
        began = boottime()
        storm.rage(planned(seed, minutes * 60.0, kinds, pace.lease), minutes * 60.0)
        healed = storm.heal()
        report = Report(engine, seed, minutes, 0.0, ground.conditions, dict(ground.missing))
        report.broken += storm.dismiss_clients(pace(120.0))
        report.broken += peace(storm, shelf, probe, healed)
        report.peace_seconds = boottime() - healed
        report.slowness = probe.slowness(began)
        write_run(shelf, folder, pace.bound)
        # The workers go first: what is read now is what stays.
        crew.end()
        storm.end()
        found = history.read(shelf, folder, witness, storm.done)
        history.write(found, folder)
        history.export_events(shelf, folder)
        report.broken += accounting.broken(found)
        report.broken += storm.deserters
        report.broken += second_opinion(folder)
        report.broken += [f"offender: {name} {ids}" for name, ids in shelf.offenders().items()]
        _fill(report, found)
        return report


def write_run(shelf: Shelf, folder: Path, bound: float) -> None:
    """What the history checker cannot see in the logs; while the workers live, for it judges their leases."""
    facts = {
        "now_us": int(shelf.run(shelf.store.meta())["now_us"]),
        "bound_us": int(bound * 1_000_000),
        "has_steady_clock": True,
        # A claim that lay in a frozen store or process may commit that much later than it was made.
        "slack_us": int(2 * bound * 1_000_000),
        "is_over": True,
        "is_witnessed": True,
    }
    (folder / "run.json").write_text(json.dumps(facts))


def second_opinion(folder: Path) -> list[str]:
    """What the history checker says, which shares nothing with this code or the product."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.checker", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    (folder / "checker.txt").write_text(done.stdout + done.stderr)
    if done.returncode == 0:
        return []
    said = [
        line for line in done.stdout.splitlines() if ": pass" not in line and "not applicable" not in line
    ]
    return [f"checker: {line.strip()}" for line in said or done.stderr.splitlines()]


def peace(storm: Storm, shelf: Shelf, probe: Probe, healed: float) -> list[str]:
    """Wait until everything has ended, and look at R whether all that was left behind was taken up."""
    asked, wrong = False, list[str]()
    fewest, moved = math.inf, healed
    while True:
        storm.tend()
        slowness = max(storm.pace.slowness, probe.slowness(healed))
        bound = storm.pace.bound * slowness / storm.pace.slowness
        waited = boottime() - healed
        try:
            counts = shelf.counts()
            left = sum(counts[state] for state in UNFINISHED)
            if left < fewest:
                fewest, moved = left, boottime()
            if not asked and waited > bound:
                asked = True
                wrong += list(_left_behind(shelf, healed, bound))
            if not left and asked:
                return wrong
        except StoreError as error:
            if waited > bound:
                return [*wrong, f"away: the store does not answer after the storm: {error}"]
        if boottime() - moved > bound + slowness * LONGEST_SECONDS:
            return [*wrong, *_explained(shelf)]
        time.sleep(0.2)


def _left_behind(shelf: Shelf, healed: float, bound: float) -> Iterator[str]:
    """At R: jobs of workers that ended before, and alarms that nobody heard."""
    # Jobs before workers: who owns one of them has a row by then, and who had just ended has not ended long ago. The
    # moment before both: to read so many jobs takes seconds, and what has come due meanwhile is not late.
    now_us = int(shelf.run(shelf.store.meta())["now_us"])
    jobs = shelf.jobs()
    workers = shelf.workers()
    for job in jobs.values():
        if job.state is State.RUNNING and job.worker_id is not None:
            owner = workers.get(job.worker_id)
            lease = timedelta(microseconds=owner.lease_us) if owner else timedelta()
            if owner is None or (
                owner.ended_at is not None
                and (owner.ended_at + lease).timestamp() * 1e6 < now_us - bound * 1e6
            ):
                yield f"late: job {job.id} still belongs to worker {job.worker_id}, gone since before R"
        elif job.state in (State.SCHEDULED, State.WAITING) and job.wake_at is not None:
            overdue = now_us / 1e6 - job.wake_at.timestamp()
            if overdue > bound:
                yield f"late: job {job.id} is {job.state} ({job.reason}), its alarm overdue by {overdue:.1f} s"


def _explained(shelf: Shelf) -> Iterator[str]:
    """What has not ended, in the product's own words."""
    from tests.chaos.tasks import app

    app.use_url(shelf.url)
    with suppress(StoreError):
        for job in [job for job in shelf.jobs().values() if not job.is_final][:20]:
            yield f"stuck: job {job.id}: {app.job(job.id).explain()}"
    app.close()


def _fill(report: Report, found: History) -> None:
    begun = [line for line in found.faults if line["what"] == "begin"]
    missed = [line for line in begun if line.get("pids") == []]
    report.missed = len(missed)
    report.faults = _counts(line["kind"] for line in begun if line.get("pids") != [])
    report.recovered = recoveries(found)
    report.outcomes = _counts(attempt.outcome for attempt in found.attempts.values())
    report.states = _counts(str(job.state) for job in found.jobs.values())
    report.calls = _counts(call.kind for call in found.calls)
    report.unknowns = sum(call.unknowns for call in found.calls)
    report.starts = sum(word.what == "start" for word in found.words)
    report.late = sum(attempt.late_at is not None for attempt in found.attempts.values())
    report.overlaps = len(accounting.overlaps(found))
    told = sum(worker.late_endings for worker in found.workers.values())
    if told != report.late:
        report.broken.append(
            f"uncounted: {report.late} late endings are stamped, workers are shown with {told}"
        )


def _counts(names: Iterator[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts
