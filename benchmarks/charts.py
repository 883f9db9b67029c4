"""Charts of a run as SVG, for the documentation: bars for contenders, lines for growth.

They hold text and shapes only, no script and nothing fetched, so a page may show them as images.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pygal
from pygal.style import CleanStyle

from benchmarks.statistics import Book

# pygal leaves a finder of its plugins behind that has no find_spec; whoever walks the finders, as pytest does, trips over it.
sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]

GROUPS = {
    "enqueue": ("Enqueue, jobs per second", r"enqueue (one|100 at once|10,000)/s"),
    "drain": ("Drain of empty jobs, jobs per second", r"drain \w+ \dp/s"),
    "processor": ("Processor milliseconds per job, worker and server", r"drain \w+ \dp: cpu ms all"),
    "latency": ("Enqueue to start when idle, milliseconds", r"latency idle p\d\d ms"),
    "memory": ("Memory of a worker process, MB", r"memory after .* MB"),
}
CROWDED = re.compile(r"(alone|[\d,]+ \w+): drain/s")
TENTH = re.compile(r"(.*): tenth (\d+)/s")


def draw(folder: Path, book: Book) -> list[str]:
    """Write a chart for each group of measures that the run has; answers the names of the files."""
    drawn: list[str] = []
    for name, (title, pattern) in GROUPS.items():
        measures = [each for each in book.measures if re.fullmatch(pattern, each)]
        if measures:
            chart = _chart(pygal.Bar, title)
            chart.x_labels = [each.removesuffix("/s").removesuffix(" ms") for each in measures]
            for label in book.contenders:
                values = [book.median(label, measure) for measure in measures]
                if any(value is not None for value in values):
                    chart.add(label, values)
            drawn.append(_write(chart, folder, name))
    if any(CROWDED.fullmatch(measure) for measure in book.measures):
        drawn.append(_write(_crowded(book), folder, "growth"))
    if any(TENTH.fullmatch(measure) for measure in book.measures):
        drawn.append(_write(_tenths(book), folder, "long-drains"))
    return drawn


def _crowded(book: Book) -> Any:
    """Drain against the number of other rows, one line for each kind of row."""
    [label] = {each.contender for each in book.samples if CROWDED.fullmatch(each.measure)}
    alone = book.median(label, "alone: drain/s")
    found: dict[str, dict[str, float | None]] = {}
    for measure in book.measures:
        match = CROWDED.fullmatch(measure)
        if match and match[1] != "alone":
            count, kind = match[1].split()
            found.setdefault(kind, {})[count] = book.median(label, measure)
    counts = list(dict.fromkeys(count for kind in found.values() for count in kind))
    chart = _chart(pygal.Line, "Drain with other rows in the table, jobs per second")
    chart.x_labels = ["none", *counts]
    for kind, values in found.items():
        chart.add(kind, [alone, *(values.get(count) for count in counts)])
    return chart


def _tenths(book: Book) -> Any:
    """Jobs per second over the course of long drains."""
    chart = _chart(pygal.Line, "Long drains, jobs per second in each tenth")
    chart.x_labels = [str(number) for number in range(1, 11)]
    lines: dict[str, dict[int, float | None]] = {}
    for label in book.contenders:
        for measure in book.measures:
            match = TENTH.fullmatch(measure)
            if match and (value := book.median(label, measure)) is not None:
                lines.setdefault(f"{label}, {match[1]}", {})[int(match[2])] = value
    for name, values in lines.items():
        chart.add(name, [values.get(number) for number in range(1, 11)])
    return chart


def _chart(kind: Any, title: str) -> Any:
    return kind(
        title=title,
        style=CleanStyle(font_family="sans-serif"),
        js=(),
        width=900,
        height=420,
        legend_at_bottom=True,
        range_min=None,
        include_x_axis=True,
        disable_xml_declaration=False,
        pretty_print=True,
    )


def _write(chart: Any, folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    text: str = chart.render(is_unicode=True)
    text = re.sub(r"<script.*?</script>|/\*.*?\*/|<!--.*?-->", "", text, flags=re.DOTALL)
    (folder / f"{name}.svg").write_text(text.rstrip() + "\n")
    return f"{name}.svg"
