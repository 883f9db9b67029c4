"""Alternating rounds: each line of each contender in turn, A B A B, so that a slow minute falls on everyone.

What the hypervisor gave to neighbours during a line is noted beside it; above a tenth the line is measured once more.
A contender that fails is named with the reason and left out of the rest of that measure.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from benchmarks.environments import NotHere
from benchmarks.measuring import MEASURES, Run
from benchmarks.processes import Processors
from benchmarks.running import Contender, Failed
from benchmarks.statistics import MUCH_STOLEN, Book, Line


def run_rounds(
    run: Run,
    contenders: Sequence[Contender],
    measures: Sequence[str],
    rounds: int,
    book: Book,
    console: Console,
    repeat: bool = True,
) -> None:
    """Fill the book."""
    for measure in measures:
        left = list(contenders)
        for number in range(1, rounds + 1):
            for contender in list(left):
                try:
                    line, stolen = measured(run, contender, measure, repeat)
                except (NotHere, Failed) as why:
                    left.remove(contender)
                    book.fail(contender.label, measure, str(why))
                    console.print(
                        f"[yellow]{contender.label}: {measure} not measured: {why}", highlight=False
                    )
                    continue
                book.add(contender.label, line, number, stolen)
                console.print(
                    _said(measure, number, contender.label, line, stolen), highlight=False, soft_wrap=True
                )


def measured(run: Run, contender: Contender, measure: str, repeat: bool) -> tuple[Line, float]:
    """The line, and which share of the processors was stolen meanwhile."""
    for is_last in (not repeat, True):
        before = Processors.now()
        line = MEASURES[measure](run, contender)
        stolen = Processors.now().stolen_since(before)
        if stolen <= MUCH_STOLEN or is_last:
            return line, stolen
    raise AssertionError("unreachable")


def _said(measure: str, number: int, label: str, line: Line, stolen: float) -> str:
    told = "  ".join(
        f"{name} {value:,.3g}" if value < 100 else f"{name} {value:,.0f}" for name, value in line.items()
    )
    return f"{measure} {number} [bold]{label}[/]: {told}" + (
        f"  [red]stolen {stolen:.0%}[/]" if stolen > 0.02 else ""
    )
