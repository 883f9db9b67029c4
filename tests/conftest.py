"""What every test has: the servers, the check for what a run leaves behind, and an honest ending.

A test that this machine cannot run is skipped with a reason that begins with "not run here:". The end
of the run lists those by name, so that a green line never hides what was not looked at.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator

import hypothesis
import pytest

# Others are at work beside: a case that took long says nothing.
hypothesis.settings.register_profile("beside others", deadline=None)
hypothesis.settings.load_profile("beside others")

# A run in the background of a script inherits an ignored SIGINT and would hand it on to every process here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.servers.leaks", "tests.servers.fixtures"]

NOT_RUN_HERE = "not run here:"
WAITING = tuple(
    f"tests/processes/test_{name}"
    for name in ("outages", "freezes", "kills", "stops", "deadly_tasks.py::test_what")
)
"""Tests of real processes that mostly wait for a lease to pass: some side by side take nothing from each other.
Those that take longest come first."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """All that is found stays until the end: to look through it for garbage, again and again while it grows, took 7 to
    19 % of the time that each process of the runner needs to find the tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    for item in items:
        if item.nodeid.startswith("tests/processes/"):
            item.add_marker(pytest.mark.processes)
            item.add_marker(pytest.mark.timeout(900), append=False)
            item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=["MachineTooSlow"]))
        if item.nodeid.startswith(WAITING):
            item.add_marker(pytest.mark.waits)
    yield  # what this run leaves out goes here
    if all(item.get_closest_marker("waits") for item in items):
        items.sort(key=lambda item: [item.nodeid.startswith(name) for name in WAITING], reverse=True)
        items[:] = dealt(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)))
    else:
        # They take longest: one process of the runner begins with them, and the others take the rest off its hands.
        items.sort(key=lambda item: item.get_closest_marker("processes") is None)


def dealt(items: list[pytest.Item], hands: int) -> list[pytest.Item]:
    """The same in an order in which each process of the runner, which gets its share in one piece, begins with one
    of the first: what takes longest must not be begun last."""
    shares: list[list[pytest.Item]] = [[] for _ in range(hands)]
    sizes = [(len(items) + hand) // hands for hand in range(hands)]
    for item in items:
        open_ones = [share for share, size in zip(shares, sizes, strict=True) if len(share) < size]
        min(open_ones, key=len).append(item)
    return [item for share in shares for item in share]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tell_the_speed_of_worlds(terminalreporter)
    missing = [
        f"{report.nodeid}: {reason.partition(NOT_RUN_HERE)[2].strip()}"
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple | list) and NOT_RUN_HERE in (reason := str(report.longrepr[-1]))
    ]
    if missing:
        terminalreporter.section("not run here")
        for line in sorted(missing):
            terminalreporter.line(line)


def tell_the_speed_of_worlds(terminalreporter: pytest.TerminalReporter) -> None:
    """How fast the simulated worlds were, in time of one processor: slow worlds are worlds that nobody runs."""
    sums: dict[str, list[float]] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", []):
            if name == "simulated" and report.when == "call":
                found = sums.setdefault(value[0], [0, 0.0, 0.0])
                sums[value[0]] = [a + b for a, b in zip(found, value[1:], strict=True)]
    if sums:
        terminalreporter.section("simulated worlds")
    for world, (seeds, seconds, virtual) in sums.items():
        terminalreporter.line(
            f"{world}: {seeds} seeds, {seeds / max(seconds, 1e-9):.1f} seeds/s of one processor,"
            f" {virtual / seeds:.0f} virtual seconds each"
        )
