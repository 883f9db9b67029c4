"""Alternating rounds: each line of each contender in turn, A B A B, so that a slow minute falls on everyone.

What the hypervisor gave to neighbours during a line is noted beside it; above a tenth the line is measured once more.
A contender that fails is named with the reason and left out of the rest of that measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from rich.console import Console

from benchmarks.environments import NotHere
from benchmarks.measuring import MEASURES, Run
from benchmarks.processes import Processors
from benchmarks.running import Contender, Failed
from benchmarks.statistics import MUCH_STOLEN, Book, Line


class Task(NamedTuple):
    """One thing to measure of one contender; `title` is put before the names of its values where it is given."""

    label: str
    measure: str
    take: Callable[[], Line]
    title: str = ""


def tasks_of(run: Run, contenders: Sequence[Contender], measure: str) -> list[Task]:
    """A measure of every contender."""
    ordered = list(contenders)
    if measure == "load":  # ours last: the rates of the others are then known
        ordered.sort(key=lambda contender: contender.is_ours)
    return [Task(each.label, measure, partial(MEASURES[measure], run, each)) for each in ordered]


def run_rounds(tasks: Sequence[Task], rounds: int, book: Book, console: Console, repeat: bool = True) -> None:
    """Fill the book."""
    left = list(tasks)
    for number in range(1, rounds + 1):
        for task in list(left):
            try:
                line, stolen = measured(task, repeat)
            except (NotHere, Failed) as why:
                left.remove(task)
                book.fail(task.label, task.measure, str(why))
                said = f"{task.label}: {task.measure} not measured: {why}"
                console.print(said, style="yellow", markup=False, highlight=False, soft_wrap=True)
                continue
            line = {f"{task.title}{name}": value for name, value in line.items()}
            book.add(task.label, line, number, stolen)
            console.print(told(task, number, line, stolen), highlight=False, soft_wrap=True)


def measured(task: Task, repeat: bool) -> tuple[Line, float]:
    """The line, and which share of the processors was stolen meanwhile."""
    for is_last in (not repeat, True):
        before = Processors.now()
        line = task.take()
        stolen = Processors.now().stolen_since(before)
        if stolen <= MUCH_STOLEN or is_last:
            return line, stolen
    raise AssertionError("unreachable")


def told(task: Task, number: int, line: Line, stolen: float) -> str:
    """One line of the log of a run."""
    values = "  ".join(
        f"{name} {value:,.3g}" if value < 100 else f"{name} {value:,.0f}" for name, value in line.items()
    )
    return f"{task.measure} {number} [bold]{task.label}[/]: {values}" + (
        f"  [red]stolen {stolen:.0%}[/]" if stolen > 0.02 else ""
    )
