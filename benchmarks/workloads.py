"""Work that is not empty, each against the empty drain of the same run: payloads, waiting handlers, log, crowds.

Ours only: these are promises about ourselves. A handler that waits 10 ms can at best be done `concurrency` at a
time, so its rate stands beside that bound, and beside the empty drain where there are places enough; of the mixed ones (one in a hundred takes 5 s) it is told how many of
the long ones ran at once, and how long a claimed job waited for its start.
"""

from __future__ import annotations

from benchmarks.growth import rate_of
from benchmarks.measuring import DRAIN_SECONDS, Run, drained
from benchmarks.running import Agent, Contender, Stage
from benchmarks.statistics import Line, percentile

CONCURRENCY = 100
LONG_SECONDS = 5.0


def payloads(run: Run) -> Line:
    """Empty jobs beside 1 kB of arguments with 200 bytes of result, beside handlers of 10 ms."""
    line = Line()
    ours = Contender.of("unstuck-workloads")
    for mode in ("empty", "sized", "ten"):
        line[f"drain {mode}/s"] = _drain(run, ours, mode)
    line["1 kB and 200 bytes / empty"] = line["drain sized/s"] / line["drain empty/s"]
    line["10 ms / what 100 at once could do"] = line["drain ten/s"] / min(
        CONCURRENCY / 0.010, line["drain empty/s"]
    )
    # A hundred handlers of 10 ms end 10,000 a second at best, whoever runs them: what they cost shows where places
    # are not what is short.
    wide = Contender.of("unstuck-wide")
    line["drain empty, 500 places/s"] = _drain(run, wide, "empty")
    line["drain ten, 500 places/s"] = _drain(run, wide, "ten")
    line["10 ms / empty, 500 places"] = line["drain ten, 500 places/s"] / line["drain empty, 500 places/s"]
    return line


def events(run: Run) -> Line:
    """The empty drain with the event log, beside the one without."""
    off = _drain(run, Contender.of("unstuck-workloads"), "empty")
    on = _drain(run, Contender.of("unstuck-events"), "empty")
    return {"drain without events/s": off, "drain with events/s": on, "event log on / off": on / off}


def mixed(run: Run) -> Line:
    """One handler in a hundred takes 5 s: are the places full, and does nothing that was claimed wait?"""
    jobs = 40_000
    with Stage(run.ground, Contender.of("unstuck-workloads"), "mixed", jobs) as stage:
        client = stage.client()
        client(do="fill", first=0, jobs=jobs)
        stage.place.freshen()
        with stage.working(1) as workers:
            workers.wait(lambda: stage.stamps.started(jobs), DRAIN_SECONDS, "the last start", every=0.05)
            workers.wait(lambda: client(do="unfinished")["jobs"] == 0, 60, "the last ending", every=0.05)
        started = stage.stamps.moments(jobs)
        claimed: list[list[int]] = client(do="ask", what="waits")["claimed"]
    waits = [(started[n] - moment) / 1e6 for n, moment in claimed]
    return {
        "mixed: jobs/s": rate_of(started),
        "mixed: long ones at once, median": long_at_once(started),
        "mixed: claimed to start p99 ms": percentile(waits, 0.99),
        "mixed: claimed to start worst ms": max(waits),
    }


def long_at_once(started: list[int]) -> float:
    """How many of the long handlers ran at the median moment between the first and the last start of one."""
    begun = sorted(started[::100])
    moments = [begun[0] + (begun[-1] - begun[0]) * step // 200 for step in range(201)]
    ends = [moment + int(LONG_SECONDS * 1e9) for moment in begun]
    return percentile([sum(b <= at < e for b, e in zip(begun, ends, strict=True)) for at in moments], 0.5)


def crowd(run: Run, clients: int = 32, agents: int = 4) -> Line:
    """32 enqueuing clients in four processes while a worker listens: with wake-ups, and without."""
    line = Line()
    for words, label in (("with wake-ups", "unstuck-workloads"), ("without wake-ups", "unstuck-quiet")):
        with Stage(run.ground, Contender.of(label), "empty", 1) as stage:
            several = [stage.client() for _ in range(agents)]
            with stage.working(1):
                for seconds in (0.5, run.seconds):
                    done = _together(several, clients // agents, seconds)
                line[f"32 clients {words}/s"] = done / run.seconds
    return line | {
        "wake-ups on / off": line["32 clients with wake-ups/s"] / line["32 clients without wake-ups/s"]
    }


def _together(agents: list[Agent], threads: int, seconds: float) -> int:
    for agent in agents:
        agent.send(do="ask", what="crowd", threads=threads, seconds=seconds)
    return sum(agent.answer()["jobs"] for agent in agents)


def _drain(run: Run, contender: Contender, mode: str) -> float:
    jobs = int(run.rate(contender, mode) * run.seconds)
    with Stage(run.ground, contender, mode, jobs) as stage:
        client = stage.client()
        client(do="fill", first=0, jobs=jobs)
        stage.place.freshen()
        with stage.working(1) as workers:
            rate = drained(stage, client, workers, jobs).rate
    run.drained[contender.label, mode, 1] = rate
    return rate
