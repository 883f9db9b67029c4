"""What a run says at its end: the conditions, a table of medians, ratios against the floors, and JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import charts, floors
from benchmarks.environments import NotHere
from benchmarks.ground import POSTGRES, Ground
from benchmarks.running import Contender, Failed, versions_of
from benchmarks.statistics import MUCH_STOLEN, Book


def conditions(ground: Ground, contenders: Sequence[Contender]) -> dict[str, Any]:
    """Everything that a figure must be read with."""
    found: dict[str, Any] = {}
    for contender in contenders:
        try:
            found[contender.label] = versions_of(contender)
        except (NotHere, Failed) as why:
            found[contender.label] = {"not here": str(why)}
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processors": os.cpu_count(),
            "model": _model(),
            "memory GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "kernel": platform.release(),
            "8 kB fdatasync ms": round(ground.fsync_ms(), 2),
        },
        "python": platform.python_version(),
        "servers": ground.versions(),
        "postgresql": POSTGRES,
        "redis": "appendonly yes, appendfsync everysec",
        "settings": {contender.label: contender.peer.settings for contender in contenders},
        "versions": found,
    }


def finish(console: Console, book: Book, said: dict[str, Any], folder: Path | None) -> None:
    """Print everything for people, and write results.json and the charts where a folder is given."""
    show(console, book, said)
    if folder is not None:
        save(folder, book, said)
        drawn = charts.draw(folder, book)
        console.print(f"written to {folder}: results.json {' '.join(drawn)}", highlight=False, soft_wrap=True)


def show(console: Console, book: Book, said: dict[str, Any]) -> None:
    """The conditions, the medians, the ratios."""
    machine = ", ".join(f"{value} {name}" for name, value in said["machine"].items())
    head = f"\n{said['when']} · {machine} · Python {said['python']} · servers {said['servers']}"
    console.print(head, highlight=False, soft_wrap=True)
    for label, settings in said["settings"].items():
        line = f"  [bold]{label}[/]: {settings}; {_words(said['versions'][label])}"
        console.print(line, highlight=False, soft_wrap=True)
    table = Table(title="medians")
    table.add_column("measure")
    for label in book.contenders:
        table.add_column(label, justify="right")
    for measure in book.measures:
        table.add_row(measure, *(_cell(book, label, measure) for label in book.contenders))
    console.print(table)
    rows = floors.judged(book)
    if rows:
        table = Table(title="ratios and floors")
        for column in ("what", "ratio", "floor", ""):
            table.add_column(column)
        for row in rows:
            table.add_row(
                row.what, f"{row.ratio:.2f}", row.bound, "[green]met" if row.is_met else "[red]not met"
            )
        console.print(table)
    for what, why in book.failures.items():
        console.print(f"not measured: {what}: {why}", highlight=False, markup=False, style="yellow")


def save(folder: Path, book: Book, said: dict[str, Any]) -> None:
    """Write results.json."""
    folder.mkdir(parents=True, exist_ok=True)
    ratios = [
        {"what": row.what, "ratio": row.ratio, "floor": row.bound, "met": row.is_met}
        for row in floors.judged(book)
    ]
    medians = {label: {name: book.median(label, name) for name in book.measures} for label in book.contenders}
    content = {"conditions": said, "medians": medians, "ratios": ratios} | book.as_json()
    (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n")


def _cell(book: Book, label: str, measure: str) -> str:
    value = book.median(label, measure)
    if value is None:
        return ""
    mark = "*" if book.stolen(label, measure) > MUCH_STOLEN else ""
    return (f"{value:,.0f}" if value >= 100 else f"{value:.3g}") + mark


def _words(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
