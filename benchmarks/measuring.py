"""What is measured, one function each: a contender in, a line of values out.

A drain is counted from the start of the first job to the moment the contender's own storage says that nothing is
left; processor seconds over the same stretch. Latency is from the call that enqueues to the start of the handler.
Rates are jobs per second, processor is seconds per 1,000 jobs (so: milliseconds per job), memory MB.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.ground import Ground
from benchmarks.processes import cpu_seconds, memory
from benchmarks.running import Agent, Contender, Failed, Stage, Workers
from benchmarks.statistics import Line, spread_of

DRAIN_SECONDS = 180.0
CALLERS = 100
BULK = 10_000
WARM = 50


@dataclass
class Run:
    """What all measurements of a run share."""

    ground: Ground
    seconds: float = 4.0
    """About how long a drain, and half as long an enqueueing, takes."""
    samples: int = 200
    processes: tuple[int, ...] = (1, 2)
    modes: tuple[str, ...] = ("async", "sync")
    memory_jobs: int = 200_000
    idle_seconds: float = 10.0
    drained: dict[tuple[str, str, int], float] = field(default_factory=dict[tuple[str, str, int], float])
    """The last drain rate of a contender, which says how many jobs the next one takes."""
    loads: dict[str, float] = field(default_factory=dict[str, float])
    """At which rate each contender's latency under load is taken."""

    def rate(self, contender: Contender, mode: str, processes: int = 1) -> float:
        """About how many jobs per second it will end."""
        known = self.drained.get((contender.label, mode, processes))
        return known or self.drained.get((contender.label, mode, 1)) or contender.peer.expected


def enqueue(run: Run, contender: Contender) -> Line:
    """One at a time, 100 coroutines at once, and 10,000 in one call."""
    peer, line, seconds = contender.peer, Line(), run.seconds / 2
    orders = {"enqueue one/s": {"do": "one", "seconds": seconds}}
    if peer.can_enqueue_concurrently:
        orders["enqueue 100 at once/s"] = {"do": "concurrent", "seconds": seconds, "callers": CALLERS}
    if peer.can_enqueue_many:
        orders["enqueue 10,000/s"] = {"do": "bulk", "jobs": BULK, "seconds": seconds / 2}
    for measure, order in orders.items():
        with Stage(run.ground, contender, peer.modes[0], 1) as stage:
            client = stage.client()
            client(**{**order, "seconds": 0.2, "first": 0})  # connections and plans are there
            before = cpu_seconds(stage.place.server_pid)
            said = client(**order, first=1_000_000)
            line[measure] = said["jobs"] / said["seconds"]
            if measure == "enqueue one/s":
                server = cpu_seconds(stage.place.server_pid) - before
                line["enqueue one: cpu ms client"] = said["cpu"] / said["jobs"] * 1000
                line["enqueue one: cpu ms server"] = server / said["jobs"] * 1000
    return line


def drain(run: Run, contender: Contender) -> Line:
    """Empty jobs until none is left, for each kind of handler and each number of processes."""
    line = Line()
    for mode in [each for each in contender.peer.modes if each in run.modes]:
        for processes in run.processes:
            line |= drain_one(run, contender, mode, processes)
    return line


def drain_one(run: Run, contender: Contender, mode: str, processes: int) -> Line:
    """One drain; the number of jobs is what should take `run.seconds`."""
    jobs = max(200, int(run.rate(contender, mode, processes) * run.seconds))
    label = f"{mode} {processes}p"
    with Stage(run.ground, contender, mode, jobs) as stage:
        client = stage.client()
        client(do="fill", first=0, jobs=jobs)
        stage.place.freshen()
        with stage.working(processes) as workers:
            used = drained(stage, client, workers, jobs)
            size = memory(workers.pids)
    run.drained[contender.label, mode, processes] = used.rate
    return {
        f"drain {label}/s": used.rate,
        f"drain {label}: cpu ms worker": used.worker_cpu / jobs * 1000,
        f"drain {label}: cpu ms server": used.server_cpu / jobs * 1000,
        f"drain {label}: cpu ms all": (used.worker_cpu + used.server_cpu) / jobs * 1000,
        f"drain {label}: MB largest": size.largest,
        f"drain {label}: MB whole": size.whole,
    }


@dataclass(frozen=True)
class Drained:
    """What a drain took."""

    rate: float
    worker_cpu: float
    server_cpu: float


def drained(stage: Stage, client: Agent, workers: Workers, jobs: int) -> Drained:
    stamps, server = stage.stamps, stage.place.server_pid
    workers.wait(lambda: stamps.anyone(jobs), 60, "the first start", every=0.001)
    worker_before, server_before = cpu_seconds(workers.pids), cpu_seconds(server)
    workers.wait(lambda: stamps.started(jobs), DRAIN_SECONDS, "the last start", every=0.01)
    workers.wait(lambda: client(do="unfinished")["jobs"] == 0, 60, "the last ending", every=0.001)
    seconds = (time.monotonic_ns() - stamps.first(jobs)) / 1e9
    return Drained(
        jobs / seconds, cpu_seconds(workers.pids) - worker_before, cpu_seconds(server) - server_before
    )


