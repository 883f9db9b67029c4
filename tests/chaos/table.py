"""The end of a run as a person reads it: conditions, faults and recoveries by kind, and the three numbers."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tests.chaos import accounting
from tests.chaos.recovering import OUTCOMES, percentile
from tests.chaos.running import Report

SHOWN = 25


def show(report: Report, console: Console) -> None:
    """Print it."""
    counts = accounting.counted(report.broken)
    title = f"chaos: {report.engine}, seed {report.seed}, {report.minutes:g} min of storm"
    faults = Table(title=title, title_justify="left")
    for name in ("fault", "times", "recoveries", "p50 s", "p99 s", "max s"):
        faults.add_column(name, justify="left" if name == "fault" else "right")
    for kind in sorted(report.faults):
        faults.add_row(kind, str(report.faults[kind]), *_times(report.recovered.get(kind, [])))
    all_times = [seconds for times in report.recovered.values() for seconds in times]
    faults.add_section()
    faults.add_row("all", str(sum(report.faults.values())), *_times(all_times))
    console.print(faults)

    facts = Table(show_header=False)
    facts.add_column()
    facts.add_column()
    recovered = sum(report.outcomes.get(outcome, 0) for outcome in OUTCOMES)
    rows = {
        "jobs": f"{report.jobs:,}: {_listed(report.states)}",
        "handler starts": f"{report.starts:,}, {report.overlaps} words of an attempt after the next had started",
        "attempts": f"{_listed(report.outcomes)}; {recovered:,} ended by somebody else than their handler",
        "client calls": f"{_listed(report.calls)}; {report.unknowns:,} answers were errors of the store",
        "refused late endings": f"{report.late:,}",
        "lost": str(counts["lost"] + counts["torn"]),
        "doubled": str(counts["doubled"] + counts["fence"]),
        "stuck": str(counts["stuck"] + counts["late"]),
        "other broken promises": str(
            sum(counts.values())
            - sum(counts[name] for name in ("lost", "torn", "doubled", "fence", "stuck", "late"))
        ),
        "peace": f"everything had ended {report.peace_seconds:.1f} s after the storm",
        "machine": f"a second took {report.slowness:.2f} s on average",
        "faults without a victim": str(report.missed),
        **report.conditions,
    }
    for name, value in rows.items():
        facts.add_row(name, value)
    for reason in dict.fromkeys(report.not_run.values()):
        kinds = [kind for kind, why in report.not_run.items() if why == reason]
        facts.add_row("not run here", f"{', '.join(kinds)}: {reason}")
    console.print(facts)
    for sentence in report.broken[:SHOWN]:
        console.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    if len(report.broken) > SHOWN:
        console.print(f"… and {len(report.broken) - SHOWN} more", markup=False)


def _times(seconds: list[float]) -> tuple[str, str, str, str]:
    if not seconds:
        return "0", "", "", ""
    return (
        str(len(seconds)),
        *(f"{percentile(seconds, share):.2f}" for share in (0.5, 0.99)),
        f"{max(seconds):.2f}",
    )


def _listed(counts: object) -> str:
    assert isinstance(counts, dict)
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items())) or "none"
