"""The picture of `unstuck top`: drawn in place on a terminal, a line per look elsewhere.

On a terminal it takes the whole screen and gives it back at the end, as pagers do. Every text that comes out of the
store is cleaned before it is shown, and nothing is read as markup.
"""

from __future__ import annotations

from types import TracebackType
from typing import IO, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from unstuck.cli.showing import clean, say
from unstuck.cli.top_figures import (
    QUEUE_COLUMNS,
    WORKER_COLUMNS,
    Figures,
    alarms_in_words,
    latency_in_words,
    queue_cells,
    rates_in_words,
    recoveries_in_words,
    worker_cells,
)
from unstuck.model.moments import moment as moment_of

STATUS_STYLES = {
    "working": "green",
    "quiet": "yellow",
    "leaving": "yellow",
    "stalled": "red",
    "overdue": "red",
}


class Picture(Protocol):
    """What both kinds can do."""

    def show(self, figures: Figures | None, trouble: str) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Lines:
    """A line per look, for pipes and files."""

    def show(self, figures: Figures | None, trouble: str) -> None:
        """Print it."""
        if trouble or figures is None:
            say(f"the store does not answer {trouble}")
            return
        ready = sum(each.ready for each in figures.pulse.depths)
        deep = "+" if any(each.ready >= figures.depth for each in figures.pulse.depths) else ""
        parts = (
            f"{moment_of(figures.pulse.now_us):%H:%M:%S}Z",
            rates_in_words(figures.rates),
            f"{ready:,}{deep} ready",
            latency_in_words(figures.latency),
            f"{len(figures.pulse.workers)} workers",
        )
        say("; ".join(parts))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Screen:
    """The whole terminal."""

    def __init__(self, console: Console):
        self._console = console
        self._live = Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop")

    def show(self, figures: Figures | None, trouble: str) -> None:
        """Draw it in the place of the last one."""
        parts: list[Text | Table] = []
        if trouble:
            parts.append(Text(clean(f"the store does not answer {trouble}"), style="bold red"))
        if figures is not None:
            parts += drawn(figures, self._console.height)
        self._live.update(Group(*parts), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def drawn(figures: Figures, height: int) -> list[Text | Table]:
    """The picture for a terminal of so many lines: what does not fit is counted."""
    pulse = figures.pulse
    head = f"{figures.store}  {moment_of(pulse.now_us):%H:%M:%S}Z  asked in {figures.asked_seconds * 1000:.1f} ms"
    parts: list[Text | Table] = [
        Text(clean(head), style="dim"),
        Text(rates_in_words(figures.rates), style="bold"),
        Text(latency_in_words(figures.latency)),
        Text(recoveries_in_words(figures.recoveries)),
        Text(alarms_in_words(figures), style="dim"),
    ]
    parts += [Text(clean(notice.sentence), style="yellow") for notice in pulse.notices[:5]]
    room = max(4, height - len(parts) - 6)
    queues = sorted(pulse.depths, key=lambda each: (-each.ready, each.queue))
    shown = queues[: max(2, room // 2)]
    parts.append(
        _table(QUEUE_COLUMNS, [queue_cells(each, figures.depth) for each in shown], "nothing is ready")
    )
    if len(queues) > len(shown):
        parts.append(Text(f"and {len(queues) - len(shown)} more queues", style="dim"))
    workers = sorted(pulse.workers, key=lambda each: (each.kind != "supervisor", each.started_at))
    seats = workers[: max(2, room - len(shown))]
    table = _table(
        WORKER_COLUMNS, [worker_cells(worker) for worker in seats], "no worker is running", status=3
    )
    parts.append(table)
    if len(workers) > len(seats):
        parts.append(Text(f"and {len(workers) - len(seats)} more workers", style="dim"))
    return parts


def _table(
    columns: tuple[str, ...], rows: list[tuple[str, ...]], empty: str, status: int | None = None
) -> Table | Text:
    if not rows:
        return Text(f"\n{empty}", style="dim")
    table = Table(*columns, box=None, header_style="dim", padding=(0, 2, 0, 0))
    for row in rows:
        styles = {status: STATUS_STYLES.get(row[status], "")} if status is not None else {}
        table.add_row(*(Text(clean(cell), style=styles.get(place, "")) for place, cell in enumerate(row)))
    return table


def picture_for(stream: IO[str]) -> Picture:
    """The whole screen on a terminal, lines elsewhere."""
    console = Console(file=stream, markup=False, emoji=False, highlight=False)
    return Screen(console) if console.is_terminal else Lines()