def latency(run: Run, contender: Contender) -> Line:
    """Enqueue to start, nothing else going on."""
    found = idle_latency(run, contender, contender.peer.modes[0])
    return {f"latency idle {point} ms": value for point, value in found.items()}


def load(run: Run, contender: Contender) -> Line:
    """Enqueue to start at half of the contender's own drain rate; ours also at the rates of all others."""
    mode = contender.peer.modes[0]
    if contender.label not in run.loads:
        if (contender.label, mode, 1) not in run.drained:
            drain_one(run, contender, mode, 1)  # its rate on this machine is not known yet
        run.loads[contender.label] = run.rate(contender, mode) / 2
    line = Line()
    for label, rate in run.loads.items():
        if label == contender.label or contender.is_ours:
            found = loaded_latency(run, contender, mode, rate)
            line |= {f"latency at {label}'s half load {name}": value for name, value in found.items()}
    return line


def idle_latency(run: Run, contender: Contender, mode: str) -> Line:
    """Single jobs 20 ms apart, nothing else going on."""
    with Stage(run.ground, contender, mode, WARM + run.samples) as stage:
        client = stage.client()
        with stage.working(1) as workers:
            client(do="probe", first=0, samples=WARM, interval=0.01)
            workers.wait(lambda: stage.stamps.started(WARM), 60, "the first jobs")
            return spread_of(_probed(run, stage, client, workers, first=WARM))


def loaded_latency(run: Run, contender: Contender, mode: str, rate: float) -> Line:
    """The same while others enqueue `rate` jobs per second."""
    first_of_load = WARM + run.samples
    seconds = run.samples * 0.025 + 1.0
    with Stage(run.ground, contender, mode, first_of_load + int(rate * seconds * 1.5) + 20_000) as stage:
        client = stage.client()
        crowd = stage.client()
        with stage.working(1) as workers:
            client(do="probe", first=0, samples=WARM, interval=0.01)
            workers.wait(lambda: stage.stamps.started(WARM), 60, "the first jobs")
            crowd.send(do="load", first=first_of_load, rate=rate, seconds=seconds)
            time.sleep(0.5)
            found = spread_of(_probed(run, stage, client, workers, first=WARM))
            said = crowd.answer()
    line = {f"{point} ms": value for point, value in found.items()}
    return line | {"(jobs/s)": said["jobs"] / said["seconds"]}


def _probed(run: Run, stage: Stage, client: Agent, workers: Workers, first: int) -> list[float]:
    called: list[int] = client(do="probe", first=first, samples=run.samples, interval=0.02)["moments"]
    workers.wait(lambda: stage.stamps.started(run.samples, first), 60, "the last start of a probe")
    began = stage.stamps.moments(run.samples, first)
    return [(start - call) / 1e6 for call, start in zip(called, began, strict=True)]


def endurance(run: Run, contender: Contender) -> Line:
    """Memory of one worker process after a tenth of many jobs, and after all of them."""
    mode, jobs = contender.peer.modes[0], run.memory_jobs
    if run.rate(contender, mode) * DRAIN_SECONDS < jobs:
        raise Failed(f"{jobs:,} jobs would take longer than {DRAIN_SECONDS:.0f} s")
    with Stage(run.ground, contender, mode, jobs) as stage:
        client = stage.client()
        client(do="fill", first=0, jobs=jobs)
        stage.place.freshen()
        with stage.working(1) as workers:
            workers.wait(lambda: stage.stamps.started(jobs // 10), DRAIN_SECONDS, "a tenth", every=0.01)
            early = memory(workers.pids).largest
            drained(stage, client, workers, jobs)
            late = memory(workers.pids).largest
    return {"memory after a tenth MB": early, f"memory after {jobs:,} jobs MB": late}


def idle(run: Run, contender: Contender) -> Line:
    """What a worker without work asks of its store and of the processor."""
    with Stage(run.ground, contender, contender.peer.modes[0], WARM) as stage:
        client = stage.client()
        place = stage.place
        counts = place.count_statements()
        with stage.working(1) as workers:
            client(do="probe", first=0, samples=WARM, interval=0.01)
            workers.wait(lambda: stage.stamps.started(WARM), 60, "the first jobs")
            time.sleep(2.0)
            asked = place.statements() if counts else None
            worker, server = cpu_seconds(workers.pids), cpu_seconds(place.server_pid)
            time.sleep(run.idle_seconds)
            line = {
                "idle worker cpu %": (cpu_seconds(workers.pids) - worker) / run.idle_seconds * 100,
                "idle server cpu %": (cpu_seconds(place.server_pid) - server) / run.idle_seconds * 100,
            }
            if asked is not None:
                now = place.statements() or 0
                line["idle statements/s"] = (now - asked) / run.idle_seconds
    return line


MEASURES: dict[str, Callable[[Run, Contender], Line]] = {
    "enqueue": enqueue,
    "drain": drain,
    "latency": latency,
    "load": load,
    "memory": endurance,
    "idle": idle,
}
