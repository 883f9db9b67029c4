"""What `unstuck top` tells, computed from one pulse: figures, a document for programs, and lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unstuck.cli.records import plain, status_of
from unstuck.model.moments import moment as moment_of
from unstuck.model.worker import LAPSED, Worker
from unstuck.rules.durations import words_of
from unstuck.rules.pausing import loop_ages, silent_loops
from unstuck.storage.protocol import PULSE_SAMPLE, Depth, Pulse

ARRIVALS_SECONDS = 10.0
"""Over how long arrivals are counted, where the sample reaches back so far."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second. `arrived` is seen on the newest jobs, and at least that where they are all of this moment."""

    arrived: float
    arrived_at_least: bool
    started: float
    ended: float
    failed: float
    reporting: int
    """How many workers told theirs."""


@dataclass(frozen=True, slots=True)
class Latency:
    """From due to claim of first attempts within the last minute, in milliseconds; None without any."""

    p50_ms: float | None
    p95_ms: float | None
    jobs: int


@dataclass(frozen=True, slots=True)
class Recoveries:
    """What went wrong within the last hour, and what of it is not yet recovered."""

    workers_lost: int
    workers_crashed: int
    late_endings: int
    jobs_to_recover: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One picture."""

    pulse: Pulse
    store: str
    depth: int
    asked_seconds: float
    rates: Rates
    latency: Latency
    recoveries: Recoveries


def figures_of(pulse: Pulse, store: str, depth: int, asked_seconds: float) -> Figures:
    """All that is told of a pulse."""
    return Figures(
        pulse, store, depth, asked_seconds, _rates(pulse), _latency(pulse.waited_us), _recoveries(pulse)
    )


def _rates(pulse: Pulse) -> Rates:
    sums = dict.fromkeys(("started", "ended", "failed"), 0.0)
    reporting = 0
    for worker in pulse.workers:
        recent = _recent(worker)
        if (worker.lease_left_us or 0) <= 0 or not recent:
            continue
        reporting += worker.kind != "supervisor"
        for name in sums:
            sums[name] += recent.get(name, 0) / recent["seconds"]
    ages = [age_us / 1_000_000 for age_us in pulse.arrived_us]
    within = [age for age in ages if age <= ARRIVALS_SECONDS]
    reaches = len(within) == PULSE_SAMPLE
    over = max(1.0, max(within)) if reaches else ARRIVALS_SECONDS
    return Rates(
        len(within) / over, reaches and over <= 1.0, sums["started"], sums["ended"], sums["failed"], reporting
    )


def _latency(waited_us: Sequence[int]) -> Latency:
    ordered = sorted(waited_us)
    return Latency(percentile(ordered, 0.50), percentile(ordered, 0.95), len(ordered))


def percentile(ordered: Sequence[int], share: float) -> float | None:
    """The value that this share of them does not exceed, in milliseconds for microseconds; None without any."""
    if not ordered:
        return None
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] / 1000


def _recoveries(pulse: Pulse) -> Recoveries:
    everybody = [*pulse.workers, *pulse.gone]
    return Recoveries(
        workers_lost=sum(worker.reason == LAPSED for worker in pulse.gone),
        workers_crashed=sum(is_crash(worker.reason) for worker in pulse.gone),
        late_endings=sum(worker.late_endings for worker in everybody),
        jobs_to_recover=sum(worker.running for worker in pulse.gone),
    )


def is_crash(reason: str | None) -> bool:
    """Whether a worker that ended for this reason went by its own death, or was killed because it stood still."""
    return reason is not None and (reason.startswith("died") or reason == "stalled")


def last_success(worker: Worker) -> tuple[str, float] | None:
    """The loop of a worker whose last good round is longest ago, with its age in seconds."""
    ages = loop_ages(worker)
    red = silent_loops(worker)
    return max(ages.items(), key=lambda pair: (pair[0] in red, pair[1]), default=None)


def rate_of(worker: Worker, name: str) -> float | None:
    """What this worker did per second, as last reported."""
    recent = _recent(worker)
    return recent.get(name, 0) / recent["seconds"] if recent else None


def _recent(worker: Worker) -> Mapping[str, float]:
    """What it last reported to have done, and over how many seconds; empty where it has not reported twice."""
    recent: Mapping[str, float] = worker.report.get("recent") or {}
    return recent if recent.get("seconds") else {}


def document(figures: Figures) -> dict[str, Any]:
    """The figures under stable names."""
    pulse = figures.pulse
    return {
        "at": plain(moment_of(pulse.now_us)),
        "store": figures.store,
        "asked_ms": round(figures.asked_seconds * 1000, 2),
        "per_second": _rounded(plain(figures.rates)),
        "latency": plain(figures.latency),
        "recoveries": plain(figures.recoveries),
        "queues": [
            {
                "queue": each.queue,
                "ready": each.ready,
                "ready_at_least": each.ready >= figures.depth,
                "oldest_seconds": round(each.oldest_us / 1_000_000, 3),
                "is_paused": each.is_paused,
            }
            for each in pulse.depths
        ],
        "first_alarms": plain(pulse.alarms),
        "workers": [_worker_document(worker) for worker in pulse.workers],
        "notices": plain(pulse.notices),
    }


def _worker_document(worker: Worker) -> dict[str, Any]:
    return {
        "id": str(worker.id),
        "supervisor_id": plain(worker.supervisor_id),
        "kind": worker.kind,
        "host": worker.host,
        "pid": worker.pid,
        "status": status_of(worker),
        "running": worker.running,
        "late_endings": worker.late_endings,
        "loops_seconds": {name: round(age, 1) for name, age in loop_ages(worker).items()},
        "silent_loops": sorted(silent_loops(worker)),
        "per_second": {name: rate_of(worker, name) for name in ("started", "ended", "failed")},
    }


def _rounded(record: dict[str, Any]) -> dict[str, Any]:
    return {name: round(each, 2) if isinstance(each, float) else each for name, each in record.items()}


# Words


def rates_in_words(rates: Rates) -> str:
    """One line."""
    if not rates.reporting:
        told = "no worker reports"
    else:
        told = f"{rates.started:,.1f} started, {rates.ended:,.1f} ended, {rates.failed:,.1f} failed"
    more = " or more" if rates.arrived_at_least else ""
    return f"per second: {rates.arrived:,.1f}{more} enqueued, {told}"


def latency_in_words(latency: Latency) -> str:
    """One line."""
    if latency.p50_ms is None or latency.p95_ms is None:
        return "due to start: nothing started within the last minute"
    return f"due to start: p50 {_ms(latency.p50_ms)}, p95 {_ms(latency.p95_ms)}, of {latency.jobs} within the last minute"


def recoveries_in_words(recoveries: Recoveries) -> str:
    """One line."""
    words = (
        f"within the hour: {recoveries.workers_lost} workers lost, {recoveries.workers_crashed} crashed, "
        f"{recoveries.late_endings} late endings refused"
    )
    if recoveries.jobs_to_recover:
        words += f"; {recoveries.jobs_to_recover} jobs of theirs are being recovered"
    return words


def alarms_in_words(figures: Figures) -> str:
    """One line, or none."""
    alarms = figures.pulse.alarms
    if not alarms:
        return "no alarms"
    counts = ", ".join(f"{number} {state.value}" for state, number in sorted(alarms.items()))
    among = f" among the first {PULSE_SAMPLE}" if sum(alarms.values()) >= PULSE_SAMPLE else ""
    return f"alarms{among}: {counts}"


def queue_cells(each: Depth, depth: int) -> tuple[str, str, str, str]:
    """Queue, ready, oldest, and a word."""
    ready = f"{each.ready:,}{'+' if each.ready >= depth else ''}"
    return each.queue, ready, words_of(max(0, each.oldest_us)), "paused" if each.is_paused else ""


def worker_cells(worker: Worker) -> tuple[str, ...]:
    """Who, what it does, how much, and how its loops go."""
    oldest = last_success(worker)
    ended = rate_of(worker, "ended")
    return (
        worker.kind,
        worker.host,
        str(worker.pid),
        status_of(worker),
        str(worker.running),
        "" if ended is None or worker.kind == "supervisor" else f"{ended:,.1f}/s",
        "" if oldest is None else f"{oldest[0]} {oldest[1]:.1f} s ago",
        "late: " + ", ".join(sorted(silent_loops(worker))) if silent_loops(worker) else "",
    )


QUEUE_COLUMNS = ("queue", "ready", "oldest", "")
WORKER_COLUMNS = ("worker", "host", "pid", "status", "running", "ended", "oldest round", "")


def lines_of(figures: Figures) -> Iterator[str]:
    """The picture as plain text."""
    pulse = figures.pulse
    yield f"{figures.store} at {moment_of(pulse.now_us):%Y-%m-%d %H:%M:%S}Z, asked in {figures.asked_seconds * 1000:.1f} ms"
    yield rates_in_words(figures.rates)
    yield latency_in_words(figures.latency)
    yield recoveries_in_words(figures.recoveries)
    yield alarms_in_words(figures)
    if not pulse.depths:
        yield "nothing is ready"
    for each in pulse.depths:
        queue, ready, oldest, paused = queue_cells(each, figures.depth)
        yield f"queue {queue}: {ready} ready, the oldest for {oldest}{', paused' if paused else ''}"
    if not pulse.workers:
        yield "no worker is running"
    for worker in pulse.workers:
        kind, host, pid, status, running, ended, oldest, late = worker_cells(worker)
        told = [f"{kind} {pid} on {host}: {status}", f"{running} running", ended, oldest, late]
        yield ", ".join(part for part in told if part)
    for notice in pulse.notices:
        yield f"notice: {notice.sentence}"


def _ms(value: float) -> str:
    return f"{value:,.1f} ms" if value < 10_000 else f"{value / 1000:,.0f} s"
