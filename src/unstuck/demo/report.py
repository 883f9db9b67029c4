"""The last lines: what was done, what the kills cost, and whether everything adds up."""

from __future__ import annotations

from collections.abc import Iterator

from unstuck.demo.counting import Recovery
from unstuck.demo.files import Taken
from unstuck.demo.running import Pace
from unstuck.demo.showing import Outcome

SHOWN = 5


def lines_of(outcome: Outcome, taken: Taken, pace: Pace, whole_seconds: float) -> Iterator[str]:
    """The report, line by line."""
    found = outcome.balance
    rate = found.results / outcome.work_seconds if outcome.work_seconds else 0.0
    yield ""
    yield _line("files", f"{len(taken.files):,}")
    yield _line(
        "results",
        f"{found.results:,} in {outcome.work_seconds:.1f} s, {rate:.0f}/s; plainly, in one process, "
        f"{outcome.serial_seconds:.1f} s",
    )
    yield _line("ran again", f"{found.ran_again}; attempts lost by the kills: {found.lost_by_kills}")
    for recovery in found.recoveries:
        yield _line("time to recover", _recovered(recovery, pace))
    yield _line("lost", str(len(found.lost)))
    yield _line("doubled", str(len(found.doubled)))
    yield _line("wrong", str(len(found.wrong)))
    if found.changed:
        yield _line("not compared", f"{len(found.changed)}, whose files changed meanwhile")
    yield _line("doctor", "nothing wrong, nothing recovering" if not outcome.troubles else "see below")
    for what, ids in (("lost", found.lost), ("doubled", found.doubled), ("wrong", found.wrong)):
        if ids:
            yield f"  {what}: {', '.join(map(str, ids[:SHOWN]))}{' …' if len(ids) > SHOWN else ''}"
    for sentence in [*found.unexplained[:SHOWN], *outcome.troubles]:
        yield f"  {sentence}"
    yield ""
    verdict = "Everything adds up" if outcome.is_fine else "It does NOT add up"
    yield f"{verdict}, after {whole_seconds:.1f} s in all."


def _line(name: str, text: str) -> str:
    return f"{name:<16} {text}"


def _recovered(recovery: Recovery, pace: Pace) -> str:
    who = f"{recovery.kill.what} (pid {recovery.kill.pid})"
    if not recovery.hit:
        return f"{who}: it owned nothing that had to run again"
    jobs = f"{recovery.hit} job{'s' if recovery.hit > 1 else ''}"
    if recovery.seconds is None:
        return f"{who}: not all of {jobs} ran again"
    bound = (
        f" (R is {pace.bound:g} s from the end of its lease)" if recovery.kill.what == "supervisor" else ""
    )
    return f"{who}: {recovery.seconds:.1f} s until the last of {jobs} ran again{bound}"
