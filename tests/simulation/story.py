"""A failing seed, told as the shortest story that still fails, and how to see it again.

A world is made smaller in the order in which it is easiest to read without: kinds of fault, then jobs,
then workers. A smaller world counts only if the same check fails in it. What is told is what befell the
job or worker that the finding is about, and what the weather did meanwhile.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace

from tests.simulation.world import Outcome, Scenario, World

RUNS_MAX = 60
LINES_MAX = 45

Run = Callable[[Scenario], Outcome]


def lived(scenario: Scenario) -> Outcome:
    """Run one scenario. What the dead have left must lie until the end, and is looked through once, after it."""
    collects, _ = gc.isenabled(), gc.disable()
    try:
        return _lived(scenario)
    finally:
        if collects:
            gc.enable()


def _lived(scenario: Scenario) -> Outcome:
    if scenario.world == "postgres":
        from tests.simulation.scheduled_world import ScheduledWorld  # needs a driver that others do not

        return ScheduledWorld(scenario).run()
    return World(scenario).run()


def smallest(outcome: Outcome, run: Run = lived, runs: int = RUNS_MAX) -> Outcome:
    """The smallest world found, in so many runs, in which the same check fails."""
    check = outcome.findings[0].check
    left = runs

    def fails(scenario: Scenario) -> Outcome | None:
        nonlocal left
        if left <= 0:
            return None
        left -= 1
        found = run(scenario)
        return found if any(finding.check == check for finding in found.findings) else None

    for kind in outcome.kinds:
        smaller = fails(replace(outcome.scenario, without=outcome.scenario.without | {kind}))
        outcome = smaller or outcome
    portion = outcome.scenario.jobs // 2
    while portion:
        numbers = [n for n in range(outcome.scenario.jobs) if n not in outcome.scenario.skipped]
        for start in range(0, len(numbers), portion):
            gone = outcome.scenario.skipped.union(numbers[start : start + portion])
            if len(gone) < outcome.scenario.jobs:
                outcome = fails(replace(outcome.scenario, skipped=gone)) or outcome
        portion //= 2
    while outcome.scenario.workers > 1:
        smaller = fails(replace(outcome.scenario, workers=outcome.scenario.workers - 1))
        if smaller is None:
            break
        outcome = smaller
    return outcome


def told(outcome: Outcome) -> str:
    """The story of a world that broke a promise."""
    scenario, finding = outcome.scenario, outcome.findings[0]
    subject = "" if finding.subject is None else outcome.names.get(finding.subject, "")
    involved = {who for _, who, about, _ in outcome.events if about == subject and subject} | {subject}
    lines = [
        f"{at:9.4f}  {who:<12} {f'{about} {what}' if about else what}"
        for at, who, about, what in outcome.events
        if (about == subject and subject)
        or who in ("store", "weather", "auditor")
        or (not about and who in involved)
    ]
    if len(lines) > LINES_MAX:
        lines = [f"          … {len(lines) - LINES_MAX} lines before", *lines[-LINES_MAX:]]
    smaller = [f"{scenario.workers} workers", f"{scenario.jobs - len(scenario.skipped)} jobs"]
    weather = ", ".join(outcome.kinds) or "no weather at all"
    return "\n".join(
        [
            f"seed {scenario.seed} on {scenario.world} breaks a promise: {finding.check}",
            f"{subject or 'the world'} {finding.sentence}",
            f"smallest world found: {', '.join(smaller)}, {weather}",
            *lines,
            f"see it again: python -m tests.simulation {' '.join(words_of(scenario))}",
            f"keep it: {scenario.world} {scenario.seed} in tests/simulation/regressions.txt",
        ]
    )


def words_of(scenario: Scenario) -> list[str]:
    """The arguments of `python -m tests.simulation` that make this world."""
    words = ["--seed", str(scenario.seed), "--world", scenario.world]
    if scenario.workers != Scenario.workers:
        words += ["--workers", str(scenario.workers)]
    if scenario.jobs != Scenario.jobs:
        words += ["--jobs", str(scenario.jobs)]
    for kind in sorted(scenario.without):
        words += ["--without", kind]
    if scenario.skipped:
        words += ["--skip", ",".join(map(str, sorted(scenario.skipped)))]
    return words
