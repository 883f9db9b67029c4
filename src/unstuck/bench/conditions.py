"""Under which conditions a figure was measured: without them it says nothing.

A figure of jobs per second depends first on whether a commit waits for the disk, then on the machine and on what
else it does, so all of that stands beside it: the settings as the store tells them, the time that one commit
takes, and the load before and after.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unstuck.storage.opening import Keeper

COMMITS = 40
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit", "journal_mode", "synchronous", "page_size")
SYNCHRONOUS = {"0": "off", "1": "normal", "2": "full", "3": "extra"}


@dataclass(slots=True)
class Conditions:
    """What is told beside the figures. Loads are those of the last minute, per the whole machine."""

    cores: int
    machine: str
    python: str
    unstuck: str
    engine: str
    version: str
    store: str
    file_system: str
    settings: dict[str, str]
    wrong: list[str]
    commit_p50_ms: float
    processes: int
    load_before: float
    load_after: float = 0.0
    warnings: list[str] = field(default_factory=list[str])


def usable_cores() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def load() -> float:
    """The load of the last minute; 0 where nobody says."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0


def conditions_of(keeper: Keeper, processes: int) -> Conditions:
    """Ask the machine and the store. Raises StoreErrors."""
    from unstuck import __version__

    facts: dict[str, Any] = keeper.run(keeper.store.check())
    path = getattr(keeper, "path", None)
    before = load()
    found = Conditions(
        cores=usable_cores(),
        machine=f"{platform.system()} {platform.release()}, {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        unstuck=__version__,
        engine=keeper.engine,
        version=str(facts.get("version", "")),
        store=keeper.url_shown,
        file_system=_file_system(path) if isinstance(path, Path) else "",
        settings={name: _setting(name, str(facts[name])) for name in DURABILITY if name in facts},
        wrong=[str(each) for each in facts["wrong"]],
        commit_p50_ms=commit_ms(keeper),
        processes=processes,
        load_before=round(before, 2),
    )
    if before > found.cores / 2:
        found.warnings.append(
            f"the machine was busy before (load {before:.1f} on {found.cores} cores): figures are too low"
        )
    found.warnings += [f"{each}: figures say nothing about a durable store" for each in found.wrong]
    return found


def commit_ms(keeper: Keeper) -> float:
    """The median of one small durable commit with its round trip, in milliseconds."""
    took: list[float] = []
    for number in range(COMMITS):
        began = time.perf_counter()
        keeper.run(keeper.store.set_queue("commit", step_us=number + 1))
        took.append(time.perf_counter() - began)
    return round(statistics.median(took) * 1000, 3)


def _file_system(path: Path) -> str:
    from unstuck.storage.sqlite.files import file_system_of

    return file_system_of(path)


def _setting(name: str, said: str) -> str:
    return SYNCHRONOUS.get(said, said) if name == "synchronous" else said
