"""What every test has: the servers, the check for what a run leaves behind, and an honest ending.

A test that this machine cannot run is skipped with a reason that begins with "not run here:". The end
of the run lists those by name, so that a green line never hides what was not looked at.
"""

from __future__ import annotations

import signal

import pytest

# A run in the background of a script inherits an ignored SIGINT and would hand it on to every process here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.servers.leaks", "tests.servers.fixtures"]

NOT_RUN_HERE = "not run here:"
WAITING = tuple(f"tests/processes/test_{name}.py" for name in ("freezes", "kills", "outages", "stops"))
"""Tests of real processes that mostly wait for a lease to pass: two side by side take nothing from each other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/processes/"):
            item.add_marker(pytest.mark.processes)
            item.add_marker(pytest.mark.timeout(900), append=False)
            item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=["MachineTooSlow"]))
        if item.nodeid.startswith(WAITING):
            item.add_marker(pytest.mark.waits)
        if item.nodeid.startswith("tests/processes/test_idle.py"):
            item.add_marker(pytest.mark.timing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = [
        f"{report.nodeid}: {reason.partition(NOT_RUN_HERE)[2].strip()}"
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple | list) and NOT_RUN_HERE in (reason := str(report.longrepr[-1]))
    ]
    if missing:
        terminalreporter.section("not run here")
        for line in sorted(missing):
            terminalreporter.line(line)
