"""What the demo shows while it runs: a live picture on a terminal, a plain line now and then elsewhere.

Both are told the same two things: a scene (how many jobs stand where, how fast they end, how many starts
were repeated, who works) and single events worth a line of their own. Neither asks the store anything.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from unstuck.model.states import State
from unstuck.model.worker import Worker

EVENTS_SHOWN = 8
LINE_EVERY_SECONDS = 2.0
RATE_SECONDS = 3.0

COLOURS = {
    State.READY: "cyan",
    State.RUNNING: "yellow",
    State.SCHEDULED: "magenta",
    State.SUCCEEDED: "green",
    State.FAILED: "red",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment: `jobs` is how many there will be, `counts` where those stand that were enqueued."""

    jobs: int
    counts: Mapping[State, int]
    starts: int
    ran_again: int
    workers: Sequence[Worker]

    @property
    def ended(self) -> int:
        """How many have ended."""
        return sum(self.counts.get(state, 0) for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED))


class View(Protocol):
    """What both kinds can do."""

    def show(self, scene: Scene) -> None: ...
    def say(self, text: str) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Rate:
    """Jobs ended per second over the last few."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def of(self, ended: int, now: float) -> float:
        """The rate, with this observation."""
        self._seen.append((now, ended))
        while now - self._seen[0][0] > RATE_SECONDS:
            self._seen.popleft()
        began, first = self._seen[0]
        return (ended - first) / (now - began) if now > began else 0.0


class PlainView:
    """Lines, one every two seconds at most, and every event."""

    def __init__(self, console: Console):
        self._console = console
        self._began = time.monotonic()
        self._shown_at = 0.0
        self._rate = Rate()

    def show(self, scene: Scene) -> None:
        """Print a line, unless one was printed just now."""
        now = time.monotonic()
        rate = self._rate.of(scene.ended, now)
        if now - self._shown_at < LINE_EVERY_SECONDS:
            return
        self._shown_at = now
        states = ", ".join(f"{scene.counts[state]:,} {state}" for state in State if scene.counts.get(state))
        children = sum(worker.kind == "child" and worker.ended_at is None for worker in scene.workers)
        self.say(f"{states or 'no jobs yet'}; {rate:.0f}/s; {scene.ran_again} ran again; {children} children")

    def say(self, text: str) -> None:
        """Print a line with the time passed."""
        passed = time.monotonic() - self._began
        self._console.print(f"{passed:6.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class LiveView:
    """A picture that is drawn anew a few times a second; it stays when the work is over."""

    def __init__(self, console: Console):
        self._began = time.monotonic()
        self._events: deque[Text] = deque(maxlen=EVENTS_SHOWN)
        self._rate = Rate()
        self._scene: Scene | None = None
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def show(self, scene: Scene) -> None:
        """Draw this scene."""
        self._scene = scene
        self._draw()

    def say(self, text: str) -> None:
        """Add an event below the picture."""
        passed = time.monotonic() - self._began
        self._events.append(Text.assemble((f"{passed:6.1f} s  ", "dim"), text))
        self._draw()

    def _draw(self) -> None:
        parts: list[Table | Text] = []
        if self._scene is not None:
            parts += [self._states(self._scene), self._workers(self._scene), Text()]
        self._live.update(Group(*parts, *self._events), refresh=True)

    def _states(self, scene: Scene) -> Table:
        rate = self._rate.of(scene.ended, time.monotonic())
        grid = Table.grid(padding=(0, 3), expand=False)
        states = Text("  ").join(
            Text.assemble((f"{scene.counts.get(state, 0):,}", f"bold {colour}"), f" {state}")
            for state, colour in COLOURS.items()
        )
        grid.add_row(
            ProgressBar(scene.jobs, scene.ended, width=40), f"{scene.ended:,} of {scene.jobs:,} files"
        )
        grid.add_row(states, f"{rate:.0f}/s")
        again = Text.assemble((str(scene.ran_again), "bold yellow"), " ran again")
        grid.add_row(again, f"{scene.starts:,} starts")
        return grid

    def _workers(self, scene: Scene) -> Table:
        table = Table(
            "supervisor", "child", "owns", "state", box=None, header_style="dim", padding=(0, 2, 0, 0)
        )
        supervisors = [one for one in scene.workers if one.kind == "supervisor"]
        for supervisor in sorted(supervisors, key=lambda one: one.started_at):
            table.add_row(str(supervisor.pid), "", "", _state_of(supervisor))
            children = [one for one in scene.workers if one.supervisor_id == supervisor.id]
            for child in sorted(children, key=lambda one: one.started_at):
                table.add_row("", str(child.pid), str(child.running or ""), _state_of(child))
        return table

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def _state_of(worker: Worker) -> Text:
    if worker.ended_at is not None:
        return Text(worker.reason or "ended", style="red")
    if worker.stalled_at is not None:
        return Text("stalled", style="red")
    if (worker.lease_left_us or 0) <= 0:
        return Text("silent", style="yellow")
    return Text("works" if worker.kind == "child" else "supervises", style="green")


def view_for(console: Console) -> View:
    """The live picture on a terminal, plain lines elsewhere."""
    return LiveView(console) if console.is_terminal else PlainView(console)
